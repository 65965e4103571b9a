"""Excess along trees: nothing is lost, and a group that edges connect is balanced in one pass."""

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.flow.problem import Edges
from isocline.flow.tree_push import push_along_trees
from isocline.model.graph import CompatibilityGraph
from tests.flow.worlds import path, random_graph, ring


def excesses(
    graph: CompatibilityGraph, supply: np.ndarray, capacity: np.ndarray, flow: np.ndarray
) -> np.ndarray:
    sent = np.bincount(graph.source, flow, graph.sources)
    taken = np.bincount(graph.sink, flow, graph.sinks)
    return np.concatenate((supply - sent, taken - capacity))


def pushed(
    graph: CompatibilityGraph,
    flow: np.ndarray,
    excess: np.ndarray,
    amount: float,
    group: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """(flow, excess, number of tree edges) after a push."""
    nodes = graph.sources + graph.sinks
    group = np.zeros(nodes, np.int32) if group is None else group
    flow, excess = flow.copy(), excess.copy()
    scratch = np.empty(nodes, np.int32), np.empty(nodes, np.int32), np.empty(nodes, np.int64)
    count = push_along_trees(Edges.of(graph), group, flow, excess, amount, *scratch)
    return flow, excess, count


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 1.0))
def test_excess_follows_the_flow(seed: int, amount: float) -> None:
    """Whatever edges are thick: flows stay 0 or more, what moves on edges moves between nodes."""
    rng = np.random.default_rng(seed)
    sources, sinks = rng.integers(1, 30, 2).tolist()
    graph = random_graph(rng, sources, sinks, float(rng.uniform(0.05, 1.0)))
    flow = rng.uniform(0.0, 1.0, graph.edges) * rng.integers(0, 2, graph.edges)
    supply, capacity = rng.uniform(0.0, 3.0, graph.sources), rng.uniform(0.0, 3.0, graph.sinks)
    before = excesses(graph, supply, capacity, flow)
    group = rng.integers(-1, 2, graph.sources + graph.sinks).astype(np.int32)
    after, excess, count = pushed(graph, flow, before, amount, group)
    assert after.min() >= 0.0
    np.testing.assert_allclose(excess, excesses(graph, supply, capacity, after), atol=1e-12)
    for g in (0, 1):
        assert np.isclose(excess[group == g].sum(), before[group == g].sum(), atol=1e-12)
    changed = np.flatnonzero(after != flow)
    assert changed.size <= count
    assert (flow[changed] > amount).all()
    ends = group[graph.source[changed]], group[graph.sources + graph.sink[changed]]
    assert (ends[0] == ends[1]).all()
    assert (ends[0] >= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([path, ring]), st.integers(2, 300))
def test_a_connected_group_is_balanced_at_once(
    seed: int, shape: Callable[[int], CompatibilityGraph], n: int
) -> None:
    """Every edge carries more than all excess: one node holds the sum, which is nothing."""
    rng = np.random.default_rng(seed)
    graph = shape(n)
    flow = rng.uniform(0.5, 1.0, graph.edges)
    right = flow + rng.uniform(-1.0, 1.0, graph.edges) * 1e-3 / graph.edges
    supply = np.bincount(graph.source, right, graph.sources)
    capacity = np.bincount(graph.sink, right, graph.sinks)
    after, _, count = pushed(graph, flow, excesses(graph, supply, capacity, flow), 0.1)
    assert count == graph.sources + graph.sinks - 1
    assert np.abs(excesses(graph, supply, capacity, after)).max() <= 1e-12
