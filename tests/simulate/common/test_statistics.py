from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import stdtrit
from scipy.stats import binom

from isocline.errors import RunTooShortError, UsageError
from isocline.simulate.common.measured import Blocks
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.common.statistics.stability import Trend, trend
from isocline.simulate.common.statistics.student_t import quantile
from isocline.simulate.common.statistics.warm_up import mser5, settled, warm_up
from isocline.simulate.common.steady_state import discarded
from isocline.simulate.routing.run_settings import RunSettings

Floats = npt.NDArray[np.float64]
RNG = np.random.default_rng(2026)


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    trials = 2000
    covered = 0
    for _ in range(trials):
        estimate = interval(RNG.normal(3.0, 2.0, 6))
        covered += estimate.low <= 3.0 <= estimate.high
    # The count is binomial(2000, 0.95); this band holds with probability 0.999.
    low, high = binom.interval(0.999, trials, 0.95)
    assert low <= covered <= high


def test_control_variates_narrow_the_interval_and_keep_its_coverage() -> None:
    trials, covered, plain_width, width = 1000, 0, 0.0, 0.0
    for _ in range(trials):
        controls = RNG.normal(0.0, 1.0, (20, 2))
        values = 5.0 + controls @ [2.0, -1.0] + RNG.normal(0.0, 0.5, 20)
        estimate = interval(values, controls)
        covered += estimate.low <= 5.0 <= estimate.high
        width += estimate.half_width
        plain_width += interval(values).half_width
    low, high = binom.interval(0.999, trials, 0.95)
    assert low <= covered <= high
    # sd 0.5 in place of sqrt(4 + 1 + 0.25) = 2.3
    assert width < 0.35 * plain_width


def test_controls_that_do_not_vary_or_repeat_each_other_are_left_out() -> None:
    values = RNG.normal(size=12)
    constant = np.zeros((12, 2))
    assert interval(values, constant) == interval(values)
    twice = np.repeat(RNG.normal(size=(12, 1)), 2, axis=1)
    assert interval(values, twice) == interval(values)


def test_intervals_hold_the_mean_where_a_few_replications_are_far_off() -> None:
    # As near the capacity: of a replication with a large control more is left unexplained, too.
    trials, covered = 1500, 0
    for _ in range(trials):
        controls = RNG.exponential(size=(20, 1)) - 1.0
        values = 5.0 + controls[:, 0] * (1.0 + 0.5 * RNG.normal(size=20))
        estimate = interval(values, controls, robust=True)
        covered += estimate.low <= 5.0 <= estimate.high
    # One variance of all replications holds it in 93 %, which is below this band.
    assert covered >= binom.ppf(0.001, trials, 0.95)


def test_controls_that_explain_all_leave_what_sums_are_rounded_by() -> None:
    controls = RNG.normal(size=(12, 1))
    estimate = interval(3.0 + controls[:, 0], controls, robust=True)
    assert estimate.low < 3.0 < estimate.high
    assert estimate.relative_half_width < 1e-8


def test_one_replication_has_no_interval() -> None:
    with pytest.raises(UsageError, match="2 or more"):
        interval(np.array([1.0]))


def settling(n: int, time_constant: float) -> np.ndarray:
    return 10.0 * (1.0 - np.exp(-np.arange(n) / time_constant)) + RNG.normal(0.0, 0.3, n)


def test_mser_discards_the_transient_and_little_more() -> None:
    discarded = mser5(settling(240, 10.0))
    # After 3 time constants the bias, 5 % of 10, is below the noise of a batch, 0.3 / sqrt(5) ...
    # and after 8 it is nothing.
    assert discarded is not None
    assert 20 <= discarded <= 100


def test_mser_finds_nothing_to_discard_in_noise() -> None:
    discarded = mser5(RNG.normal(size=240))
    assert discarded is not None
    assert discarded <= 120


def test_mser_refuses_a_run_that_never_settles() -> None:
    assert mser5(np.arange(240.0)) is None


