"""Control variates: their means are as known, and what they explain is no longer in an interval."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve
from isocline.policies.parse import parse
from isocline.simulate.common.measured import Measured
from isocline.simulate.common.replication import Run
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.controls import controls
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import Replication, replicate
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet, mixed, station
from tests.naive import birth_death_mean, erlang_c_mean

Floats = npt.NDArray[np.float64]
CURVES: list[Curve] = [
    station(1.0, 1),
    station(0.4, 3),
    HyperbolicCurve(2.0, 3.0),
    ExponentialCurve(1.5, 2.0),
    KneeCurve(3.0, 4.0, 2.0),
]
POLICIES = ["gmsr", "jsq", "power_of_d:d=2", "least_expected_latency", "round_robin"]


def replications(run: Run[Any, Any, Any], count: int) -> list[Replication]:
    found = [replicate(run.numbered(number)) for number in range(count)]
    return [rep for rep in found if rep is not None]


@settings(max_examples=15)
@given(
    curves=st.lists(st.sampled_from(CURVES), min_size=1, max_size=4),
    load=st.floats(0.2, 0.8),
    policy=st.sampled_from(POLICIES),
)
def test_means_of_controls_are_zero(curves: list[Curve], load: float, policy: str) -> None:
    # Round robin divides evenly, so that each backend must be able to serve its share.
    rate = load * len(curves) * min(curve.supremum for curve in curves)
    settings = RunSettings(1500.0 / rate, 300.0 / rate, percentiles=False)
    run = Run(prepare(fleet(curves, [rate])), parse(policy), settings)
    part = Measured(replications(run, 40), settings.ends, settings.discarded_blocks)
    found = controls(part, rate)
    assert found.shape == (40, 2)
    errors = found.std(axis=0, ddof=1) / math.sqrt(40)
    # Of t with 39 degrees of freedom 1 in 17 000 is beyond 4.5.
    assert np.all(np.abs(found.mean(axis=0)) <= 4.5 * errors)


def test_next_to_nothing_is_left_to_chance_in_mm1() -> None:
    # There R N is N times the rate of the server: all that is left is that it is a sample.
    result = simulate(
        fleet([station()], [0.9]), ["random"], horizon=20_000.0, warmup=1000.0, percentiles=False,
        threads=1,
    ).policies[0]  # fmt: skip
    assert result.mean_latency is not None
    assert result.mean_latency.low <= 10.0 <= result.mean_latency.high
    assert result.mean_latency.half_width < 0.05 * interval(result.latencies).half_width


@pytest.mark.parametrize("curve", CURVES[1:], ids=lambda c: c.type)
def test_intervals_of_birth_death_chains_hold_their_means(curve: Curve) -> None:
    rate = 0.85 * curve.supremum
    exact = birth_death_mean(rate, lambda n: float(curve.rate(n)), 2000)
    trials = held = 0
    narrower = []
    for seed in range(40):
        result = simulate(
            fleet([curve], [rate]), ["random"], horizon=5000.0 / rate, warmup=1000.0 / rate,
            percentiles=False, seed=seed, start="fluid", threads=1,
        ).policies[0]  # fmt: skip
        assert result.mean_latency is not None
        trials += 1
        held += result.mean_latency.low <= exact / rate <= result.mean_latency.high
        narrower.append(result.mean_latency.half_width / interval(result.latencies).half_width)
    low, _ = binom.interval(0.999, trials, 0.95)
    assert held >= low
    assert np.median(narrower) < 0.5


def test_a_precision_is_reached_with_the_exact_mean_inside() -> None:
    exact = erlang_c_mean(18.0, 20)
    world = fleet([station(1.0, 20)], [18.0])
    result = simulate(world, ["random"], precision=1e-3, percentiles=False)
    mean = result.policies[0].mean_jobs
    assert mean is not None
    assert result.replications < 200
    assert mean.relative_half_width <= 1e-3
    assert abs(mean.value - exact) <= 2 * mean.half_width


def test_engines_that_time_or_list_jobs_have_the_controls_that_need_no_more_sums() -> None:
    def found(timed: bool, listed: bool) -> Floats:
        result = simulate(
            mixed(), ["jsq"], horizon=200.0, warmup=20.0, percentiles=timed,
            common_arrivals=listed, threads=1,
        ).policies[0]  # fmt: skip
        assert result.controls is not None
        return result.controls

    # Arrivals in 180 s at 20/s: whole numbers, but for their known mean.
    for timed, listed in ((True, False), (False, True)):
        arrived = 180.0 * found(timed, listed)[:, 0]
        assert np.allclose(arrived, np.round(arrived))
    served = 180.0 * found(False, False)[:, 0]
    assert not np.allclose(served, np.round(served))
