"""Refined mean field: against exact laws, with errors of the order that theory says."""

import functools
import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve, ServersCurve
from isocline.theory.routing.refined_mean_field import (
    BackendGroup,
    RefinedMeanField,
    refined_mean_field,
)
from isocline.theory.routing.refined_mean_field.drift import drift
from tests.theory.routing.sampled_choice_chain import Group, mean_jobs

FloatArray = npt.NDArray[np.float64]

QUEUE = BackendGroup(ServersCurve(1.0))
FAST = HyperbolicCurve(4.0, 2.0)


def exact_jsq(n: int, rate: float, most: int, *, replacement: bool, d: int = 2) -> float:
    group = Group(n, lambda _: 1.0, float)
    return mean_jobs([group], rate, d, most, replacement=replacement)


def errors(found: RefinedMeanField, n: int, exact: float) -> list[float]:
    return [abs(found.jobs(n, order) - exact) for order in range(found.order + 1)]


@pytest.mark.parametrize("load", [0.3, 0.9])
def test_one_choice_is_the_mm1_queue_at_every_number_of_backends(load: float) -> None:
    found = refined_mean_field([QUEUE], load, d=1, order=2)
    for n, order in itertools.product((1, 2, 100), (0, 1, 2)):
        assert found.jobs(n, order) == pytest.approx(load / (1.0 - load), rel=1e-9)
        assert found.latency(n, order) == pytest.approx(1.0 / (1.0 - load), rel=1e-9)
    shares = found.at_least(5)[0]
    assert shares == pytest.approx(load ** np.arange(1.0, shares.size + 1.0), abs=1e-11)


def test_one_choice_of_a_curve_is_its_birth_and_death_chain() -> None:
    rate, jobs = 3.0, np.arange(1, 400)
    weights = np.r_[1.0, np.cumprod(rate / FAST.rate(jobs))]
    expected = float(weights[1:] @ jobs / weights.sum())
    found = refined_mean_field([BackendGroup(FAST)], rate, d=1)
    assert found.jobs(7) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("d", "load"), [(2, 0.5), (2, 0.9999), (3, 0.9), (64, 0.9)])
def test_without_bound_it_is_the_known_fixed_point(d: int, load: float) -> None:
    found = refined_mean_field([QUEUE], load, d, order=2)
    jobs = np.arange(1, found.shares[0].size + 1)
    expected = load ** ((float(d) ** jobs - 1.0) / (d - 1.0))
    assert found.at_least(1e15)[0] == pytest.approx(expected, abs=1e-10)
    assert found.jobs(1e15) == pytest.approx(expected.sum(), rel=1e-9)
    assert found.latency(1e15) == pytest.approx(expected.sum() / load, rel=1e-9)


@pytest.mark.parametrize("replacement", [False, True])
def test_error_falls_with_n_as_the_first_term_left_out(replacement: bool) -> None:
    found = refined_mean_field([QUEUE], 0.7, order=2, replacement=replacement, most_jobs=2)
    few, many = (errors(found, n, exact_jsq(n, 0.7, 2, replacement=replacement)) for n in (32, 64))
    for order in range(3):
        assert math.log2(few[order] / many[order]) == pytest.approx(order + 1.0, abs=0.25)


@pytest.mark.parametrize(("d", "replacement"), [(3, True), (4, False)])
def test_the_last_term_is_that_of_the_exact_means_at_many_n(d: int, replacement: bool) -> None:
    """Beyond d = 2, where derivatives of the third and fourth order are not 0."""
    found = refined_mean_field([QUEUE], 0.7, d, order=2, replacement=replacement, most_jobs=2)
    n = np.array([24, 32, 40, 48, 56, 64])
    exact = [exact_jsq(int(one), 0.7, 2, replacement=replacement, d=d) for one in n]
    rest = exact - found.shares[0].sum() - found.shares[1].sum() / n
    terms = np.linalg.solve(n[:, None] ** -np.arange(2.0, 8.0), rest)
    assert found.shares[2].sum() == pytest.approx(terms[0], rel=1e-2)


def test_error_falls_with_n_for_unlike_backends_by_a_score_of_their_own() -> None:
    def price(jobs: FloatArray) -> FloatArray:
        return -FAST.marginal(jobs)

    groups = [BackendGroup(FAST, 0.5, price), BackendGroup(ServersCurve(1.0), 0.5)]
    found = refined_mean_field(groups, 0.8, order=2, most_jobs=2)
    gaps = []
    for half in (4, 8):
        chain = [
            Group(half, lambda j: float(FAST.rate(j)), lambda j: float(price(np.array(j)))),
            Group(half, lambda _: 1.0, float),
        ]
        exact = mean_jobs(chain, 0.8, 2, 2, replacement=False)
        gaps.append(errors(found, 2 * half, exact))
    for order in range(3):
        assert math.log2(gaps[0][order] / gaps[1][order]) == pytest.approx(order + 1.0, abs=0.4)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_each_order_is_nearer_to_the_exact_law_of_a_few_queues(n: int, replacement: bool) -> None:
    most = {2: 24, 3: 18, 4: 12, 5: 9}[n]
    exact = exact_jsq(n, 0.5, most, replacement=replacement)
    found = refined_mean_field([QUEUE], 0.5, order=2, replacement=replacement)
    off = errors(found, n, exact)
    assert off[0] > 2.0 * off[1] > 4.0 * off[2]
    assert off[2] < abs(found.jobs(n, 2) - found.jobs(n, 1))


