"""Jobs held at their frontends, in continuous time; the slotted clock's are in test_slotted."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.model.curves import Curve, HyperbolicCurve, TableCurve
from isocline.model.traffic import LognormalSizes, Trace
from isocline.policies.parse import parse
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.holding_engine import HoldEngine
from isocline.simulate.routing.kernels.processor_sharing import Arriving
from isocline.simulate.routing.prepare import Discipline, prepare
from isocline.simulate.routing.replicate import replicate
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet, mixed, station
from tests.naive import erlang_c_mean
from tests.simulate.routing.naive_holding import sharing_held


def agrees(estimate: Estimate | None, exact: float) -> bool:
    """Within twice the half-width: with 10 replications the 99.86 % level."""
    assert estimate is not None
    assert estimate.relative_half_width < 0.05
    return abs(estimate.value - exact) <= 2 * estimate.half_width


def rate_of(curve: Curve) -> Callable[[int], float]:
    return lambda n: float(curve.rate(n))


def test_the_kernel_equals_a_plain_event_loop_job_by_job() -> None:
    curves = [HyperbolicCurve(1.0, 1.5), HyperbolicCurve(1.2, 3.0), TableCurve(((2.0, 1.0),))]
    sees = [[0, 1], [1, 2], [2]]
    level = 0.1
    world = fleet(curves, [0.7, 0.5, 0.3], sees)
    rng = np.random.default_rng(3)
    time = np.cumsum(rng.exponential(1 / 1.5, 1500))
    source = rng.integers(0, 3, 1500).astype(np.int32)
    size = rng.lognormal(0.0, 0.7, 1500)
    policy = parse(f"gmsr_hold:level={level}")
    arriving = Arriving(time, source, size)
    engine = HoldEngine(Run(prepare(world), policy, RunSettings(1.0)), arriving)
    engine.advance(math.inf)

    def route(f: int, n: list[int]) -> int:
        marginal = {b: float(curves[b].marginal(n[b])) for b in sees[f]}
        best = max(marginal, key=marginal.__getitem__)
        return best if marginal[best] > level or n[best] == 0 else -1

    sojourns, most = sharing_held(
        list(zip(time.tolist(), source.tolist(), size.tolist(), strict=True)),
        [rate_of(curve) for curve in curves],
        sees,
        route,
    )
    assert most > 15  # it was put to the test
    assert engine.count[counters.COMPLETIONS] == 1500
    assert engine.gauge[counters.SOJOURN] == pytest.approx(sum(sojourns), rel=1e-9)


@pytest.mark.parametrize("frontends", [1, 3])
def test_held_jobs_make_one_queue_of_many_stations(frontends: int) -> None:
    # Stations of 2 and 3 servers that a frontend sends no more than they have servers: M/M/5.
    world = fleet([station(1.0, 2), station(1.0, 3)], [4.0 / frontends] * frontends)
    hold, gmsr = simulate(world, ["gmsr_hold", "gmsr"], horizon=20_000.0).policies
    assert agrees(hold.mean_jobs, erlang_c_mean(4.0, 5))
    assert gmsr.difference is not None
    assert gmsr.difference.low > 0


def test_a_held_queue_is_served_in_order_of_arrival() -> None:
    # M/M/1 in order: the sojourn is exponential at rate 1 - load.
    result = simulate(fleet([station()], [0.7]), ["gmsr_hold"], horizon=100_000.0).policies[0]
    for estimate, share in ((result.p50, 0.5), (result.p95, 0.95), (result.p99, 0.99)):
        assert agrees(estimate, -math.log(1.0 - share) / (1.0 - 0.7))


def test_a_measured_curve_is_not_driven_past_its_peak() -> None:
    curve = TableCurve(((1.0, 2.0), (4.0, 5.0), (8.0, 6.0)))
    world = fleet([curve, curve], [10.0])
    run = RunSettings(2000.0, 100.0, listed=True)
    found = replicate(Run(prepare(world), parse("gmsr_hold"), run))
    assert found is not None
    assert found.snapshots.max() == 8
    assert found.jobs.max() > 17  # while more wait outside


@pytest.mark.parametrize("level", [0.0, 0.3, 1e6])
@pytest.mark.parametrize("discipline", ["ps", "fcfs"])
def test_no_job_is_held_for_ever(level: float, discipline: Discipline) -> None:
    # Level 1e6 is above all marginal rates, even of empty backends.
    world = fleet([station(40.0, 2), station(60.0, 1)], [20.0, 10.0], [[0], [0, 1]])
    trace = Trace("burst", np.linspace(0.0, 10.0, 2000), np.ones(2000), np.ones(2000))
    result = simulate(
        world,
        [f"gmsr_hold:level={level}"],
        trace=trace,
        time_scale=0.2,
        discipline=discipline,
        replications=2,
    )
    assert result.policies[0].completed == 2 * 2000


def test_a_level_above_all_marginal_rates_lets_one_job_at_a_time_in() -> None:
    world = fleet([HyperbolicCurve(4.0, 3.0)], [0.5])  # l(1) = 1: M/M/1 at load 1/2
    result = simulate(world, ["gmsr_hold:level=100"], horizon=50_000.0).policies[0]
    assert agrees(result.mean_jobs, 1.0)


def test_all_policies_of_a_comparison_see_the_same_jobs() -> None:
    hold, other = (
        replicate(Run(prepare(mixed()), parse(name), RunSettings(100.0, 20.0, listed=True), 3))
        for name in ("gmsr_hold:level=0.5", "random")
    )
    assert hold is not None
    assert other is not None
    assert np.array_equal(hold.arrivals, other.arrivals)


def test_holding_works_with_any_sizes() -> None:
    world = fleet([station(1.0, 2)], [1.2], sizes=LognormalSizes(1.0))
    # One frontend, one station: jobs held outside wait as jobs do inside, in order.
    outside = simulate(world, ["gmsr_hold"], horizon=40_000.0, seed=1).policies[0].mean_jobs
    inside = simulate(world, ["jsq"], horizon=40_000.0, discipline="fcfs", seed=1)
    assert outside is not None
    mean = inside.policies[0].mean_jobs
    assert mean is not None
    assert outside.value == pytest.approx(mean.value, rel=1e-6)


@value_as(CHOOSE)
def never(candidates: Any, view: View, now: float, rng: Any) -> int:
    return -1


@dataclass(frozen=True)
class Never(RoutingPolicy):
    """Holds without having said so."""

    name: ClassVar[str] = "never"
    choose = never

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)


def test_a_policy_that_holds_must_say_so() -> None:
    with pytest.raises(PolicyError, match=r"never .*may_hold = True"):
        simulate(mixed(), [Never()])


def test_a_negative_level_is_refused() -> None:
    with pytest.raises(PolicyError, match="level"):
        parse("gmsr_hold:level=-1")
