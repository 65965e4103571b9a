"""Arrival processes bring what their rates say."""

import numpy as np
import pytest
from scipy import stats

from isocline.errors import UsageError
from isocline.model.traffic import (
    Arrivals,
    BatchArrivals,
    GammaArrivals,
    MarkovModulatedArrivals,
    PiecewiseArrivals,
    PoissonArrivals,
    TraceArrivals,
    WeibullArrivals,
    arrival_law,
)

LEVEL = 1e-6  # two-sided error of each band below; the seeds are fixed, so this is paid once


def in_band(count: int, expected: float) -> bool:
    low, high = (stats.poisson.ppf(level, expected) for level in (LEVEL / 2, 1 - LEVEL / 2))
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
        GammaArrivals(3.0, 2.0),
        WeibullArrivals(3.0, 0.7),
        BatchArrivals(3.0, 4.0),
        MarkovModulatedArrivals((1.0, 5.0), (4.0, 2.0)),
    ],
)
def test_a_faster_clock_multiplies_the_rate_and_shortens_the_times(arrivals: Arrivals) -> None:
    fast = arrivals.sped_up(4.0)
    assert fast.rate == pytest.approx(4.0 * arrivals.rate)
    np.testing.assert_allclose(
        fast.sample(rng(), 25.0), arrivals.sample(rng(), 100.0) / 4.0, rtol=1e-12
    )


@pytest.mark.parametrize(
    "arrivals",
    [
        PoissonArrivals(3.0),
        PiecewiseArrivals(((0.0, 1.0), (4.0, 5.0)), period=10.0),
        GammaArrivals(3.0, 2.0),
        WeibullArrivals(3.0, 0.7),
        BatchArrivals(3.0, 4.0, "fixed"),
        MarkovModulatedArrivals((1.0, 5.0, 0.0), (4.0, 2.0, 0.1)),
    ],
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


@pytest.mark.parametrize("arrivals", [GammaArrivals(2.0, 3.0), WeibullArrivals(2.0, 0.5)], ids=str)
def test_a_renewal_process_has_its_rate_from_the_start(arrivals: Arrivals) -> None:
    # Half a mean gap in 40 000 runs: begun with a whole gap, there would be far more or fewer.
    generator = rng()
    counts = [arrivals.sample(generator, 0.25).size for _ in range(40_000)]
    error = np.std(counts) / 200.0
    assert abs(np.mean(counts) - 0.5) < 5.0 * error


def test_gaps_have_the_law_that_was_asked_for() -> None:
    gaps = np.diff(GammaArrivals(5.0, 2.0).sample(rng(), 4_000.0))
    assert stats.kstest(gaps, "gamma", args=(0.25, 0, 0.2 / 0.25)).pvalue > LEVEL
    gaps = np.diff(WeibullArrivals(5.0, 2.0).sample(rng(), 4_000.0))
    scale = 0.2 / (np.sqrt(np.pi) / 2)
    assert stats.kstest(gaps, "weibull_min", args=(2.0, 0, scale)).pvalue > LEVEL


def test_batches_come_together() -> None:
    times = BatchArrivals(6.0, 3.0, "fixed").sample(rng(), 5_000.0)
    moments, sizes = np.unique(times, return_counts=True)
    assert set(sizes) == {3}
    assert in_band(moments.size, 10_000.0)
    _, sizes = np.unique(BatchArrivals(6.0, 3.0).sample(rng(), 5_000.0), return_counts=True)
    # P(1) = 1/3 and P(2) = 2/9 of a geometric law of mean 3.
    assert np.mean(sizes == 1) == pytest.approx(1 / 3, abs=5 * np.sqrt(2 / 9 / sizes.size))
    assert np.mean(sizes == 2) == pytest.approx(2 / 9, abs=5 * np.sqrt(14 / 81 / sizes.size))


def test_a_modulated_process_is_in_each_state_as_long_as_its_chain_says() -> None:
    chain = ((0.0, 1.0, 0.0), (0.5, 0.0, 0.5), (0.0, 1.0, 0.0))
    arrivals = MarkovModulatedArrivals((1.0, 0.0, 8.0), (2.0, 3.0, 4.0), chain)
    # Visits as 1 : 2 : 1, so time as 2 : 6 : 4.
    assert arrivals.shares == pytest.approx([2 / 12, 6 / 12, 4 / 12])
    assert arrivals.rate == pytest.approx(2 / 12 + 32 / 12)
    assert arrivals.enlarged(3.0).rate == pytest.approx(3.0 * arrivals.rate)
    times = arrivals.sample(rng(), 40_000.0)
    # The count's variance is above Poisson's by the states': its index of dispersion is below 40.
    assert times.size == pytest.approx(34 / 12 * 40_000, abs=5 * np.sqrt(40 * 34 / 12 * 40_000))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("poisson", PoissonArrivals(7.0)),
        ("gamma:cv=3", GammaArrivals(7.0, 3.0)),
        ("weibull:shape=0.5", WeibullArrivals(7.0, 0.5)),
        ("batch:size=4,law=fixed", BatchArrivals(7.0, 4.0, "fixed")),
        ("mmpp:rates=1/4,durations=20/10", MarkovModulatedArrivals((3.5, 14.0), (20.0, 10.0))),
    ],
)
def test_a_law_in_one_word_is_made_for_any_rate(word: str, expected: Arrivals) -> None:
    assert arrival_law(word)(7.0) == expected


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("gama:cv=3", "unknown law 'gama'; examples: poisson, gamma:cv=3"),
        ("gamma", "cv is missing"),
        ("gamma:cv", "'cv' has no value"),
        ("gamma:cv=x", "give numbers"),
        ("gamma:cv=-1", "cv is -1; give a number from 0.05"),
        ("weibull:cv=2", "cv is unknown"),
        ("weibull:shape=nan", "shape is nan"),
        ("batch:size=0.5", "a mean of at least 1"),
        ("batch:size=2.5,law=fixed", "fixed needs a whole number"),
        ("batch:size=2,law=even", "give one of geometric, fixed"),
        ("mmpp:rates=1,durations=2", "two or more"),
        ("mmpp:rates=1/2,durations=2", "as many"),
        ("mmpp:rates=0/0,durations=2/2", "one of them above 0"),
        ("mmpp:rates=1/2,durations=0/2", "durations above 0"),
    ],
)
def test_a_law_that_is_none_is_refused(word: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        arrival_law(word)(7.0)


@pytest.mark.parametrize(
    "chain", [((0.5, 0.5),), ((0.0, 0.9), (1.0, 0.0)), ((1.0, 0.0), (0.0, 1.0)), ((-1, 2), (1, 0))]
)
def test_states_that_do_not_follow_each_other_are_refused(chain: tuple[tuple[float, ...]]) -> None:
    with pytest.raises(UsageError, match="mmpp arrivals: next must"):
        MarkovModulatedArrivals((1.0, 2.0), (1.0, 1.0), chain)
