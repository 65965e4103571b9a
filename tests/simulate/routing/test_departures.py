"""Departures of a slot: E[D] = l(N) * slot and D <= N, for each law at every workload."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.randomness.draws import stream
from isocline.simulate.routing.kernels.departures import (
    LARGEST,
    LAWS,
    Law,
    binomial,
    cut_poisson,
    departing,
    departures,
    poisson,
)
from tests.builders import station
from tests.simulate.routing.naive_slotted import pmf, quantile

CURVES: list[Curve] = [
    HyperbolicCurve(4.0, 3.0),
    ExponentialCurve(2.0, 3.0),
    KneeCurve(3.0, 4.0, 3.0),
    TableCurve(((1.0, 0.9), (4.0, 2.5), (16.0, 4.0))),
    station(1.0, 5),  # up to 5 jobs all leave at the end of a slot of 1 s
]


def mean_of(law: Law, chance: float, jobs: int) -> float:
    """E[D] of a tabulated law, by its closed form."""
    match law:
        case "bernoulli":
            return chance
        case "binomial":
            return jobs * chance
        case "poisson":
            if np.isinf(chance):
                return float(jobs)
            most = stats.poisson.sf(jobs - 1, chance)
            return float(chance * stats.poisson.cdf(jobs - 2, chance) + jobs * most)


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.type)
@pytest.mark.parametrize("law", LAWS)
def test_the_tabulated_mean_is_the_curve_at_every_workload(law: Law, curve: Curve) -> None:
    slot = 1.0 / curve.supremum if law == "bernoulli" else 1.0 / float(curve.rate(1.0))
    n = np.arange(300.0)
    expected = curve.rate(n) * slot
    table = departures(law, expected[None, :])
    for jobs in range(1, 300):
        mean = mean_of(law, float(table.chance[0, jobs]), jobs)
        assert mean == pytest.approx(expected[jobs], rel=1e-11)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 400), st.floats(1e-9, 1.0), st.floats(0.0, 1.0, exclude_max=True))
def test_a_search_finds_the_quantile_of_the_law(jobs: int, share: float, mark: float) -> None:
    rng = stream(0)  # not used: these laws need no parts
    mean = share * jobs
    if share <= 0.5:
        exact = stats.binom.pmf(np.arange(jobs + 1), jobs, share)
        # Where the mark meets a step of the distribution function, rounding decides.
        if np.min(np.abs(np.cumsum(exact) - mark)) > 1e-12:
            none = float(np.exp(jobs * np.log1p(-share)))
            assert binomial(mark, jobs, share, none, rng) == quantile(exact, mark)
    exact = stats.poisson.pmf(np.arange(4 * jobs + 60), mean)
    if np.min(np.abs(np.cumsum(exact) - mark)) > 1e-12:
        assert poisson(mark, mean, float(np.exp(-mean)), rng) == quantile(exact, mark)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 100_000), st.floats(1e-6, 1.0 - 1e-9))
def test_the_parameter_of_a_cut_poisson_law_gives_its_mean(most: int, share: float) -> None:
    mean = share * most
    found = cut_poisson(np.array([mean]), np.array([float(most)]))[0]
    # Rounding in the cumulative probabilities: 1e-13 times the workload at the most.
    assert mean_of("poisson", found, most) == pytest.approx(mean, rel=1e-10, abs=1e-13 * most)
    assert found >= mean * (1 - 1e-14)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("jobs", "expected"), [(1, 0.3), (5, 0.99), (40, 0.8)])
def test_draws_follow_the_law(law: Law, jobs: int, expected: float) -> None:
    table = departures(law, np.linspace(0.0, expected, jobs + 1)[None, :])
    rng = stream(5)
    drawn = [departing(table, 0, jobs, rng) for _ in range(40_000)]
    count = np.bincount(drawn, minlength=jobs + 1)
    assert count.size == jobs + 1
    exact = pmf(law, expected, jobs) * 40_000
    likely = exact > 10
    statistic = np.sum((count[likely] - exact[likely]) ** 2 / exact[likely])
    assert statistic < stats.chi2.ppf(1 - 1e-5, max(int(likely.sum()) - 1, 1))


@pytest.mark.parametrize(
    ("law", "jobs", "expected"),
    [("binomial", 3000, 2700.0), ("binomial", 10**5, 1500.0), ("poisson", 1600, 1500.0)],
)
def test_laws_too_wide_for_one_search_are_drawn_in_parts(
    law: Law, jobs: int, expected: float
) -> None:
    rates = np.zeros((1, jobs + 1))
    rates[0, jobs] = expected
    table = departures(law, rates)
    assert table.none[0, jobs] == 0.0
    rng = stream(7)
    drawn = np.array([departing(table, 0, jobs, rng) for _ in range(20_000)])
    exact = pmf(law, expected, jobs)
    variance = float(exact @ np.arange(jobs + 1) ** 2.0) - expected**2
    assert drawn.max() <= jobs
    assert drawn.mean() == pytest.approx(expected, abs=4 * np.sqrt(variance / drawn.size))
    # The relative standard error of a variance is near sqrt(2 / n) = 1 %.
    assert drawn.var() == pytest.approx(variance, rel=0.05)


def test_arrivals_beyond_the_range_of_one_search_are_poisson_too() -> None:
    rng, mean = stream(9), 2.5 * LARGEST
    drawn = np.array([poisson(u, mean, 0.0, rng) for u in np.random.default_rng(1).random(20_000)])
    assert drawn.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / drawn.size))
    assert drawn.var() == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize("law", LAWS)
def test_every_backend_draws_once_a_slot_whether_or_not_it_has_jobs(law: Law) -> None:
    table = departures(law, np.linspace(0.0, 0.9, 10)[None, :])
    busy, idle = stream(3), stream(3)
    departing(table, 0, 9, busy)
    assert departing(table, 0, 0, idle) == 0
    assert np.array_equal(busy, idle)