def test_derivatives_make_the_polynomial_again() -> None:
    rng = np.random.default_rng(3)
    service = rng.uniform(1.0, 2.0, (2, 3))
    scores = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 1.0, 4.0, 3.0])]
    weights = np.arange(4.0)[:, None] ** np.arange(3)  # of degree 4: Taylor's series ends there
    here = drift(1.3, weights, np.array([0.4, 0.6]), service, scores)
    at, step = rng.uniform(0.0, 1.0, 6), rng.uniform(-1.0, 1.0, 6)
    moved = here.forms @ step
    expected = here.arrivals(at + step, 0, 3)
    for (value,), derivatives in zip(expected, here.arrivals(at, 4, 3), strict=True):
        total = np.zeros(6)
        for many, tensor in enumerate(derivatives):
            along = functools.reduce(
                lambda left, _: np.einsum("a...i,ia->...i", left, moved), range(many), tensor
            )
            total += along / math.factorial(many)
        assert total == pytest.approx(value, rel=1e-11, abs=1e-11)


def test_every_job_goes_somewhere() -> None:
    rng = np.random.default_rng(5)
    scores = [np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0])]
    weights = np.ones((3, 1))
    here = drift(2.0, weights, np.array([0.4, 0.6]), np.ones((2, 2)), scores)
    held = np.sort(rng.uniform(0.0, 0.4, (2, 2)), axis=1)[:, ::-1]
    full = held[:, -1].sum() / 1.0  # two jobs are the highest score: all sampled ones must be full
    ((value,),) = here.arrivals(held.ravel(), 0)
    assert value.sum() == pytest.approx(2.0 * (1.0 - full**3))


def test_a_group_in_two_parts_is_one_group_and_scores_count_by_their_order_alone() -> None:
    whole = refined_mean_field([BackendGroup(FAST)], 2.0, 3, order=2)
    parts = [BackendGroup(FAST, 1.0, np.exp), BackendGroup(FAST, 3.0, np.exp)]
    split = refined_mean_field(parts, 2.0, 3, order=2)
    for order in range(3):
        assert split.jobs(10, order) == pytest.approx(whole.jobs(10, order), rel=1e-9)
        together = split.at_least(10, order).sum(axis=0)
        assert together == pytest.approx(whole.at_least(10, order)[0], abs=1e-11)


def test_buffers_that_never_fill_change_nothing() -> None:
    free = refined_mean_field([QUEUE], 0.9, order=2)
    long = refined_mean_field([QUEUE], 0.9, order=2, most_jobs=25)
    for order in range(3):
        assert free.jobs(10, order) == pytest.approx(long.jobs(10, order), rel=1e-10)


def test_a_lost_job_has_no_latency() -> None:
    lossy = refined_mean_field([QUEUE], 5.0, d=1, most_jobs=1)  # M/M/1/1: served at once or lost
    assert lossy.jobs(3) == pytest.approx(5.0 / 6.0)
    assert lossy.latency(3) == pytest.approx(1.0)


def test_a_load_that_cannot_be_served_is_refused() -> None:
    with pytest.raises(UsageError, match="less than the mean capacity, 1 jobs/s"):
        refined_mean_field([QUEUE], 1.0)
    preferred = BackendGroup(ServersCurve(0.1), score=lambda jobs: jobs - 1e9)
    with pytest.raises(UsageError, match="more than 160 shares"):
        refined_mean_field([QUEUE, preferred], 0.5, order=2)
    with pytest.raises(UsageError, match="more than 512 shares"):
        refined_mean_field([BackendGroup(FAST)], 3.999, order=1)


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one BackendGroup"):
        refined_mean_field([], 0.5)
    with pytest.raises(UsageError, match="order 3: give 0, 1 or 2"):
        refined_mean_field([QUEUE], 0.5, order=3)
    with pytest.raises(UsageError, match="most_jobs 0"):
        refined_mean_field([QUEUE], 0.5, most_jobs=0)
    with pytest.raises(UsageError, match="lower rate, order or most_jobs"):
        refined_mean_field([QUEUE], 0.5, order=2, most_jobs=1000)
    with pytest.raises(UsageError, match="share 0"):
        BackendGroup(ServersCurve(1.0), share=0)
    with pytest.raises(UsageError, match="one number, not nan, for each"):
        refined_mean_field([BackendGroup(ServersCurve(1.0), score=lambda jobs: jobs[:2])], 0.5)
    found = refined_mean_field([QUEUE], 0.5)
    with pytest.raises(UsageError, match="order 2: give 0 to 1"):
        found.jobs(10, 2)
    with pytest.raises(UsageError, match="backends 1: give 2 or more"):
        found.jobs(1)
    refined_mean_field([QUEUE], 0.5, replacement=True).jobs(1)
    with pytest.raises(UsageError, match="backends 0"):
        found.latency(0)
