"""The learner: what it believes of whom, when it looks again, and what it refuses."""

import math

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.learn import Learner, Learning
from isocline.model.curves import KneeCurve
from isocline.randomness.draws import stream
from tests.learn.living import live

CURVE = KneeCurve(10.0, 6.0, 2.0)


def lived(learner: Learner, completions: int, speed: float = 1.0, seed: int = 1) -> int:
    """Backend 0 serves at the curve times `speed`; updates when due. The number of fits."""
    rate = speed * CURVE.rate(np.arange(64))
    rng, n, fits = stream(seed), 6, 0
    while completions > 0:
        _, done, n, now = live(learner.observed, rate, 5.0 * speed, n, 1, True, rng)
        completions -= done
        if learner.due:
            fits += len(learner.update(now, [n, 0, 0][: learner.backends]))
    return fits


def test_a_curve_is_learned_from_events_one_by_one() -> None:
    learner = Learner(1, workloads=2)
    rng = np.random.default_rng(3)
    n, now = 0, 0.0
    for _ in range(6000):
        rate = float(CURVE.rate(n))
        now += rng.exponential(1.0 / (6.0 + rate))
        if rng.random() < 6.0 / (6.0 + rate):
            learner.arrived(0, n, now)
            n += 1
        else:
            learner.finished(0, n, now)
            n -= 1
        if learner.due:
            learner.update(now, [n])
    # 3000 completions over the ten levels about the mean: 4 % each, and less together.
    for workload in (4.0, 8.0):
        assert learner.curve(0).rate(workload) == pytest.approx(CURVE.rate(workload), rel=0.08)
    assert learner.fitted(0).completions == pytest.approx(3000, rel=0.2)
    assert learner.changes == []


def test_fits_become_rarer_as_completions_grow() -> None:
    fits = lived(Learner(1), 2000)
    # 25 per factor of 10 from 20 completions on, and one for every other completion before.
    assert 40 < fits < 80


def test_who_was_never_seen_is_believed_to_be_as_fast_as_the_best() -> None:
    learner = Learner(3)
    lived(learner, 400)
    best = learner.fitted(0).unit_rate
    assert best == pytest.approx(CURVE.peak / CURVE.knee, rel=0.25)
    for unseen in (1, 2):
        assert learner.fitted(unseen).unit_rate == pytest.approx(best, rel=0.11)
        assert learner.bonus(unseen) > 1.5
    assert learner.bonus(0) == 1.0
    assert learner.optimistic(0) == learner.curve(0)


def test_the_bonus_of_one_that_is_not_chosen_grows() -> None:
    learner = Learner(2)
    bonuses = []
    for completions in (100, 1000, 5000):
        lived(learner, completions, seed=completions)
        bonuses.append(learner.bonus(1))
    assert bonuses == sorted(bonuses)
    assert Learner(2, Learning(optimism=0.0)).bonus(1) == 1.0


def test_a_slowdown_is_noticed_and_the_shape_is_kept() -> None:
    learner = Learner(1)
    lived(learner, 2000)
    before = learner.curve(0)
    lived(learner, 200, speed=0.5, seed=9)
    assert [c.backend for c in learner.changes] == [0]
    assert learner.changes[0].speed == pytest.approx(0.5, rel=0.4)
    for workload in (2.0, 4.0, 6.0):
        after = learner.curve(0).rate(workload)
        assert after == pytest.approx(0.5 * before.rate(workload), rel=0.25)
    assert learner.fitted(0).completions < 250


def test_what_is_forgotten_counts_less() -> None:
    remembers, forgets = Learner(1), Learner(1, Learning(half_life_completions=100.0))
    for learner in (remembers, forgets):
        lived(learner, 2000)
    # The sum of 2^(-i / 100) over all i.
    most = 1.0 / (1.0 - 2.0 ** (-1 / 100.0))
    assert forgets.fitted(0).completions == pytest.approx(most, rel=0.15)
    assert remembers.fitted(0).completions > 1800


def test_who_was_misjudged_is_tried_again_though_it_finishes_nothing() -> None:
    """A lesson of a slow start fades as others finish jobs, not with the backend's own."""
    learner = Learner(2, Learning(half_life_completions=200.0))
    for job in range(100):  # 1 s each: a tenth of what CURVE does with 4 jobs
        learner.finished(1, 4, float(job + 1))
    learner.update(100.0, [0, 0])
    slow = float(learner.optimistic(1).rate(4.0))
    assert slow < 0.3 * float(CURVE.rate(4.0))
    lived(learner, 3000)
    assert learner.fitted(1).completions < 5.0
    assert float(learner.optimistic(1).rate(4.0)) > 2.0 * slow


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"half_life": 0.0}, "half_life is 0.0; give a number above 0"),
        ({"half_life_completions": math.nan}, "half_life_completions is nan"),
        ({"kept": -1.0}, "kept is -1"),
        ({"optimism": -0.5}, "optimism is -0.5; give 0 or more"),
        ({"false_alarms": 1.0}, "false_alarms is 1.0; give a probability below 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Learning(**options)  # type: ignore[arg-type]