def autoregressive(runs: int, start: float, forgets: float, rng: np.random.Generator) -> np.ndarray:
    """(runs, 240) numbers of mean 10 that begin at `start`, and forget it in `forgets` blocks."""
    kept = np.exp(-1.0 / forgets)
    now, found = np.full(runs, start - 10.0), np.empty((runs, 240))
    for i in range(240):
        now = kept * now + 3.0 * np.sqrt(1.0 - kept**2) * rng.normal(size=runs)
        found[:, i] = 10.0 + now
    return found


def test_an_ample_run_is_not_refused_by_chance() -> None:
    rng = np.random.default_rng(1)  # of its own: the same numbers whatever ran before
    runs = [autoregressive(10, 10.0, 0.5, rng) for _ in range(600)]
    by_chance = [number for number in runs if mser5(number.mean(axis=0)) is None]
    assert by_chance  # 1.5 % of them: none among 600 has a probability of 1e-4
    discarded = [warm_up(number) for number in by_chance]
    assert all(skip is not None and skip <= 120 and skip % 5 == 0 for skip in discarded)


def test_a_run_that_is_short_for_what_it_remembers_is_refused_as_before() -> None:
    rng = np.random.default_rng(2)
    runs = [autoregressive(10, 1.0, 60.0, rng) for _ in range(200)]
    refused = [number for number in runs if mser5(number.mean(axis=0)) is None]
    assert len(refused) > 60  # of 59 %
    # Below its level by 90 % at first, and by 2 % at the end.
    assert sum(warm_up(number) is not None for number in refused) <= len(refused) / 20


def test_latencies_settle_after_the_longest_of_them() -> None:
    # 9 of 10 jobs take 1 block; the tenth takes 61, and so none is completed before block 60.
    slow = np.where(np.arange(240) < 60, 0, 100)
    fast = np.full(240, 900)
    total = fast * 1.0 + slow * 61.0  # means of 1 and 7, which are numbers without rounding
    assert settled(total, fast + slow) == 60
    assert settled(np.zeros(240), np.zeros(240, dtype=np.int64)) == 0  # none is timed
    assert settled(np.full(240, 7.0), np.full(240, 7)) == 0


def test_a_run_too_short_for_its_warm_up_names_both_remedies() -> None:
    rising = np.tile(10.0 * (1.0 - np.exp(-np.linspace(0.0, 1.0, 240))), (5, 1))
    many = np.full((5, 240), 1000)
    blocks = {"gmsr": Blocks(rising, many, many, many[0], np.ones(240))}
    with pytest.raises(RunTooShortError, match=r"--horizon 40 or more, or say by --warmup what to"):
        discarded(RunSettings(10.0), blocks, True, "jobs", "")


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        (lambda t: 50.0 + 0.0 * t, Trend.STEADY),
        (lambda t: 50.0 * (1.0 - np.exp(-4.0 * t)), Trend.SETTLING),
        (lambda t: 50.0 * np.sqrt(t), Trend.SETTLING),
        (lambda t: 1.0 + 80.0 * t, Trend.GROWING),
    ],
    ids=["flat", "exponential approach", "square root", "line"],
)
def test_trends_are_told_apart(path: Callable[[Floats], Floats], verdict: Trend) -> None:
    t = np.linspace(0.0, 1.0, 240)
    series = np.array([path(t) + RNG.normal(0.0, 1.0, 240) for _ in range(10)])
    assert trend(series) is verdict


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 10, 57, 399, 400, 401, 2000, 10**6])
@pytest.mark.parametrize("probability", [0.5, 0.75, 0.95, 0.975, 0.9995])
def test_quantiles_of_student_t_are_those_of_scipy(probability: float, freedom: int) -> None:
    assert quantile(probability, freedom) == pytest.approx(
        stdtrit(freedom, probability),
        rel=1e-9,
        abs=1e-15,  # older SciPy has ten digits
    )
