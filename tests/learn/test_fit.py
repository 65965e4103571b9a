"""Fitted curves: concave, increasing, near the truth, and as likely as the best knee curve."""

import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from isocline.errors import UsageError
from isocline.learn.fit import Prior, fit
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve
from tests.learn.living import spread

FloatArray = npt.NDArray[np.float64]

CURVES: list[Curve] = [
    KneeCurve(10.0, 8.0, 3.0),
    HyperbolicCurve(10.0, 5.0),
    ExponentialCurve(10.0, 6.0),
]
LEVELS = 24


def drawn(curve: Curve, completions: float, seed: int) -> tuple[FloatArray, FloatArray]:
    mean, seconds = spread(curve, LEVELS, completions)
    return np.random.default_rng(seed).poisson(mean).astype(float), seconds


# Completions in no time to speak of, before and after a workload that was held.
@example([(25, 1e-306), (25, 1.0)], 1.0)
@example([(25, 1.0), (25, 2e-313)], 1.0)
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.floats(0.0, 50.0)), min_size=1, max_size=90),
    st.floats(0.01, 100.0),
)
def test_every_fit_is_a_concave_increasing_curve(
    counts: list[tuple[int, float]], unit: float
) -> None:
    seconds = np.array([0.0] + [time for _, time in counts])
    done = np.array([0.0] + [c if time > 0 else 0 for c, time in counts], dtype=float)
    made = fit(done, seconds, unit=unit)
    rates = made.rate(np.arange(200))
    steps = np.diff(rates)
    assert rates[0] == 0.0
    assert np.all(steps >= -1e-12 * rates[-1])
    assert np.all(np.diff(steps[:60]) <= 1e-9 * rates[-1])
    marginal = made.curve.marginal(np.arange(60.0))
    assert np.all(marginal >= 0)
    assert np.all(np.diff(marginal) <= 1e-9 * marginal[0])


def test_much_time_at_one_level_gives_its_maximum_likelihood_rate() -> None:
    done, seconds = np.zeros(10), np.zeros(10)
    done[7], seconds[7] = 10_000.0, 4_000.0
    assert fit(done, seconds).rate(7) == pytest.approx(2.5, rel=0.01)


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.type)
def test_the_error_falls_with_the_completions(curve: Curve) -> None:
    n = np.arange(LEVELS + 1.0)
    errors = []
    for completions in (1e2, 1e3, 1e4, 1e6):
        found = [fit(*drawn(curve, completions, seed)).rate(n) for seed in range(10)]
        errors.append(np.mean([np.abs(f - curve.rate(n)).max() for f in found]))
    relative = np.array(errors) / curve.rate(LEVELS)
    assert np.all(np.diff(relative) < 0)
    # A hundred completions over 24 levels: 15 to 30 %. In the end what the grid leaves.
    assert relative[0] < 0.3
    assert relative[-1] < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_a_fit_is_as_likely_as_the_best_knee_curve(seed: int) -> None:
    done, seconds = drawn(KneeCurve(10.0, 7.1, 2.3), 5_000.0, seed)
    n = np.arange(LEVELS + 1.0)[1:]

    def loss(rates: FloatArray) -> float:
        return float(seconds[1:] @ rates - done[1:] @ np.log(rates))

    def of_logs(logs: FloatArray) -> float:
        return loss(KneeCurve(*np.exp(logs).tolist()).rate(n))

    best = minimize(of_logs, np.log([8.0, 5.0, 2.0]), method="Nelder-Mead")
    assert best.success
    # A likelihood ratio of e^2 is what one parameter explains by chance (95 %).
    assert loss(fit(done, seconds).rate(n)) < best.fun + 2.0


def test_the_knee_that_sums_up_a_fit_is_near_the_true_one() -> None:
    true = KneeCurve(10.0, 8.0, 3.0)
    knee = fit(*drawn(true, 1e5, 1)).knee
    assert knee.peak == pytest.approx(true.peak, rel=0.1)
    assert knee.knee == pytest.approx(true.knee, rel=0.2)


def test_a_backend_never_seen_is_what_the_prior_says() -> None:
    nothing = np.zeros(5)
    made = fit(nothing, nothing, Prior(), unit=3.0)
    assert made.unit_rate == pytest.approx(3.0)
    assert made.completions == 0.0
    # Optimistic: at a few jobs, hardly any is in another's way.
    assert made.rate(4) > 0.8 * 4 * made.rate(1)


def test_a_backend_that_finishes_nothing_is_believed_less_and_less() -> None:
    rates = []
    for waited in (0.0, 1.0, 10.0, 100.0):
        seconds = np.array([0.0, waited])
        rates.append(fit(np.zeros(2), seconds, unit=1.0).unit_rate)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.05


def falling(completions: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """A backend that rises to 10 jobs/s at 20 jobs and falls to 6 at 40."""
    n = np.arange(41.0)
    rate = np.where(n <= 20, KneeCurve(10.5, 8.0, 3.0).rate(n), 10.0 - 0.2 * (n - 20.0))
    seconds = np.where(n > 0, completions / rate.sum(), 0.0)
    return np.random.default_rng(seed).poisson(rate * seconds).astype(float), seconds


def test_a_curve_that_falls_is_cut_at_its_measured_peak() -> None:
    for seed in range(10):
        done, seconds = falling(20_000.0, seed)
        made = fit(done, seconds)
        assert made.cut is not None
        assert 12 <= made.cut <= 27
        assert made.rate(40) == made.rate(made.cut)
        assert made.curve.marginal(float(made.cut)) == 0.0
        assert made.rate(10) == pytest.approx(done[10] / seconds[10], rel=0.1)


def test_a_curve_that_does_not_fall_is_cut_hardly_ever() -> None:
    flat = KneeCurve(10.0, 3.0, 6.0)  # all but the first levels are alike
    cuts = [fit(*drawn(flat, 2_000.0, seed)).cut is not None for seed in range(300)]
    # 4 standard deviations, at one of the groups that happens to be the highest of about 20.
    assert sum(cuts) <= 3


def test_a_fit_takes_about_a_millisecond() -> None:
    done, seconds = drawn(KneeCurve(10.0, 8.0, 3.0), 1e4, 0)
    fit(done, seconds)
    taken = []
    for _ in range(20):
        start = time.process_time()
        _ = fit(done, seconds).curve.knots
        taken.append(time.process_time() - start)
    assert np.median(taken) < 0.01  # ten times what it takes: the machine may be busy


@pytest.mark.parametrize("name", ["completions", "knee", "sharpness_spread", "trust"])
def test_a_prior_that_makes_no_sense_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is -1; give a finite number above 0"):
        Prior(**{name: -1})
