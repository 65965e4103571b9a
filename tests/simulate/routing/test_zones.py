"""Distances of zones in simulations: jobs take them longer, policies count them, nothing else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.learn import Learning
from isocline.model.curves import HyperbolicCurve, PoolCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.residency import Model
from isocline.model.traffic import DeterministicSizes, Trace
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.failure import Failure
from isocline.theory.routing.equilibrium import zoned_optimum
from tests.builders import fleet
from tests.simulate.routing.naive_caching import Request
from tests.simulate.routing.test_caching import SIZE, trace_of, world
from tests.theory.routing.test_zone_plan import zoned

FAST, SLOW = HyperbolicCurve(40.0, 12.0), HyperbolicCurve(10.0, 5.0)
SYSTEM = fleet([FAST, SLOW, FAST], [9.0, 7.0])
WAY = 0.7
SHORT: dict[str, Any] = {"horizon": 30.0, "warmup": 0.0, "replications": 2, "threads": 1}
TRACE = Trace("t", np.linspace(0.0, 40.0, 600), np.ones(600), np.ones(600))
LOADED = replace(
    SYSTEM,
    models=(Model("m-*", 1.0, 0.05, 4),),
    backends=tuple(replace(it, memory=2.0) for it in SYSTEM.backends),
)
# Each with what is simulated by one more engine, and a policy that looks at no distance.
CASES: list[tuple[str, RoutingSystem, dict[str, Any]]] = [
    ("round_robin", replace(SYSTEM, sizes=DeterministicSizes()), {}),
    ("random", SYSTEM, {"common_arrivals": True}),
    ("jsq", SYSTEM, {"trace": TRACE}),
    ("peak_ewma", SYSTEM, {"common_arrivals": True}),  # all latencies are as much longer
    ("jiq", SYSTEM, {"patience": "exponential:mean=3"}),
    ("jsq", SYSTEM, {"failures": [Failure("b1", 20.0)]}),
    ("jsq", SYSTEM, {"failures": [Failure("b1", 20.0, lost=True)]}),
    ("model_affinity", LOADED, {}),
]


@pytest.mark.parametrize(("policy", "system", "options"), CASES)
def test_where_all_is_as_far_each_job_takes_as_much_longer(
    policy: str, system: RoutingSystem, options: dict[str, Any]
) -> None:
    near = simulate(system, [policy], **SHORT | options)
    far = simulate(zoned(system, "aa", "bbb", (WAY, WAY)), [policy], **SHORT | options)
    [plain], [found] = near.policies, far.policies
    assert plain.mean_latency
    assert found.mean_latency
    if policy == "peak_ewma":  # it weighs latencies, so only the least that it can take is known
        assert found.mean_latency.value > plain.mean_latency.value
        return
    assert found.completed == plain.completed
    assert found.mean_latency.value == pytest.approx(plain.mean_latency.value + WAY, rel=1e-9)
    for one, other in ((plain.p50, found.p50), (plain.p99, found.p99)):
        assert (one is None) == (other is None)
        assert (
            one is None or other is None or other.value == pytest.approx(one.value + WAY, rel=0.06)
        )  # a bucket is 4.7 % wide
    assert np.array_equal(found.backend_jobs, plain.backend_jobs)
    assert plain.mean_jobs
    assert found.mean_jobs
    # Little's law of the jobs that are on their way.
    served = plain.completed / (2.0 * far.horizon)
    assert found.mean_jobs.value == pytest.approx(plain.mean_jobs.value + WAY * served, rel=0.05)
    assert "another zone 0.7 s away, another region 0.7 s" in far.source


def test_only_jobs_that_cross_take_longer() -> None:
    """Half of the jobs are sent to each backend, and only those of the second one cross."""
    system = replace(fleet([FAST, FAST], [20.0]), sizes=DeterministicSizes())
    near = simulate(system, ["round_robin"], **SHORT)
    far = simulate(zoned(system, "a", "ab", (WAY, 9.0)), ["round_robin"], **SHORT)
    [one], [other] = near.policies, far.policies
    assert one.mean_latency
    assert other.mean_latency
    longer = other.mean_latency.value - one.mean_latency.value
    assert longer == pytest.approx(WAY / 2, rel=0.01)


@pytest.mark.parametrize("policy", ["gmsr", "gmsr_secant", "least_expected_latency"])
def test_policies_that_count_distances_beat_those_that_do_not(policy: str) -> None:
    system = zoned(fleet([FAST] * 2, [25.0, 12.0]), "ab", "ab", (WAY, WAY))
    found = simulate(system, [policy, "random"], horizon=300.0, replications=4)
    least = zoned_optimum(system).total_jobs
    assert found.lower_bound == pytest.approx(least)
    priced, blind = (it.mean_jobs for it in found.policies)
    assert priced
    assert blind
    assert least < priced.value < 1.15 * least
    assert blind.value > 1.2 * least
    for one in found.policies:  # and Little's law holds with ways
        assert one.littles_law < 0.02


def test_fixed_shares_are_those_of_the_plan_with_distances() -> None:
    """With few jobs of much slack all stay near, where without distances half of them crossed."""
    system = fleet([FAST] * 2, [6.0])
    near, far = (
        simulate(it, ["static_optimal"], horizon=200.0, replications=2).policies[0]
        for it in (system, zoned(system, "a", "ab", (50.0, 50.0)))
    )
    assert near.backend_jobs[1] > 0.2
    assert far.backend_jobs[1] == pytest.approx(0.0, abs=1e-2)


def test_policies_that_hold_jobs_count_and_take_the_way() -> None:
    system = zoned(fleet([FAST] * 2, [20.0]), "a", "bb", (WAY, WAY))
    found = simulate(system, ["gmsr_hold:level=0", "gmsr"], **SHORT)
    for one in found.policies:
        assert one.mean_latency
        assert one.mean_latency.value > WAY
        assert one.littles_law < 0.05


def test_prefix_caches_and_zones_go_together() -> None:
    system = world([6, 6, 6])
    requests = [Request(0.1 * i, i % 2, 3 * SIZE, 2, [i % 5, i % 7, i % 3]) for i in range(200)]
    trace = trace_of(requests)
    near = simulate(system, ["jsq"], trace=trace, replications=2)
    far = simulate(zoned(system, "aa", "bbb", (WAY, WAY)), ["jsq"], trace=trace, replications=2)
    [one], [other] = near.policies, far.policies
    assert one.mean_latency
    assert other.mean_latency
    assert other.mean_latency.value == pytest.approx(one.mean_latency.value + WAY)
    assert one.hit_rate == other.hit_rate


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"delay": Delay(travel=0.1)}, "leave out --delay"),
        ({"learn": Learning()}, "leave out --learn"),
        ({"clock": "slotted"}, "give --clock continuous"),
    ],
)
def test_what_no_engine_runs_with_distances_is_refused(
    options: dict[str, Any], problem: str
) -> None:
    system = zoned(SYSTEM, "aa", "abb")
    with pytest.raises(UsageError, match="distances of zones") as caught:
        simulate(system, ["gmsr"], **SHORT | options)
    assert problem in str(caught.value)
    assert "leave serve.distance out of the system" in str(caught.value)


def test_layers_are_refused_as_well() -> None:
    pools = zoned(fleet([PoolCurve((FAST, SLOW)), FAST], [20.0]), "a", "ab")
    with pytest.raises(UsageError, match="distances of zones"):
        simulate(pools, ["gmsr"], layers="gmsr", **SHORT)


def test_a_fleet_that_changes_keeps_its_zones() -> None:
    system = zoned(SYSTEM, "aa", "abb", (WAY, WAY))
    with pytest.raises(UsageError, match="other distances of zones"):
        simulate(system, ["gmsr"], changes=[(5.0, replace(system, distances=(0.1, 0.1)))], **SHORT)
    with pytest.raises(UsageError, match="another zone than before"):
        simulate(system, ["gmsr"], changes=[(5.0, zoned(SYSTEM, "aa", "aba", (WAY, WAY)))], **SHORT)
    far = zoned(SYSTEM, "aa", "bbb", (WAY, WAY))
    [one] = simulate(SYSTEM, ["jsq"], changes=[(5.0, SYSTEM)], **SHORT).policies
    [other] = simulate(far, ["jsq"], changes=[(5.0, far)], **SHORT).policies
    assert one.mean_latency
    assert other.mean_latency
    assert other.mean_latency.value == pytest.approx(one.mean_latency.value + WAY)
