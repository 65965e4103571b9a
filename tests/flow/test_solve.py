import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.flow import FlowStatus, LevelFlowProblem, Prices, solve
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.workloads import workloads
from tests.flow.convex import least_jobs
from tests.flow.worlds import (
    PLAIN,
    at_load,
    curve,
    path,
    proves_infeasible,
    random_graph,
    ring,
    solved,
)

ROOT2 = np.sqrt(2.0)


def tame_curve(rng: np.random.Generator) -> Curve:
    """Of any kind, with whole sharpness and scales within a decade, as Clarabel needs them."""
    peak, half = float(rng.uniform(0.5, 2.0)), float(rng.uniform(0.5, 4.0))
    match rng.integers(4):
        case 0:
            return HyperbolicCurve(peak, half)
        case 1:
            return ExponentialCurve(peak, half)
        case 2:
            return KneeCurve(peak, half, float(rng.integers(1, 4)))
    return TableCurve(((half, 0.5 * peak), (2 * half, 0.8 * peak), (4 * half, peak)))


@pytest.mark.parametrize("tens", range(20))
def test_200_random_graphs_of_mixed_curves_agree_with_cvxpy_and_clarabel(tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        rng = np.random.default_rng(seed)
        sources, sinks = (int(n) for n in rng.integers(1, 6, 2))
        graph = random_graph(rng, sources, sinks, 0.5)
        curves = [tame_curve(rng) for _ in range(sinks)]
        supply, load = rng.uniform(0.2, 1.0, sources), float(rng.uniform(0.1, 0.9))
        problem = at_load(graph, supply, curves, load)
        result = solved(problem)
        ours = workloads(curves, result.inflow, result.price).sum()
        # Clarabel stops at a relative gap of 1e-8 of a problem in cones; 1e-5 is what it reaches
        # through the rational approximation of the knee's norm
        assert ours == pytest.approx(least_jobs(graph, problem.supply, curves), rel=1e-5), seed


def test_n_model_of_the_papers_appendix_f_has_its_true_optimum() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0,), (0, 1)])
    curves = [HyperbolicCurve(1.0, 1.0), HyperbolicCurve(1.0, 2.0)]
    result = solved(LevelFlowProblem(graph, np.array([0.4, 0.6]), Prices.of_curves(curves)))
    assert workloads(curves, result.inflow, result.price) == pytest.approx([ROOT2] * 2, rel=1e-14)


LOADS = st.sampled_from([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9])


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.sampled_from([(kind,) for kind in (*PLAIN, "servers")] + [(*PLAIN, "servers")]),
    shape=st.sampled_from(["sparse", "dense", "ring", "path"]),
    load=LOADS,
    twelve_orders=st.booleans(),
)
def test_hard_problems_keep_their_certificate(
    seed: int, kinds: tuple[str, ...], shape: str, load: float, twelve_orders: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    match shape:
        case "ring":
            graph = ring(int(rng.integers(2, 60)))
        case "path":
            graph = path(int(rng.integers(1, 60)))
        case _:
            share = 0.25 if shape == "sparse" else 1.0
            graph = random_graph(rng, n, int(rng.integers(1, 12)), share)

    def scale() -> float:
        return float(10 ** rng.uniform(-6, 6)) if twelve_orders else 1.0

    curves = [curve(rng, str(rng.choice(kinds)), scale()) for _ in range(graph.sinks)]
    supply = np.array([scale() * rng.uniform(0.1, 1.0) for _ in range(graph.sources)])
    solved(at_load(graph, supply, curves, load))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), over=st.sampled_from([1e-9, 1e-3, 0.5, 10.0]))
def test_what_cannot_be_carried_is_proved_so(seed: int, over: float) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 8, 8, 0.25)
    curves = [curve(rng, str(rng.choice(PLAIN))) for _ in range(8)]
    problem = at_load(graph, rng.uniform(0.1, 1.0, 8), curves, 1.0 + over)
    result = solve(problem)
    assert result.status is FlowStatus.INFEASIBLE
    assert proves_infeasible(problem, result)


