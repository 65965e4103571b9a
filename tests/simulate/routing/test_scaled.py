"""Scaled systems (GMSR paper, Section 5): what changes by c, and what does not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.cli import main
from isocline.errors import InfeasibleError, UsageError
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    TableCurve,
)
from isocline.model.fleet import Frontend
from isocline.model.traffic import PiecewiseArrivals, Trace, TraceArrivals
from isocline.report.conditions import conditions
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.routing.compare import simulate, sweep
from isocline.theory.routing.equilibrium import plan
from tests.builders import fleet, mixed, station
from tests.simulate.routing.options import RunLength, SimulateOptions

POINTS = ((1.0, 2.0), (3.0, 4.5), (7.0, 6.0), (8.0, 5.0))
CURVES: list[Curve] = [
    HyperbolicCurve(4.0, 3.0),
    ExponentialCurve(2.0, 3.0),
    KneeCurve(3.0, 4.0, 2.5),
    TableCurve(POINTS),
    PoolCurve((HyperbolicCurve(4.0, 3.0), KneeCurve(3.0, 4.0, 2.5))),
]


@pytest.mark.parametrize("curve", [*CURVES, station(2.0, 3)], ids=lambda c: c.type)
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 1000), st.floats(0.0, 40.0))
def test_an_enlarged_curve_is_c_times_the_curve_at_n_over_c(
    curve: Curve, factor: int, workload: float
) -> None:
    enlarged = curve.enlarged(float(factor))
    rate = float(curve.rate(workload))
    assert float(enlarged.rate(factor * workload)) == pytest.approx(factor * rate, rel=1e-9)
    assert enlarged.supremum == pytest.approx(factor * curve.supremum, rel=1e-12)
    if workload > 1e-6 and abs(workload - 3.0) > 1e-6:  # where the station's rate bends
        marginal = float(curve.marginal(workload))
        assert float(enlarged.marginal(factor * workload)) == pytest.approx(marginal, rel=1e-6)


@pytest.mark.parametrize("factor", [0.5, 7.0, 1000.0])
def test_the_plan_of_an_enlarged_system_is_c_times_the_plan(factor: float) -> None:
    system = fleet(CURVES, [3.0, 2.0, 1.0], [[0, 1, 2], [2, 3], [3, 4]])
    one, large = plan(system), plan(system.enlarged(factor))
    assert one.total_jobs is not None
    assert large.total_jobs == pytest.approx(factor * one.total_jobs, rel=1e-7)
    assert one.mean_latency is not None
    assert large.mean_latency == pytest.approx(one.mean_latency, rel=1e-7)
    for a, b in zip(one.backends, large.backends, strict=True):
        assert b.jobs == pytest.approx(factor * a.jobs, rel=1e-6)
        assert b.marginal_rate == pytest.approx(a.marginal_rate, rel=1e-6)


def test_a_station_must_keep_whole_servers() -> None:
    assert station(2.0, 10).enlarged(0.1).count == 1
    world = fleet([HyperbolicCurve(1.0, 1.0), station(2.0, 3)], [1.0])
    with pytest.raises(UsageError, match=r"backend 'b1': scale 0.5: .* 1.5 servers; give a scale"):
        world.enlarged(0.5)
    with pytest.raises(UsageError, match=r"0\.3 servers"):
        station(2.0, 3).enlarged(0.1)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_factor_out_of_range_is_refused(factor: float) -> None:
    with pytest.raises(UsageError, match="finite number above 0"):
        mixed().enlarged(factor)


def test_rates_that_change_with_time_keep_their_pace() -> None:
    tides = PiecewiseArrivals(((0.0, 5.0), (200.0, 35.0)), 400.0)
    large = tides.enlarged(10.0)
    assert large.rate == pytest.approx(10 * tides.rate)
    assert large.period == tides.period
    assert large.steps == ((0.0, 50.0), (200.0, 350.0))


def test_a_trace_is_not_scaled() -> None:
    with pytest.raises(UsageError, match="trace"):
        TraceArrivals(np.array([0.0, 1.0]), 2.0).enlarged(2.0)
    world = replace(mixed(), frontends=(Frontend("a", TraceArrivals(np.arange(9.0), 9.0)),) * 2)
    with pytest.raises(UsageError, match="trace"):
        world.enlarged(2.0)
    short = Trace("t", np.arange(200.0), np.ones(200), np.ones(200))
    with pytest.raises(UsageError, match="leave out --scale"):
        simulate(mixed(), ["gmsr"], trace=short, scale=2.0)
    with pytest.raises(UsageError, match="--clock continuous"):
        simulate(mixed(), ["gmsr"], trace=short, clock="slotted")


@pytest.mark.parametrize("clock", ["continuous", "slotted"])
def test_the_mean_of_y_falls_to_the_fluid_optimum(clock: Clock) -> None:
    ratios = []
    for scale in (1.0, 8.0, 64.0):
        options: RunLength = {"horizon": 3000.0 / scale**0.5, "warmup": 100.0, "percentiles": False}
        result = simulate(mixed(), ["gmsr"], scale=scale, clock=clock, **options)
        assert result.lower_bound == pytest.approx(plan(mixed()).total_jobs)
        policy = result.policies[0]
        assert policy.ratio_to_bound is not None
        assert policy.mean_jobs is not None
        ratios.append(policy.ratio_to_bound)
        # All that counts jobs is in the same unit, and latencies are Little's.
        total = policy.mean_jobs.value
        assert policy.ratio_to_bound.value == pytest.approx(total / result.lower_bound)
        assert policy.backend_jobs.sum() == pytest.approx(total, rel=0.1)
        assert policy.total_over_time[-60:].mean() == pytest.approx(total, rel=0.2)
        assert policy.workloads_over_time[60:].sum(axis=1).mean() == pytest.approx(total, rel=0.2)
        assert policy.mean_latency is not None
        assert policy.mean_latency.value == pytest.approx(total / 20.0, rel=0.02)
    assert ratios[0].low > ratios[1].high
    assert ratios[1].low > ratios[2].high
    assert ratios[2].low > 1.0
    # Fluctuations of order 1 / sqrt(c) raise the mean by their square: 1 / c.
    excess = [ratio.value - 1.0 for ratio in ratios]
    assert 4.0 < excess[1] / excess[2] < 16.0
    assert excess[2] < 0.01


def test_unstable_policies_and_infeasible_loads_are_told_at_any_scale() -> None:
    world = fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [20.0])
    options: SimulateOptions = {"scale": 5.0, "horizon": 100.0, "warmup": 20.0}
    assert simulate(world, ["random"], **options).policies[0].status == "unstable"
    with pytest.raises(InfeasibleError) as caught:
        simulate(fleet([station(1.0)], [1.5]), ["gmsr"], scale=5.0)
    assert caught.value.supply == 1.5  # as in the file, not times 5


def test_the_result_says_its_clock_and_scale() -> None:
    options: RunLength = {"horizon": 200.0, "warmup": 20.0, "replications": 2}
    slotted = simulate(mixed(), ["gmsr"], clock="slotted", scale=4.0, **options)
    document = slotted.to_dict()
    assert document["clock"] == "slotted"
    assert document["scale"] == 4.0
    assert document["slot"] == 1.0 / 4.0  # 1 s is admitted at this scale
    assert document["departures"] == "binomial"
    words = conditions(slotted)
    assert "Poisson arrivals and binomial departures in slots of 0.25 s" in words
    assert "Scale 4: a job counts 1/4." in words
    plain = simulate(mixed(), ["gmsr"], **options)
    assert plain.to_dict()["clock"] == "continuous"
    assert plain.to_dict()["slot"] is None
    assert "Scale" not in conditions(plain)


def test_a_sweep_takes_the_same_options() -> None:
    options = {"clock": "slotted", "scale": 2.0, "horizon": 200.0, "warmup": 20.0}
    result = sweep(mixed(), ["gmsr"], loads=[0.3, 0.6], replications=2, **options)
    assert [one.scale for one in result.comparisons] == [2.0, 2.0]


def test_the_command_line_has_it_all() -> None:
    file = "examples/n_model.yaml"
    options = ["--clock", "slotted", "--slot", "0.5", "--departures", "poisson", "--scale", "10"]
    short = ["--policy", "gmsr", "--horizon", "500", "--warmup", "50", "--replications", "2"]
    result = CliRunner().invoke(main, ["simulate", file, *options, *short, "--json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["clock"], document["scale"]) == ("slotted", 10.0)
    assert (document["slot"], document["departures"]) == (0.05, "poisson")
    wrong = CliRunner().invoke(main, ["simulate", file, "--slot", "1"])
    assert wrong.exit_code == 2
    assert "add --clock slotted" in wrong.stderr
