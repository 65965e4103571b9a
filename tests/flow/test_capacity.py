import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from isocline.errors import UsageError
from isocline.flow import capacity_scale, neighbourhood
from isocline.model.graph import CompatibilityGraph
from tests.flow.worlds import random_graph, ring


def by_linear_program(graph: CompatibilityGraph, supply: np.ndarray, capacity: np.ndarray) -> float:
    """max s with sum_b y_fb = s supply_f and sum_f y_fb <= capacity_b, by HiGHS."""
    edges, s, t = graph.edges, graph.sources, graph.sinks
    sent, taken = np.zeros((s, edges + 1)), np.zeros((t, edges + 1))
    sent[graph.source, np.arange(edges)] = 1.0
    sent[:, edges] = -supply
    taken[graph.sink, np.arange(edges)] = 1.0
    goal = np.zeros(edges + 1)
    goal[edges] = -1.0
    finite = np.isfinite(capacity)
    found = linprog(goal, taken[finite], capacity[finite], sent, np.zeros(s), method="highs")
    assert found.fun is not None
    return -found.fun


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    sources=st.integers(1, 10),
    sinks=st.integers(1, 10),
    share=st.floats(0.1, 0.9),
)
def test_scale_agrees_with_a_linear_program_and_is_proved(
    seed: int, sources: int, sinks: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, sources, sinks, share)
    supply, capacity = rng.uniform(0.1, 2.0, sources), rng.uniform(0.1, 2.0, sinks)
    found = capacity_scale(graph, supply, capacity)
    assert found.scale == pytest.approx(by_linear_program(graph, supply, capacity), rel=1e-8)
    assert found.sinks.tolist() == neighbourhood(graph, found.sources).tolist()
    proof = math.fsum(capacity[found.sinks]) / math.fsum(supply[found.sources])
    assert found.scale == proof


def test_sources_with_an_unbounded_sink_hold_nothing_back() -> None:
    graph = CompatibilityGraph.from_neighbours(3, [(0, 2), (0, 1)])
    found = capacity_scale(graph, np.array([5.0, 1.0]), np.array([1.0, 2.0, np.inf]))
    assert found.scale == 3.0
    assert found.sources.tolist() == [1]


def test_scale_is_infinite_where_every_source_has_an_unbounded_sink() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1), (1,)])
    found = capacity_scale(graph, np.ones(2), np.array([1.0, np.inf]))
    assert found.scale == np.inf
    assert found.sources.size == 0


def test_bottleneck_of_a_ring_is_its_fullest_stretch() -> None:
    # by Hall, sources i..j (cyclic) have the sinks i..j+1; try all stretches
    rng = np.random.default_rng(1)
    n = 60
    supply, capacity = rng.uniform(0.9, 1.0, n), rng.uniform(0.9, 1.1, n)
    found = capacity_scale(ring(n), supply, capacity)
    stretches = [
        capacity[np.arange(i, i + k + 1) % n].sum() / supply[np.arange(i, i + k) % n].sum()
        for i in range(n)
        for k in range(1, n - 1)
    ]
    around = capacity.sum() / supply.sum()
    assert found.scale == pytest.approx(min(around, *stretches), rel=1e-12)


def test_scale_spans_twelve_orders_of_magnitude() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0,), (0, 1)])
    found = capacity_scale(graph, np.array([1e-6, 1e6]), np.array([3e-6, 2e6]))
    assert found.scale == pytest.approx(2.0, rel=1e-11)  # (2e6 + 3e-6) / (1e6 + 1e-6)


@pytest.mark.parametrize("capacity", [[1.0], [1.0, 0.0], [1.0, np.nan]])
def test_capacities_that_make_no_sense_are_refused(capacity: list[float]) -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0,), (1,)])
    with pytest.raises(UsageError, match="capacity must hold 2 numbers above 0"):
        capacity_scale(graph, np.ones(2), np.array(capacity))