def test_load_equal_to_capacity_is_infeasible() -> None:
    graph = CompatibilityGraph.from_neighbours(1, [(0,)])
    problem = LevelFlowProblem(
        graph, np.array([2.0]), Prices.of_curves([HyperbolicCurve(2.0, 1.0)])
    )
    result = solve(problem)
    assert result.status is FlowStatus.INFEASIBLE
    assert proves_infeasible(problem, result)
    assert result.flow.size == 0


def test_only_the_overloaded_part_is_named() -> None:
    graph = CompatibilityGraph.from_neighbours(3, [(0,), (0,), (1, 2)])
    curves = [HyperbolicCurve(1.0, 1.0), HyperbolicCurve(5.0, 1.0), HyperbolicCurve(5.0, 1.0)]
    problem = LevelFlowProblem(graph, np.array([0.7, 0.7, 1.0]), Prices.of_curves(curves))
    result = solve(problem)
    assert result.violated_sources.tolist() == [0, 1]
    assert result.violated_sinks.tolist() == [0]


def test_sink_that_is_too_slow_gets_nothing_and_keeps_its_empty_price() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1)])
    curves = [HyperbolicCurve(10.0, 1.0), HyperbolicCurve(1.0, 100.0)]
    result = solved(LevelFlowProblem(graph, np.array([1.0]), Prices.of_curves(curves)))
    assert result.flow.tolist() == [1.0, 0.0]
    assert result.price[1] == pytest.approx(100.0)  # half / peak


def test_sink_without_a_source_gets_nothing() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0,)])
    prices = Prices.of_curves([HyperbolicCurve(1.0, 1.0)] * 2)
    result = solved(LevelFlowProblem(graph, np.array([0.5]), prices))
    assert result.inflow.tolist() == [0.5, 0.0]


def test_equal_sinks_share_equally() -> None:
    graph = CompatibilityGraph.from_neighbours(7, [range(7)] * 5)
    prices = Prices.of_curves([KneeCurve(3.0, 2.0, 4.0)] * 7)
    result = solved(LevelFlowProblem(graph, np.full(5, 2.0), prices))
    assert result.inflow == pytest.approx([10.0 / 7.0] * 7, rel=1e-12)


def test_parts_that_are_not_connected_are_solved_apart() -> None:
    curves = [HyperbolicCurve(2.0, 1.0), HyperbolicCurve(3.0, 4.0)]
    graph = CompatibilityGraph.from_neighbours(2, [(0,), (1,)])
    result = solved(LevelFlowProblem(graph, np.array([1.9, 1e-9]), Prices.of_curves(curves)))
    assert result.inflow.tolist() == [1.9, 1e-9]


@pytest.mark.parametrize("graph", [ring(4000), path(4000)], ids=["ring", "path"])
def test_long_and_nearly_saturated_graphs_are_solved_exactly(graph: CompatibilityGraph) -> None:
    rng = np.random.default_rng(0)
    curves = [HyperbolicCurve(1.0, float(half)) for half in rng.uniform(1, 10, graph.sinks)]
    supply = rng.uniform(0.95, 0.999, graph.sources)
    result = solved(at_load(graph, supply, curves, 0.9999))
    assert result.max_flows < 50


def test_solution_does_not_depend_on_the_order_of_sources_and_sinks() -> None:
    rng = np.random.default_rng(4)
    graph = random_graph(rng, 30, 30, 0.1)
    curves = [tame_curve(rng) for _ in range(30)]
    problem = at_load(graph, rng.uniform(0.1, 1.0, 30), curves, 0.8)
    source, sink = rng.permutation(30), rng.permutation(30)
    moved = CompatibilityGraph.from_edges(
        30, 30, np.column_stack((source[graph.source], sink[graph.sink]))
    )
    supply, shuffled = np.empty(30), [curves[0]] * 30
    supply[source] = problem.supply
    for b, each in enumerate(curves):
        shuffled[sink[b]] = each
    again = solved(LevelFlowProblem(moved, supply, Prices.of_curves(shuffled)))
    # unique inflows (Lemma 2), to what rounding of the levels leaves
    assert again.inflow[sink] == pytest.approx(solved(problem).inflow, rel=1e-9, abs=1e-12)
