"""Arrival processes bring what their rates say."""

import numpy as np
import pytest
from scipy import stats

from isocline.errors import UsageError
from isocline.model.traffic import (
    Arrivals,
    PiecewiseArrivals,
    PoissonArrivals,
    TraceArrivals,
)

LEVEL = 1e-6  # two-sided error of each band below; the seeds are fixed, so this is paid once


def in_band(count: int, expected: float) -> bool:
    low, high = stats.poisson.ppf([LEVEL / 2, 1 - LEVEL / 2], expected)
    return bool(low <= count <= high)


def rng() -> np.random.Generator:
    return np.random.default_rng(20240)


def test_poisson_arrivals_are_as_many_as_the_rate_says_with_exponential_gaps() -> None:
    times = PoissonArrivals(7.0).sample(rng(), 5_000.0)
    assert in_band(times.size, 35_000.0)
    assert stats.kstest(np.diff(times), "expon", args=(0, 1 / 7.0)).pvalue > LEVEL


def test_piecewise_arrivals_have_in_each_step_the_rate_of_that_step() -> None:
    steps = ((0.0, 12.0), (600.0, 30.0), (1000.0, 0.0), (1100.0, 3.0))
    ends = [600.0, 1000.0, 1100.0, 1500.0]
    times = PiecewiseArrivals(steps, period=1500.0).sample(rng(), 15_000.0)
    phase = times % 1500.0
    for (start, rate), end in zip(steps, ends, strict=True):
        count = int(((phase >= start) & (phase < end)).sum())
        assert in_band(count, 10 * rate * (end - start))


def test_piecewise_arrivals_stop_in_the_middle_of_a_period() -> None:
    arrivals = PiecewiseArrivals(((0.0, 2.0), (10.0, 50.0)), period=20.0)
    times = arrivals.sample(rng(), 1_000.0 + 15.0)
    assert times.max() < 1_015.0
    assert in_band(times.size, 50 * 520.0 + 20.0 + 250.0)


def test_a_trace_is_repeated_end_to_end() -> None:
    arrivals = TraceArrivals(np.array([0.0, 1.0, 1.5]), 2.0)
    assert arrivals.rate == 1.5
    assert arrivals.sample(rng(), 5.2).tolist() == [0, 1, 1.5, 2, 3, 3.5, 4, 5]


@pytest.mark.parametrize(
    "arrivals",
    [
        PoissonArrivals(3.0),
        PiecewiseArrivals(((0.0, 1.0), (4.0, 5.0)), period=10.0),
        TraceArrivals(np.array([0.0, 1.0, 1.5]), 2.0),
    ],
)
def test_a_faster_clock_multiplies_the_rate_and_shortens_the_times(arrivals: Arrivals) -> None:
    fast = arrivals.sped_up(4.0)
    assert fast.rate == pytest.approx(4.0 * arrivals.rate)
    np.testing.assert_allclose(
        fast.sample(rng(), 25.0), arrivals.sample(rng(), 100.0) / 4.0, rtol=1e-12
    )


@pytest.mark.parametrize(
    "arrivals", [PoissonArrivals(3.0), PiecewiseArrivals(((0.0, 1.0), (4.0, 5.0)), period=10.0)]
)
def test_arrivals_are_sorted_and_the_same_for_the_same_generator(arrivals: Arrivals) -> None:
    times = arrivals.sample(rng(), 200.0)
    assert (np.diff(times) >= 0).all()
    assert (times == arrivals.sample(rng(), 200.0)).all()


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_rate_that_is_no_number_or_negative_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="finite number of jobs/s, 0 or more"):
        PoissonArrivals(rate)


def test_at_rate_0_nothing_comes() -> None:
    assert PoissonArrivals(0.0).sample(rng(), 1e6).size == 0


@pytest.mark.parametrize(
    ("steps", "period", "problem"),
    [
        ((), 1.0, "must start at 0"),
        (((1.0, 1.0),), 2.0, "must start at 0"),
        (((0.0, 1.0), (5.0, 1.0), (4.0, 1.0)), 9.0, "4 s follows 5 s"),
        (((0.0, 1.0), (5.0, 1.0)), 5.0, "5 s follows 5 s"),
        (((0.0, -1.0),), 5.0, "rate -1 at 0 s"),
        (((0.0, 0.0),), 5.0, "above 0"),
    ],
)
def test_steps_that_make_no_process_are_refused(
    steps: tuple[tuple[float, float], ...], period: float, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        PiecewiseArrivals(steps, period)


def test_a_trace_without_times_or_longer_than_it_says_is_refused() -> None:
    for times, length in (([], 1.0), ([0.0, 2.0], 1.0), ([0.0], 0.0)):
        with pytest.raises(UsageError, match="at least one time"):
            TraceArrivals(np.array(times), length)
