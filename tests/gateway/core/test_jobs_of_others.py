"""What is expected of others: the theorem, and what holds for any reports."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from isocline.gateway.core.actions import Action, Hold, Send
from isocline.gateway.core.jobs_of_others import AVERAGED, STEP, JobsOfOthers
from tests.gateway.core.cores import SMALL, core, sent

STAY = 2.0  # s
AGES = st.floats(0.0, 100.0)
REPORTS = st.lists(st.integers(0, 50), min_size=1, max_size=9)


OWN = 3  # jobs of one's own, where they stay the same


def told(
    *reports: int, stay: float = STAY, gap: float = 1.0, own: Sequence[int] = ()
) -> JobsOfOthers:
    """Estimate of one backend after reports at equal gaps, the last one at time 0."""
    made = JobsOfOthers(1)
    for number, jobs in enumerate(reports, 1):
        mine = own[number - 1] if own else OWN
        made.reported(0, jobs, mine, gap * (number - len(reports)), stay * number, number)
    return made


@pytest.mark.parametrize("jobs", [0, 1, 4, 9, 10])
@pytest.mark.parametrize("age", [0.0, 0.1, 1.0, 2.0, 7.0, 100.0])
def test_it_is_the_conditional_mean_of_a_birth_death_chain(jobs: int, age: float) -> None:
    """Others send at 2.5 /s and each job stays for 2 s: by the generator of that chain."""
    levels, mean = np.arange(60.0), 5.0
    births, deaths = np.full(59, mean / STAY), levels[1:] / STAY
    generator = np.diag(births, 1) + np.diag(deaths, -1)
    generator -= np.diag(generator.sum(axis=1))
    exact = float(expm(generator * age)[jobs] @ levels)
    made = told(10 - jobs, jobs, gap=1e12)  # so rare that a mean does not fade in this time
    assert made.at(0, OWN, age) == pytest.approx(exact, abs=1e-6)


def test_it_is_unbiased_along_a_stationary_chain_but_for_what_fades() -> None:
    """The same chain, with reports at exponential gaps g: all of M but exp(-g / S) is left out."""
    rng, made = np.random.default_rng(1), JobsOfOthers(1)
    jobs, now = 5, 0.0
    errors = []
    for number in range(1, 21_001):
        made.reported(0, jobs, OWN, now, STAY * number, number)
        gap = rng.exponential(STAY)
        stays = int(rng.binomial(jobs, math.exp(-gap / STAY)))
        jobs = stays + int(rng.poisson(5.0 * -math.expm1(-gap / STAY)))
        now += gap
        errors.append(jobs - made.at(0, OWN, now))
    batches = np.reshape(errors[1_000:], (40, 500)).mean(axis=1)
    fade, move = 1.0 / AVERAGED, 1.0  # g / S and g / W, in the mean
    left_out = 5.0 * (1.0 - 1.0 / (1.0 + fade) - 1.0 / (1.0 + move) + 1.0 / (1.0 + fade + move))
    noise = batches.std(ddof=1) / math.sqrt(batches.size)
    assert abs(batches.mean() - left_out) < 4.0 * noise + 0.1 * left_out


@given(REPORTS, st.floats(0.0, 100.0))
def test_a_fresh_report_counts_in_full_and_an_old_one_not_at_all(
    reports: list[int], age: float
) -> None:
    made = told(*reports)
    assert made.at(0, OWN, 0.0) == reports[-1]
    assert made.expect(0, OWN, 0.0) == reports[-1]
    assert 0.0 <= made.at(0, OWN, age) <= max(reports) + 1e-9
    assert told(*reports, gap=1e12).at(0, OWN, 1e3) == pytest.approx(np.mean(reports), abs=1e-6)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=9))
def test_a_mean_fades_in_the_time_of_as_many_reports_as_it_may_hold(reports: list[int]) -> None:
    made, mean = told(*reports, stay=1e-3), float(np.mean(reports))
    assert made.at(0, OWN, AVERAGED) == pytest.approx(mean / math.e, abs=1e-6)


@given(REPORTS, st.floats(0.01, 100.0))
def test_the_whole_number_is_near_in_few_steps(reports: list[int], stay: float) -> None:
    made, now, steps = told(*reports, stay=stay), 0.0, 0
    while now < 1e3 * stay:
        whole, until = made.expect(0, OWN, now), min(made.changes_at[0], 2e3 * stay)
        assert until > now
        assert abs(made.at(0, OWN, 0.5 * (now + until)) - whole) <= 0.5 + 3.0 * STEP * max(reports)
        now, steps = until, steps + 1
    assert steps < 16.0 * math.log(2e3) + 10.0


@given(st.lists(st.integers(0, 20), min_size=2, max_size=40), st.integers(1, 15))
def test_others_that_do_as_oneself_are_known_by_ones_own_jobs(own: list[int], others: int) -> None:
    """The same reports lead all to one backend: it fills by as many times as there are others."""
    own = [*own, 0, 1]  # two of the same number tell nothing
    made = told(*(others * jobs for jobs in own), own=own)
    assert made.response == pytest.approx(others)
    for jobs in range(30):
        assert made.at(0, jobs, 0.0) == pytest.approx(others * jobs)
        assert made.expect(0, jobs, 0.0) == others * jobs


def test_others_that_are_independent_are_not_judged_by_ones_own_jobs() -> None:
    """The response is that of a regression: its standard error is 1 / sqrt(reports) here."""
    rng = np.random.default_rng(3)
    responses = [
        told(*rng.poisson(5.0, 200).tolist(), own=rng.poisson(5.0, 200).tolist()).response
        for _ in range(400)
    ]
    assert abs(np.mean(responses)) < 4.0 * np.std(responses) / 20.0
    assert np.std(responses) < 2.0 / math.sqrt(2.0 * AVERAGED)


@given(REPORTS, st.lists(st.integers(0, 50), min_size=9, max_size=9), st.integers(0, 99), AGES)
def test_nobody_expects_fewer_than_none(
    reports: list[int], own: list[int], jobs: int, age: float
) -> None:
    made = told(*reports, own=own)
    assert made.at(0, jobs, age) >= 0.0
    assert made.expect(0, jobs, age) == math.floor(made.at(0, jobs, age) + 0.5)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), AGES), max_size=300))
def test_the_next_change_is_the_least_of_all(steps: list[tuple[int, int, float]]) -> None:
    made, now = JobsOfOthers(3), 0.0
    for number, (backend, jobs, wait) in enumerate(steps):
        now += wait / 100.0
        made.reported(backend, jobs, OWN, now, STAY * number, number)
        made.expect(backend, jobs, now)
        least = min(made.changes_at)
        at, whose = made.next_change()
        assert at == least
        assert whose == -1 if at == math.inf else made.changes_at[whose] == at


def test_without_reports_or_stays_of_ones_own_nothing_is_expected_to_change() -> None:
    made = JobsOfOthers(2)
    assert made.at(0, OWN, 5.0) == 0.0
    for jobs in (3, 7):
        made.reported(0, jobs, OWN, 1.0, 4.0, 0)
    assert made.at(0, OWN, 1e6) == 7.0
    assert (made.expect(0, OWN, 9.0), made.changes_at[0]) == (7, math.inf)
    made.forget(0)
    assert (made.at(0, OWN, 9.0), made.changes_at[0]) == (0.0, math.inf)
    assert made.expect(1, OWN, 9.0) == 0


def test_a_held_request_goes_once_others_are_expected_to_have_left() -> None:
    """Own jobs stay for 1 s; others had none until the last report, and now more than there fit."""
    made = core(SMALL)
    for now in range(9):
        (one,) = sent(made, 1, float(now))
        made.finished(one.request, now + 1.0)
        made.reported(0, now + 1.0, jobs=0)
    made.reported(0, 9.0, jobs=4)
    assert isinstance(made.arrived(9.0, 0), Hold)
    at, actions = 9.0, list[Action]()
    while not actions:
        at = made.next_deadline()
        actions = made.tick(at)
    assert actions == [Send(10, 0)]
    assert made.workload(0, at)[0] == 2
    assert at == pytest.approx(9.0 + math.log(3.6 / 1.1), abs=0.2)  # 0.4 + 3.6 exp(-t) is 1.5
