"""Maximum flow against scipy's, cuts against Hall's condition."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from isocline.flow.maxflow import max_flow
from isocline.flow.problem import Edges
from isocline.model.graph import CompatibilityGraph
from tests.flow.worlds import path, random_graph, ring

WAVES = 10_000


def run(
    graph: CompatibilityGraph,
    supply: np.ndarray,
    capacity: np.ndarray,
    flow: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    nodes = graph.sources + graph.sinks
    flow = np.zeros(graph.edges) if flow is None else flow
    group = np.zeros(nodes, dtype=np.int32)
    cut, _, waves = max_flow(
        Edges.of(graph), supply.astype(float), capacity.astype(float), group, flow, 0.0, WAVES
    )
    assert waves >= 0
    return flow, cut[: graph.sources], cut[graph.sources :]


def sent_into_sinks(graph: CompatibilityGraph, capacity: np.ndarray, flow: np.ndarray) -> float:
    """What of a preflow arrives: sinks pass on no more than their capacity."""
    return float(np.minimum(np.bincount(graph.sink, flow, graph.sinks), capacity).sum())


def reference(graph: CompatibilityGraph, supply: np.ndarray, capacity: np.ndarray) -> int:
    """Value of the maximum flow by scipy, on source -> sources -> sinks -> sink."""
    s, t = graph.sources, graph.sinks
    # int32, which the maximum_flow of every scipy takes
    ends = np.concatenate((np.full(s, s + t), graph.source, s + np.arange(t))).astype(np.int32)
    others = np.concatenate((np.arange(s), s + graph.sink, np.full(t, s + t + 1))).astype(np.int32)
    bounds = np.concatenate((supply, np.full(graph.edges, supply.sum()), capacity))
    matrix = csr_array((bounds.astype(np.int32), (ends, others)), shape=(s + t + 2, s + t + 2))
    return int(maximum_flow(matrix, s + t, s + t + 1).flow_value)


def check(
    graph: CompatibilityGraph,
    supply: np.ndarray,
    capacity: np.ndarray,
    start: np.ndarray | None = None,
) -> None:
    flow, sources, sinks = run(graph, supply, capacity, start)
    value = reference(graph, supply, capacity)
    assert flow.min() >= 0.0
    assert np.all(np.add.reduceat(flow, graph.first[:-1]) <= supply * (1 + 1e-14))
    assert sent_into_sinks(graph, capacity, flow) == pytest.approx(value, rel=1e-12)
    # the minimum cut: flagged sources' neighbours are flagged, and its capacity is the flow
    assert set(graph.sink[sources[graph.source]].tolist()) == set(np.flatnonzero(sinks).tolist())
    assert supply[~sources].sum() + capacity[sinks].sum() == pytest.approx(value, rel=1e-12)
    assert sources.any() == (value < supply.sum())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    sources=st.integers(1, 12),
    sinks=st.integers(1, 12),
    share=st.floats(0.05, 1.0),
    largest=st.sampled_from([3, 100, 10**6]),
)
def test_value_and_cut_agree_with_scipy_on_random_graphs(
    seed: int, sources: int, sinks: int, share: float, largest: int
) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, sources, sinks, share)
    supply = rng.integers(1, largest, sources, endpoint=True)
    check(graph, supply, rng.integers(1, largest, sinks, endpoint=True))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 200), long=st.sampled_from([ring, path]))
def test_value_and_cut_agree_with_scipy_on_rings_and_paths(
    seed: int, n: int, long: Callable[[int], CompatibilityGraph]
) -> None:
    rng = np.random.default_rng(seed)
    graph = long(n)
    check(graph, rng.integers(90, 100, n), rng.integers(90, 101, graph.sinks))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_start_will_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 8, 8, 0.4)
    start = rng.exponential(50.0, graph.edges)
    check(graph, rng.integers(1, 100, 8), rng.integers(1, 100, 8), start)


def test_sources_that_meet_halls_condition_send_everything() -> None:
    graph = ring(1000)
    _, sources, sinks = run(graph, np.full(1000, 1.0), np.full(1000, 1.0))
    assert not sources.any()
    assert not sinks.any()


def test_one_overfull_end_of_a_long_path_reaches_the_room_at_the_other() -> None:
    # every unit has to travel 5000 steps; waves carry it there in a handful of rounds
    n = 5000
    graph, capacity = path(n), np.ones(n + 1)
    capacity[0] = 0.5
    flow = np.zeros(graph.edges)
    flow[::2] = 1.0
    group = np.zeros(graph.sources + graph.sinks, dtype=np.int32)
    cut, _, waves = max_flow(Edges.of(graph), np.ones(n), capacity, group, flow, 0.0, WAVES)
    assert not cut.any()
    assert waves < 20


def test_groups_do_not_lend_each_other_room() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1), (1,)])
    group = np.array([0, 1, 0, 1], dtype=np.int32)
    flow = np.zeros(graph.edges)
    supply, capacity = np.array([2.0, 1.0]), np.array([1.0, 9.0])
    cut, excess, _ = max_flow(Edges.of(graph), supply, capacity, group, flow, 0.0, WAVES)
    assert cut.tolist() == [True, False, True, False]
    assert excess[[0, 2]].sum() == pytest.approx(1.0)
    assert flow[1] == 0.0
