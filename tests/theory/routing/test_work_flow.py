"""Optimum where work depends on the edge: plain cases by the level flow, the rest by convexity."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from isocline.errors import NumericalError, UsageError
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve
from isocline.model.fleet import RoutingSystem
from isocline.theory import best_copies, fluid_optimum, work_flow
from isocline.theory.routing.workloads import workloads
from tests.builders import fleet

FloatArray = npt.NDArray[np.float64]
CURVES: list[Curve] = [
    HyperbolicCurve(9.0, 2.0),
    KneeCurve(12.0, 5.0, 2.6),
    ExponentialCurve(5.0, 3.0),
    KneeCurve(7.0, 1.5, 1.0),
]
LOADS = st.floats(0.05, 0.97)
SEEDS = st.integers(0, 2**32 - 1)


def system_of(seed: int, load: float, sources: int = 4) -> RoutingSystem:
    """Random rates at this share of all capacity, on a random graph."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.2, 1.0, sources)
    capacity = sum(curve.supremum for curve in CURVES)
    neighbours = [
        sorted({0, *rng.choice(len(CURVES), 2, replace=False).tolist()}) for _ in range(sources)
    ]
    # Some sets of backends have less than their part: as much as the first one alone can take.
    rates *= load * min(capacity, CURVES[0].supremum) / rates.sum()
    return fleet(CURVES, rates.tolist(), neighbours)


def jobs_of(curves: Sequence[Curve], received: FloatArray) -> float:
    price = np.array(
        [1.0 / float(c.marginal(_workload(c, a))) for c, a in zip(curves, received, strict=True)]
    )
    return float(workloads(curves, received, price).sum())


def _workload(curve: Curve, rate: float) -> float:
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(curve.rate(middle)) < rate else (low, middle)
    return low


@settings(max_examples=30)
@given(SEEDS, LOADS)
def test_with_one_work_for_all_it_is_the_level_flow(seed: int, load: float) -> None:
    system = system_of(seed, load)
    found = work_flow(system, np.ones(system.graph.edges))
    plain = fluid_optimum(system)
    assert found.total_jobs == pytest.approx(plain.total_jobs, rel=1e-8)
    assert found.workloads == pytest.approx(plain.workloads, rel=1e-4, abs=1e-6)
    assert found.gap < 1e-8
    assert found.conservation < 1e-12


@settings(max_examples=30)
@given(SEEDS, LOADS)
def test_work_that_factors_into_frontends_and_backends_is_rates_and_curves(
    seed: int, load: float
) -> None:
    """w_fb = u_f v_b: the same as u_f times the rates, and curves over v_b."""
    system = system_of(seed, load)
    rng, graph = np.random.default_rng(seed), system.graph
    u, v = rng.uniform(0.3, 1.0, graph.sources), rng.uniform(0.5, 1.0, graph.sinks)
    found = work_flow(system, u[graph.source] * v[graph.sink])
    curves = [curve.scaled(1.0 / by) for curve, by in zip(CURVES, v.tolist(), strict=True)]
    neighbours = [graph.neighbours(f) for f in range(graph.sources)]
    plain = fluid_optimum(fleet(curves, (u * system.rates).tolist(), neighbours))
    assert found.total_jobs == pytest.approx(plain.total_jobs, rel=1e-8)


@settings(max_examples=30)
@given(SEEDS, LOADS)
def test_each_frontend_sees_one_cost_and_no_other_split_has_fewer_jobs(
    seed: int, load: float
) -> None:
    system = system_of(seed, load)
    rng, graph = np.random.default_rng(seed), system.graph
    work = rng.uniform(0.2, 1.0, graph.edges)
    found = work_flow(system, work)
    cost = work * found.price[graph.sink]
    level = np.minimum.reduceat(cost, graph.first[:-1])[graph.source]
    used = found.flow > 1e-4 * system.rates[graph.source]
    assert cost[used] == pytest.approx(level[used], rel=1e-5)
    assert found.inflow == pytest.approx(np.bincount(graph.sink, work * found.flow, graph.sinks))
    for _ in range(5):  # others, near and far
        even = rng.dirichlet(np.ones(graph.edges)) + 1e-9
        shares = even / np.add.reduceat(even, graph.first[:-1])[graph.source]
        near = 10.0 ** rng.uniform(-6, 0)
        flow = (1 - near) * found.flow + near * shares * system.rates[graph.source]
        received = np.bincount(graph.sink, work * flow, graph.sinks).astype(np.float64)
        if (received < 0.999 * system.capacities).all():
            assert jobs_of(CURVES, received) >= found.least_jobs * (1 - 1e-9)


