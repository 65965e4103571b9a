"""Jobs count where they were served: right whatever their sizes, and however they come."""

from collections.abc import Callable

import numpy as np
import pytest

from isocline.learn import Learner
from isocline.learn.services import variation
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from tests.learn.serving import (
    TOKENS,
    Arrivals,
    Batches,
    Clients,
    Size,
    events,
    in_steps,
    learned_from,
    learner_of,
)


def equal(_rng: np.random.Generator) -> float:
    return 1.0


def alike(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.9, 1.1))


def exponential(rng: np.random.Generator) -> float:
    return float(rng.exponential())


def heavy(rng: np.random.Generator) -> float:
    return float(rng.lognormal(-0.72, 1.2))  # mean 1, squared coefficient of variation 3.2


HYPERBOLIC, KNEE = HyperbolicCurve(10.0, 6.0), KneeCurve(10.0, 4.0, 3.0)


def errors(learner: Learner, curve: Curve) -> np.ndarray:
    """Relative errors of C(n) / T(n) at n = 1, 2, 3."""
    known = learner.fitted(0).known
    n = np.arange(1, 4)
    return np.asarray(known.completions[n] / known.seconds[n] / curve.rate(n) - 1.0)


@pytest.mark.parametrize("curve", [HYPERBOLIC, KNEE], ids=lambda c: c.type)
@pytest.mark.parametrize("size", [equal, alike])
@pytest.mark.parametrize("stagger", [0.001, 0.1, 0.5])
def test_equal_jobs_in_batches_are_learned_without_bias(
    curve: Curve, size: Size, stagger: float
) -> None:
    learner = learned_from(curve, Batches(6, stagger), size, 3000)
    assert np.abs(errors(learner, curve)).max() < 0.05
    assert (
        np.abs(learner.curve(0).rate(np.arange(1, 4)) / curve.rate(np.arange(1, 4)) - 1).max()
        < 0.06
    )


def test_where_they_end_they_would_be_learned_several_times_too_fast() -> None:
    """The test above is about something."""
    learner = learned_from(HYPERBOLIC, Batches(6, 0.001), equal, 3000, told=False)
    assert errors(learner, HYPERBOLIC)[0] > 2.0


def test_equal_jobs_of_a_closed_loop_are_learned_at_its_workload() -> None:
    for clients in (1, 2, 3, 8):
        learner = learned_from(HYPERBOLIC, Clients(clients), equal, 600)
        rate = float(learner.curve(0).rate(clients))
        assert rate == pytest.approx(float(HYPERBOLIC.rate(clients)), rel=0.03)


@pytest.mark.parametrize("arrivals", [Batches(6, 0.1), Clients(3)], ids=["batches", "clients"])
def test_exponential_jobs_still_count_where_they_end(arrivals: Arrivals) -> None:
    learner = learned_from(HYPERBOLIC, arrivals, exponential, 4000)
    assert variation(learner.observed.served, 0) == pytest.approx(1.0, abs=0.2)
    n = 3
    rate = float(learner.curve(0).rate(n))
    assert rate == pytest.approx(float(HYPERBOLIC.rate(n)), rel=0.05)


LENGTHS: dict[str, Callable[[np.random.Generator], int]] = {
    "alike": lambda rng: int(rng.integers(1, 2 * TOKENS)),  # c = 0.3
    "two kinds": lambda rng: int(rng.choice([5, 35])),  # c = 0.6
    "geometric": lambda rng: int(rng.geometric(1.0 / TOKENS)),  # c = 0.95
}


@pytest.mark.parametrize("lengths", LENGTHS)
def test_jobs_that_leave_in_one_step_are_not_counted_where_no_time_was_spent(lengths: str) -> None:
    """Of four that came together two leave together: 3 was held for microseconds."""
    passed_by = 0
    for seed in range(20):
        learner = learner_of(in_steps(HYPERBOLIC, 0.3, LENGTHS[lengths], 16, seed, together=4))
        known = learner.fitted(0).known
        n = np.arange(known.seconds.size)
        due = HYPERBOLIC.rate(n) * known.seconds
        brief = (known.seconds > 0) & (due < 0.01)
        passed_by += int(known.completions[brief].sum() > 0)
        # 1 / LATE times, at most, as the last of a service count for so much more.
        assert np.all(known.completions[brief] <= 0.01 + 20.0 * due[brief])
    assert passed_by > 0


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_server_that_works_in_steps_is_learned_without_bias(lengths: str) -> None:
    learner = learner_of(in_steps(HYPERBOLIC, 7.0, LENGTHS[lengths], 12_000, 1))
    known = learner.fitted(0).known
    n = np.arange(5, 13)
    rate = known.completions[n].sum() / known.seconds[n].sum()
    due = (HYPERBOLIC.rate(n) * known.seconds[n]).sum() / known.seconds[n].sum()
    assert rate == pytest.approx(due, rel=0.04)
    rates = learner.curve(0).rate(n) / HYPERBOLIC.rate(n)
    assert np.abs(rates - 1.0).max() < 0.08  # the wait for a step is 5 % at 1


@pytest.mark.parametrize(
    ("size", "most"),
    [(equal, 6), (equal, 60), (alike, 30), (heavy, 6)],
)
def test_batches_and_unequal_sizes_are_no_change_of_speed(size: Size, most: int) -> None:
    learner = learned_from(HYPERBOLIC, Batches(most, 0.01), size, 4000)
    assert learner.changes == []


@pytest.mark.parametrize("size", [equal, exponential])
def test_a_change_of_speed_is_still_noticed(size: Size) -> None:
    rng, learner, start = np.random.default_rng(3), Learner(1), 0.0
    for factor in (1.0, 0.5):
        for now, n, began in events(HYPERBOLIC.scaled(factor), Batches(6, 0.1), size, 800, rng):
            if began is None:
                learner.arrived(0, n, start + now)
            else:
                learner.finished(0, n, start + now, start + began)
            if learner.due:
                learner.update(start + now, [n + 1 if began is None else n - 1])
        start += now
    assert len(learner.changes) == 1
    assert learner.changes[0].speed == pytest.approx(0.5, rel=0.25)
    assert float(learner.curve(0).rate(3)) == pytest.approx(HYPERBOLIC.rate(3) / 2, rel=0.1)


def test_a_stay_longer_than_what_is_remembered_counts_where_it_ends() -> None:
    learner = Learner(1)
    learner.arrived(0, 0, 0.0)
    for step in range(2000):
        learner.arrived(0, 1, 1.0 + step)
        learner.finished(0, 2, 1.5 + step, 1.0 + step)
    done = learner.observed.occupied.done
    before = done.copy()
    learner.finished(0, 1, 2001.5, 0.0)
    assert (done - before)[0, 1] == 1.0
    assert done.sum() == pytest.approx(2001.0)
