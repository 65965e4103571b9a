"""Plans with the distances of zones: by convexity, by hand, and what becomes of special cases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.theory import fluid_optimum, plan, work_flow
from isocline.theory.routing.equilibrium import zoned_optimum
from tests.builders import fleet
from tests.theory.routing.test_work_flow import CURVES, LOADS, SEEDS, jobs_of, system_of


def zoned(
    system: RoutingSystem,
    frontends: str,
    backends: str,
    distances: tuple[float, float] | None = (0.1, 0.1),
) -> RoutingSystem:
    """The system with zones of one letter each; `-` is none."""
    return replace(
        system,
        frontends=tuple(
            replace(it, zone=None if zone == "-" else zone)
            for it, zone in zip(system.frontends, frontends, strict=True)
        ),
        backends=tuple(
            replace(it, zone=None if zone == "-" else zone)
            for it, zone in zip(system.backends, backends, strict=True)
        ),
        distances=distances,
    )


@settings(max_examples=30)
@given(SEEDS, LOADS, st.floats(1e-3, 1e2))
def test_with_ways_each_frontend_sees_one_cost_where_it_sends_and_none_lower(
    seed: int, load: float, longest: float
) -> None:
    system = system_of(seed, load)
    graph, rng = system.graph, np.random.default_rng(seed)
    ways = longest * rng.choice([0.0, rng.random(), 1.0], graph.edges)
    found = work_flow(system, np.ones(graph.edges), ways)
    assert -1e-12 <= found.gap < 1e-8
    assert found.conservation < 1e-12
    received = np.bincount(graph.sink, found.flow, graph.sinks).astype(np.float64)
    total = jobs_of(CURVES, received) + float(ways @ found.flow)
    assert found.total_jobs == pytest.approx(total, rel=1e-6)
    cost = found.price[graph.sink] + ways
    least = np.minimum.reduceat(cost, graph.first[:-1])
    lost = float(found.flow @ (cost - least[graph.source]))
    assert lost <= 1e-6 * found.total_jobs
    for _ in range(20):  # no other split, in which a frontend moves a part of its jobs, has fewer
        other = found.flow * rng.uniform(0.5, 1.5, graph.edges)
        sums = np.add.reduceat(other, graph.first[:-1])
        other *= (system.rates / sums)[graph.source]
        more = np.bincount(graph.sink, other, graph.sinks).astype(np.float64)
        if (more < system.capacities).all():
            assert jobs_of(CURVES, more) + float(ways @ other) >= found.least_jobs * (1 - 1e-9)


@settings(max_examples=20)
@given(SEEDS, LOADS, st.floats(0.0, 10.0))
def test_ways_that_are_alike_change_no_split(seed: int, load: float, way: float) -> None:
    system = system_of(seed, load)
    edges = system.graph.edges
    plain = work_flow(system, np.ones(edges))
    found = work_flow(system, np.ones(edges), np.full(edges, way))
    longer = way * float(system.rates.sum())
    assert found.total_jobs == pytest.approx(plain.total_jobs + longer, rel=1e-8)
    assert found.workloads == pytest.approx(plain.workloads, rel=1e-4, abs=1e-5)


def test_two_zones_by_hand() -> None:
    """1 / l' differs by the distance: what the crowded zone keeps is the root of one equation."""
    peak, half, rate, distance = 40.0, 12.0, 30.0, 0.15
    curve = HyperbolicCurve(peak, half)

    def price(inflow: float) -> float:
        jobs = half * inflow / (peak - inflow)
        return (half + jobs) ** 2 / (peak * half)

    kept = brentq(lambda x: price(x) - price(rate - x) - distance, rate / 2, rate)
    far = rate - kept
    jobs = sum(half * inflow / (peak - inflow) for inflow in (kept, far))
    found = plan(zoned(fleet([curve, curve], [rate]), "a", "ab", (distance, 9.0))).zones
    assert found
    assert found.total_jobs == pytest.approx(jobs + distance * far, rel=1e-9)
    assert found.on_their_way == pytest.approx(distance * far, rel=1e-5)
    assert found.crossing == pytest.approx(far / rate, rel=1e-5)
    assert found.mean_latency == pytest.approx(found.total_jobs / rate)
    assert {it.backend: it.rate for it in found.split} == pytest.approx(
        {"b0": kept, "b1": far}, rel=1e-5
    )


def test_a_distance_longer_than_any_price_keeps_all_jobs_near_that_fit() -> None:
    curve = HyperbolicCurve(10.0, 4.0)
    found = plan(zoned(fleet([curve] * 2, [8.0, 3.0]), "ab", "ab", (1e4, 1e4))).zones
    assert found
    assert (found.crossing, found.on_their_way) == pytest.approx((0.0, 0.0), abs=1e-3)
    # And a load that does not fit sends away what it must: 2 of 12 and a little.
    found = plan(zoned(fleet([curve] * 2, [12.0, 3.0]), "ab", "ab", (10.0, 10.0))).zones
    assert found
    assert 2.0 < 15.0 * found.crossing < 4.0


def test_systems_without_distances_have_no_such_plan() -> None:
    system = fleet([HyperbolicCurve(10.0, 4.0)] * 2, [8.0, 3.0])
    for zones, distances in (
        (("ab", "ab"), (0.0, 0.0)),
        (("ab", "ab"), None),
        (("--", "ab"), (1.0, 1.0)),
        (("ab", "--"), (1.0, 1.0)),
        (("aa", "aa"), (1.0, 1.0)),
    ):
        other = zoned(system, *zones, distances)
        assert other.ways.size == 0
        assert plan(other).zones is None
        assert zoned_optimum(other).total_jobs == fluid_optimum(system).total_jobs
    overloaded = plan(zoned(fleet([HyperbolicCurve(10.0, 4.0)] * 2, [30.0]), "a", "ab"))
    assert (overloaded.status, overloaded.zones) == ("infeasible", None)


def test_frontends_without_arrivals_have_no_part_in_it() -> None:
    curve = HyperbolicCurve(10.0, 4.0)
    two = zoned(fleet([curve] * 2, [0.0, 8.0]), "ba", "ab")
    one = zoned(fleet([curve] * 2, [8.0]), "a", "ab")
    alone, both = plan(one).zones, plan(two).zones
    assert alone
    assert both
    assert both.total_jobs == pytest.approx(alone.total_jobs, rel=1e-9)
    split = zoned_optimum(two).split
    assert split[:2].tolist() == [0.0, 0.0]
    assert split[2:] == pytest.approx(zoned_optimum(one).split, rel=1e-5)


def test_the_document_has_it() -> None:
    found = plan(zoned(fleet([HyperbolicCurve(10.0, 4.0)] * 2, [8.0]), "a", "ab")).to_dict()
    assert found["zones"]["total_jobs"] > found["total_jobs"]
    assert 0.0 <= found["zones"]["gap"] < 1e-8


@pytest.mark.parametrize("ways", [[1.0], [1.0, -1.0], [1.0, np.inf], [np.nan, 0.0]])
def test_ways_that_are_no_times_are_refused(ways: list[float]) -> None:
    system = fleet([HyperbolicCurve(10.0, 4.0)] * 2, [8.0])
    with pytest.raises(UsageError, match="ways: give 2 finite numbers"):
        work_flow(system, np.ones(2), np.array(ways))


@pytest.mark.parametrize("distances", [(-1.0, 0.0), (0.0, np.inf), (0.0, np.nan)])
def test_distances_that_are_no_times_are_refused(distances: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="distance of another"):
        zoned(fleet([HyperbolicCurve(10.0, 4.0)], [1.0]), "a", "b", distances)
