"""Time and completions at each workload, against sums over the whole history."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.learn.occupancy import (
    age,
    assume,
    counted,
    discount,
    enlarged,
    finish,
    occupancy,
    seen,
    spend,
)

STEPS = st.lists(
    st.tuples(st.floats(0.0, 3.0), st.integers(0, 3), st.booleans()), min_size=1, max_size=30
)


@pytest.mark.parametrize(
    ("half_life", "half_life_completions"), [(math.inf, math.inf), (2.0, math.inf), (math.inf, 3.0)]
)
@settings(deadline=None)  # the first call may compile
@given(steps=STEPS)
def test_every_observation_counts_by_its_age(
    half_life: float, half_life_completions: float, steps: list[tuple[float, int, bool]]
) -> None:
    seen = occupancy(2, 4, half_life)
    now, history = 0.0, []
    for pause, workload, completed in steps:
        start, now = now, now + pause
        spend(seen, 1, workload, now)
        if completed:
            finish(seen, 1, workload)
            age(seen, 2.0 ** (1.0 / half_life_completions))
        history.append((start, now, workload, completed))
    done, seconds = np.zeros(4), np.zeros(4)
    younger = 0  # completions after the one looked at
    for start, end, workload, completed in reversed(history):
        # What happened before a completion has its weight; the completion itself, one step more.
        younger += completed
        weight = 2.0 ** (-younger / half_life_completions)
        done[workload] += completed * weight
        # Many short pieces, each with the weight of its middle.
        pieces = (np.arange(1000) + 0.5) / 1000 * (end - start) + start
        ages = 2.0 ** (-(now - pieces) / half_life)
        seconds[workload] += weight * ages.mean() * (end - start)
        done[workload] -= completed * weight * (1.0 - 2.0 ** (-(now - end) / half_life))
    mine = counted(seen, 1, now)
    assert np.allclose(mine[0], done, rtol=1e-9)
    assert np.allclose(mine[1], seconds, rtol=1e-5, atol=1e-12)
    assert counted(seen, 0, now)[1].sum() == 0


def test_a_half_life_later_an_observation_counts_half() -> None:
    seen = occupancy(1, 2, half_life=10.0)
    spend(seen, 0, 1, 4.0)
    finish(seen, 0, 1)
    before, after = counted(seen, 0, 4.0), counted(seen, 0, 14.0)
    assert after[0].sum() == pytest.approx(before[0].sum() / 2)
    assert after[1].sum() == pytest.approx(before[1].sum() / 2)
    assert before[0].sum() == 1.0


def test_hundreds_of_half_lives_overflow_nothing() -> None:
    seen = occupancy(1, 2, half_life=1.0)
    for now in range(1, 400):
        spend(seen, 0, 1, float(now))
        finish(seen, 0, 1)
    done, seconds = counted(seen, 0, 399.0)
    assert done.sum() == pytest.approx(2.0)  # 1 + 1/2 + 1/4 + ...
    assert seconds.sum() == pytest.approx(1.0 / math.log(2.0))  # the integral of 2^-t
    spend(seen, 0, 1, 1e6)
    assert np.all(np.isfinite(counted(seen, 0, 1e6)[1]))


def test_a_discount_keeps_the_shape_and_takes_the_new_speed() -> None:
    seen = occupancy(1, 4)
    for now in range(1, 301):
        spend(seen, 0, now % 3 + 1, 0.1 * now)
        finish(seen, 0, now % 3 + 1)
    done, seconds = counted(seen, 0, 30.0)
    discount(seen, 0, 25.0, 0.5)
    less, time = counted(seen, 0, 30.0)
    assert less.sum() == pytest.approx(25.0)
    assert np.allclose(less[1:] / time[1:], 0.5 * done[1:] / seconds[1:])
    assert np.array_equal(counted(enlarged(seen, 9), 0, 30.0)[0][:4], less)


def test_a_share_of_the_time_and_of_a_completion_counts_for_as_much() -> None:
    seen = occupancy(1, 4, half_life=10.0)
    spend(seen, 0, 2, 4.0, 0.5)
    finish(seen, 0, 2, 3.0)
    done, seconds = counted(seen, 0, 4.0)
    whole = occupancy(1, 4, half_life=10.0)
    spend(whole, 0, 2, 4.0)
    assert done[2] == 3.0
    assert seconds[2] == pytest.approx(0.5 * counted(whole, 0, 4.0)[1][2])
    assert counted(seen, 0, 14.0)[0][2] == pytest.approx(1.5)  # by the clock, whatever the share


def test_age_without_end_overflows_nothing() -> None:
    seen = occupancy(2, 2)
    for now in range(1, 400):
        spend(seen, 0, 1, float(now))
        finish(seen, 0, 1)
        age(seen, 2.0)
    done, seconds = counted(seen, 0, 399.0)
    assert done.sum() == pytest.approx(1.0)  # 1/2 + 1/4 + ...
    assert seconds.sum() == pytest.approx(1.0)
    assert counted(seen, 1, 399.0)[0].sum() == 0.0


@pytest.mark.parametrize("half_life", [math.inf, 2.0])
def test_what_stands_for_a_given_curve_is_forgotten_like_the_rest_and_never_seen(
    half_life: float,
) -> None:
    """The same history with and without it: what was seen is equal, and both fade alike."""
    with_it, without = occupancy(1, 4, half_life), occupancy(1, 4, half_life)
    assume(with_it, 0, np.array([1, 3]), np.array([25.0, 25.0]), np.array([5.0, 2.0]))
    total = 25.0
    for one in (with_it, without):
        spend(one, 0, 2, 200.0)  # the weight exceeds what is kept without a division
        finish(one, 0, 2)
        age(one, 2.0**60)
        spend(one, 0, 2, 201.0)
        finish(one, 0, 2)
    total *= 2.0**-60 * (1.0 if half_life == math.inf else 2.0**-100.5)
    done, _ = counted(with_it, 0, 201.0)
    assert done[3] == pytest.approx(total, rel=1e-9)
    for found, expected in zip(seen(with_it, 0, 201.0), seen(without, 0, 201.0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-30)
    assert seen(with_it, 0, 201.0)[0][3] == 0.0
    wider = enlarged(with_it, 8)
    discount(wider, 0, 0.5, 0.25)
    kept, time = counted(wider, 0, 201.0)
    assert kept.sum() == pytest.approx(0.5)
    found, spent = seen(wider, 0, 201.0)
    assert found[2] == pytest.approx(kept[2])
    assert spent[3] == pytest.approx(0.0, abs=1e-12 * time.sum())
