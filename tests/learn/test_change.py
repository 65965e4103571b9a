"""The test for a change of speed: how often it is wrong, and how long it takes."""

import numpy as np
import pytest

from isocline.learn import change
from isocline.learn.learner import Learner, Learning
from isocline.learn.observed import Observed
from isocline.model.curves import KneeCurve
from isocline.randomness.draws import stream
from tests.learn.living import live

CURVE = KneeCurve(10.0, 6.0, 2.0)
LEVELS = 200
ARRIVALS = 4.0  # a load of 0.8 of what is left by a slowdown by 2


def watched(false_alarms: float) -> Observed:
    """A backend whose true curve is known to the test at all levels."""
    observed = Learner(1, Learning(false_alarms=false_alarms), LEVELS).observed
    observed.watched.rate[0] = CURVE.rate(np.arange(LEVELS))
    return observed


@pytest.mark.parametrize("probability", [1e-2, 1e-3])
def test_false_alarms_are_as_rare_as_promised(probability: float) -> None:
    completions = 200_000
    rate = CURVE.rate(np.arange(LEVELS))
    alarms = live(watched(probability), rate, ARRIVALS, 0, completions, False, stream(5))[0]
    # Alarms come nearly as a Poisson process; four deviations above the bound is one in 30 000.
    bound = probability * completions
    assert 0 < alarms < bound + 4.0 * np.sqrt(bound)


def test_no_alarm_is_raised_where_none_is_wanted() -> None:
    rate = CURVE.rate(np.arange(LEVELS))
    assert live(watched(0.0), 0.2 * rate, 1.0, 0, 5_000, False, stream(6))[0] == 0


@pytest.mark.parametrize(("factor", "most"), [(0.5, 70.0), (2.0, 95.0), (0.25, 25.0)])
def test_a_change_is_noticed_after_tens_of_completions(factor: float, most: float) -> None:
    rate = factor * CURVE.rate(np.arange(LEVELS))
    delays, speeds = [], []
    for seed in range(100):
        observed = watched(1e-6)
        arrivals = ARRIVALS * min(factor, 1.0)
        alarms, done, _, _ = live(observed, rate, arrivals, 0, 5_000, True, stream(7, seed))
        assert alarms == 1
        delays.append(done)
        speeds.append(change.speed(observed.watched, 0))
    # ln(2 / 1e-6) = 14.5 over what a completion gains in the mean: 1 - ln 2 = 0.31 at half the
    # speed, 2 - ln 2 = 1.31 at a quarter, ln 2 - 1/2 = 0.19 at twice: 47, 11 and 75 completions,
    # and a few more by which the threshold is overshot.
    assert np.mean(delays) < most
    # Chance that hastens an alarm exaggerates the change.
    assert np.median(speeds) == pytest.approx(factor, rel=0.3)


def test_levels_are_watched_where_enough_was_seen_near_them() -> None:
    completions = np.zeros(40)
    completions[9:12] = 20.0
    seen = change.trusted(completions)
    assert np.flatnonzero(seen).tolist() == [9, 10, 11]  # 8 has only 9 and 10 near
    assert not change.trusted(np.full(40, 1.0)).any()
    assert not change.trusted(np.full(40, 1e9))[0]