@pytest.mark.parametrize("warm", [1.0, 0.6, 0.3])
def test_one_frontend_and_two_backends_as_a_search_finds_them(warm: float) -> None:
    curves = [HyperbolicCurve(9.0, 2.0), KneeCurve(12.0, 5.0, 2.6)]
    system = fleet(curves, [8.0])

    def jobs(share: float) -> float:
        received = np.array([8.0 * share * warm, 8.0 * (1.0 - share)])
        return jobs_of(curves, received)

    best = minimize_scalar(jobs, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-10})
    found = work_flow(system, np.array([warm, 1.0]))
    # The search does not quite reach an end of its range, where one backend gets all.
    assert best.fun * (1 - 1e-6) < found.total_jobs < best.fun * (1 + 1e-9)
    assert found.flow[0] / 8.0 == pytest.approx(best.x, abs=1e-4)


def test_work_that_is_saved_is_worth_flow_times_price() -> None:
    """The first order of a copy: flow * (cold - warm work) / l'."""
    system = system_of(7, 0.8)
    work = np.random.default_rng(7).uniform(0.5, 1.0, system.graph.edges)
    found = work_flow(system, work)
    edge = int(np.argmax(found.flow))
    step = 1e-4 * work[edge]
    less = work_flow(system, np.where(np.arange(work.size) == edge, work - step, work))
    worth = found.flow[edge] * step * found.price[system.graph.sink[edge]]
    assert found.total_jobs - less.total_jobs == pytest.approx(worth, rel=0.01)


@settings(max_examples=10)
@given(SEEDS, st.floats(0.3, 0.95), st.integers(1, 4))
def test_the_best_copies_are_those_of_all_that_were_tried(
    seed: int, load: float, count: int
) -> None:
    system = system_of(seed, load, 3)
    rng, edges = np.random.default_rng(seed), system.graph.edges
    cold = np.ones(edges)
    cold[rng.integers(edges)] = 0.4  # has its copy
    warm = np.full(edges, 0.4)
    now = work_flow(system, cold).total_jobs
    savings = [
        now - work_flow(system, np.where(np.arange(edges) == e, warm, cold)).total_jobs
        for e in range(edges)
    ]
    expected = [saving for saving in sorted(savings, reverse=True) if saving > 1e-9 * now][:count]
    found = best_copies(system, cold, warm, count)
    assert [copy.saving for copy in found] == pytest.approx(expected, rel=1e-6)
    assert all(copy.saving <= copy.most for copy in found)


@pytest.mark.parametrize("sources", [1, 2, 5])
def test_near_capacity_the_optimum_is_between_the_flow_and_its_bound(sources: int) -> None:
    """With one work for all the level flow has it, to rounding over the room that is left."""
    capacity = sum(curve.supremum for curve in CURVES)
    for room, most in ((1e-3, 1e-9), (1e-5, 1e-9), (1e-7, 1e-2), (1e-9, np.inf)):
        system = fleet(CURVES, [(1.0 - room) * capacity / sources] * sources)
        best = fluid_optimum(system).total_jobs
        found = work_flow(system, np.ones(system.graph.edges))
        rounding = 1e-15 / room
        assert found.least_jobs <= best * (1.0 + rounding)
        assert best <= found.total_jobs * (1.0 + rounding)
        assert found.gap <= most


@settings(max_examples=20)
@given(SEEDS)
def test_near_capacity_other_splits_are_not_below_the_bound(seed: int) -> None:
    """Where works differ, too: the load is what fills the last part of some set of backends."""
    rng = np.random.default_rng(seed)
    work = rng.uniform(0.3, 1.0, 12)
    rates = rng.uniform(0.5, 1.0, 3)
    with pytest.raises(UsageError, match="infeasible") as refused:
        work_flow(fleet(CURVES, (100.0 * rates).tolist()), work)
    times = float(str(refused.value).split(" is ")[1].split(" times")[0])
    for room, most in ((1e-2, 1e-9), (1e-3, 1e-4), (1e-4, 1e-2)):
        system = fleet(CURVES, ((1.0 - room) * 100.0 / times * rates).tolist())
        found = work_flow(system, work)
        assert found.gap <= most
        assert found.conservation < 1e-12
        assert jobs_of(CURVES, found.inflow) == pytest.approx(found.total_jobs, rel=1e-6)


def test_what_cannot_be_done_is_said() -> None:
    system = system_of(1, 0.9)
    edges = system.graph.edges
    with pytest.raises(
        UsageError, match=r"infeasible, for the work that has to come is 1\.\d* times"
    ):
        work_flow(fleet(CURVES, [40.0]), np.ones(4))
    with pytest.raises(UsageError, match=f"give {edges} finite numbers above 0"):
        work_flow(system, np.zeros(edges))
    idle = replace(system, frontends=fleet(CURVES, [0.0, 1.0, 1.0, 1.0]).frontends)
    with pytest.raises(UsageError, match="each frontend needs a rate above 0"):
        work_flow(idle, np.ones(edges))
    closest = fleet(CURVES, [np.nextafter(sum(curve.supremum for curve in CURVES), 0.0)])
    with pytest.raises((NumericalError, UsageError), match=r"so close to the capacity|infeasible"):
        work_flow(closest, np.ones(4))
    # Half the work makes the same rates feasible.
    assert work_flow(fleet(CURVES, [40.0]), np.full(4, 0.5)).gap < 1e-8
