"""Overload simulated: what GMSR serves, keeps stable and piles up, and what other policies do.

Paths of the scaled system, for as long as a run may last: version 3 of the GMSR paper speaks of the
fluid, of which they are samples (Theorem 1).
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

from isocline.policies.parse import parse
from isocline.simulate.routing.paths import paths
from isocline.simulate.routing.prepare import prepare
from isocline.theory import plan
from isocline.theory.routing.inclusion import fluid
from isocline.theory.routing.plan_records import Overload
from tests.builders import crowded

# The theorem is GMSR's. The secant is the marginal rate where workloads rest, and tends to 0, too,
# where they grow.
OPTIMAL = ("gmsr", "gmsr_secant")
SYSTEM = crowded()
SCALE, HORIZON, REPLICATIONS = 40.0, 150.0, 6
STABLE = [2, 3]
# Jobs of size 1/c wander about the fluid: a mean of concave rates and convex workloads is off by
# about the square of their standard deviation, which is of order 1/c.
BIAS = 1.0 / SCALE


class Measured(NamedTuple):
    """The second half of each path."""

    served: np.ndarray  # (R,) jobs/s
    jobs: np.ndarray  # (R, B) mean
    growth: np.ndarray  # (R, B) jobs/s


@cache
def measured(policy: str) -> Measured:
    found = paths(
        SYSTEM,
        policy,
        scale=SCALE,
        clock="continuous",
        horizon=HORIZON,
        points=301,
        replications=REPLICATIONS,
    )
    late = found.workloads[:, 150:]
    rates = np.stack([c.rate(late[:, :, b]) for b, c in enumerate(SYSTEM.curves)], axis=2)
    grown = (late[:, -1] - late[:, 0]) / (HORIZON / 2.0)
    return Measured(rates.sum(axis=2).mean(axis=1), late.mean(axis=1), grown)


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over replications, and half-width of its 99.9 % interval."""
    half = stats.t.ppf(0.9995, len(values) - 1) * values.std(axis=0, ddof=1) / len(values) ** 0.5
    return values.mean(axis=0), half


def known() -> Overload:
    found = plan(SYSTEM).overload
    assert found is not None
    return found


@pytest.mark.parametrize("policy", OPTIMAL)
def test_throughput_is_that_of_the_fluid_which_tends_to_the_most(policy: str) -> None:
    served, half = interval(measured(policy).served)
    path = fluid(SYSTEM, horizon=HORIZON, step=HORIZON / 300)
    late = path.workloads[150:]
    fluid_served = np.sum([c.rate(late[:, b]) for b, c in enumerate(SYSTEM.curves)], axis=0).mean()
    assert abs(served - fluid_served) <= half + BIAS
    # 10/t is missing at time t: peak half / (growth t) of each that grows.
    assert known().throughput - fluid_served == pytest.approx(10.0 * np.log(2.0) / 75.0, rel=0.1)


@pytest.mark.parametrize("policy", OPTIMAL)
def test_stable_backends_have_the_workloads_of_the_plan(policy: str) -> None:
    jobs, half = interval(measured(policy).jobs)
    for b in STABLE:
        row = known().backends[b]
        assert row.jobs is not None
        assert abs(jobs[b] - row.jobs) <= half[b] + BIAS * row.jobs
    total, wide = interval(measured(policy).jobs[:, STABLE].sum(axis=1))
    assert abs(total - known().stable_jobs) <= wide + BIAS * known().stable_jobs


@pytest.mark.parametrize("policy", OPTIMAL)
def test_jobs_pile_up_where_the_plan_says(policy: str) -> None:
    growth, half = interval(measured(policy).growth)
    for b, row in enumerate(known().backends):
        assert row.growth is not None
        # 10/t jobs/s more than in the long run, as above, of all that grow.
        assert abs(growth[b] - row.growth) <= half[b] + 0.1


def test_join_the_shortest_queue_serves_as_much_with_more_jobs() -> None:
    # It levels the jobs of b2 and b3: 20 N/(N + 30) + 10 N/(N + 2) = 20 at N = 33.64.
    served, half = interval(measured("jsq").served)
    assert abs(served - known().throughput) <= half + 0.1 + BIAS
    jobs, wide = interval(measured("jsq").jobs[:, STABLE].sum(axis=1))
    assert abs(jobs - 2.0 * 33.64) <= wide + BIAS * 67.3
    assert jobs - wide > 1.2 * known().stable_jobs


def test_latency_and_connections_by_capacity_serve_as_much_with_more_jobs() -> None:
    best = measured("gmsr").jobs[:, STABLE].sum(axis=1)
    for policy in ("least_expected_latency", "weighted_least_connections"):
        served, half = interval(measured(policy).served)
        assert abs(served - known().throughput) <= half + 0.1 + BIAS
        # In each replication all policies have the same arrivals.
        more, wide = interval(measured(policy).jobs[:, STABLE].sum(axis=1) - best)
        assert more - wide > 0.0


@pytest.mark.parametrize("policy", ["random", "static_optimal"])
def test_fixed_shares_serve_what_their_shares_allow_which_is_less(policy: str) -> None:
    shares = parse(policy).shares(prepare(SYSTEM, ends=True).setting)
    assert shares is not None
    graph = SYSTEM.graph
    inflow = np.bincount(graph.sink, shares * SYSTEM.rates[graph.source], 4)
    most = np.minimum(inflow, SYSTEM.capacities).sum()
    served, half = interval(measured(policy).served)
    assert served <= most + half + BIAS
    assert abs(served - most) <= half + 0.3  # short of it by what a finite workload leaves
    assert most < known().throughput - 0.5
    growing = inflow > SYSTEM.capacities
    assert ((interval(measured(policy).growth)[0] > 0.2) == growing).all()


def test_shares_that_were_best_for_less_load_lose_a_backend() -> None:
    growth, half = interval(measured("static_optimal").growth)
    assert (growth - half > 0.0).tolist() == [True, True, False, True]
    kept = [row.name for row in known().backends if row.status == "stable"]
    assert kept == ["b2", "b3"]
