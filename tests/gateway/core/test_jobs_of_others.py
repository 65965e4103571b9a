"""What is expected of others: the theorem, and what holds for any reports."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from isocline.gateway.core.actions import Action, Hold, Send
from isocline.gateway.core.jobs_of_others import AVERAGED, STEP, JobsOfOthers
from tests.gateway.core.cores import SMALL, core, sent

STAY = 2.0  # s
REPORTS = st.lists(st.integers(0, 50), min_size=1, max_size=9)


def told(*reports: int, stay: float = STAY, gap: float = 1.0) -> JobsOfOthers:
    """Estimate of one backend after reports at equal gaps, the last one at time 0."""
    made = JobsOfOthers(1)
    for number, jobs in enumerate(reports, 1):
        made.reported(0, jobs, gap * (number - len(reports)), stay * number, number)
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
    assert made.at(0, age) == pytest.approx(exact, abs=1e-6)


def test_it_is_unbiased_along_a_stationary_chain_but_for_what_fades() -> None:
    """The same chain, with reports at exponential gaps g: all of M but exp(-g / S) is left out."""
    rng, made = np.random.default_rng(1), JobsOfOthers(1)
    jobs, now = 5, 0.0
    errors = []
    for number in range(1, 21_001):
        made.reported(0, jobs, now, STAY * number, number)
        gap = rng.exponential(STAY)
        stays = int(rng.binomial(jobs, math.exp(-gap / STAY)))
        jobs = stays + int(rng.poisson(5.0 * -math.expm1(-gap / STAY)))
        now += gap
        errors.append(jobs - made.at(0, now))
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
    assert made.at(0, 0.0) == reports[-1]
    assert made.expect(0, 0.0) == reports[-1]
    assert 0.0 <= made.at(0, age) <= max(reports) + 1e-9
    assert told(*reports, gap=1e12).at(0, 1e3) == pytest.approx(np.mean(reports), abs=1e-6)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=9))
def test_a_mean_fades_in_the_time_of_as_many_reports_as_it_may_hold(reports: list[int]) -> None:
    made, mean = told(*reports, stay=1e-3), float(np.mean(reports))
    assert made.at(0, AVERAGED) == pytest.approx(mean / math.e, abs=1e-6)


@given(REPORTS, st.floats(0.01, 100.0))
def test_the_whole_number_is_near_in_few_steps(reports: list[int], stay: float) -> None:
    made, now, steps = told(*reports, stay=stay), 0.0, 0
    while now < 1e3 * stay:
        whole, until = made.expect(0, now), min(made.changes_at[0], 2e3 * stay)
        assert until > now
        assert abs(made.at(0, 0.5 * (now + until)) - whole) <= 0.5 + 3.0 * STEP * max(reports)
        now, steps = until, steps + 1
    assert steps < 16.0 * math.log(2e3) + 10.0


def test_without_reports_or_stays_of_ones_own_nothing_is_expected_to_change() -> None:
    made = JobsOfOthers(2)
    assert made.at(0, 5.0) == 0.0
    for jobs in (3, 7):
        made.reported(0, jobs, 1.0, 4.0, 0)
    assert made.at(0, 1e6) == 7.0
    assert (made.expect(0, 9.0), made.changes_at[0]) == (7, math.inf)
    made.forget(0)
    assert (made.at(0, 9.0), made.changes_at[0]) == (0.0, math.inf)
    assert made.expect(1, 9.0) == 0


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
