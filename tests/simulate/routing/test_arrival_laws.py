"""Renewal, batch and Markov-modulated arrivals against exact results.

`agrees` accepts twice a half-width at 95 %, as in test_theory.py.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import scipy.sparse.linalg
from scipy import integrate

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.traffic import (
    Arrivals,
    BatchArrivals,
    GammaArrivals,
    MarkovModulatedArrivals,
    Trace,
    WeibullArrivals,
)
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.compare import simulate, sweep
from isocline.simulate.routing.results import Comparison
from tests.builders import fleet, mixed, station

LOAD = 0.6


def one_server(arrivals: Arrivals, **options: Any) -> Comparison:
    system = fleet([station()], [1.0])
    system = replace(system, frontends=(replace(system.frontends[0], arrivals=arrivals),))
    return simulate(system, ["random"], **options)


def agrees(estimate: Estimate | None, exact: float, least: float = 0.1) -> bool:
    assert estimate is not None
    assert estimate.relative_half_width < least, "a test this loose would show nothing"
    return abs(estimate.value - exact) <= 2 * estimate.half_width


def time_in_gim1(transform: Callable[[float], float]) -> float:
    """Mean time in GI/M/1 at service rate 1, whose gaps have this Laplace transform.

    1 / (1 - s), s the root in (0, 1) of s = A(1 - s) (Kleinrock, Queueing Systems I, Section 6.4).
    """
    root = scipy.optimize.brentq(lambda s: transform(1.0 - s) - s, 0.0, 1.0 - 1e-9)
    return 1.0 / (1.0 - float(root))


def gamma_transform(cv: float) -> Callable[[float], float]:
    shape = cv**-2
    return lambda s: (1.0 + s / (LOAD * shape)) ** -shape


def weibull_transform(shape: float) -> Callable[[float], float]:
    scale = 1.0 / (LOAD * math.gamma(1.0 + 1.0 / shape))

    def transform(s: float) -> float:
        # Over u = (x / scale)^shape, which is exponential.
        found = integrate.quad(lambda u: math.exp(-u - s * scale * u ** (1 / shape)), 0, math.inf)
        return float(found[0])

    return transform


@pytest.mark.parametrize("percentiles", [True, False], ids=["timed", "means"])
@pytest.mark.parametrize(
    ("arrivals", "transform"),
    [
        (GammaArrivals(LOAD, 2.0), gamma_transform(2.0)),
        (GammaArrivals(LOAD, 0.4), gamma_transform(0.4)),
        (WeibullArrivals(LOAD, 0.6), weibull_transform(0.6)),
        (WeibullArrivals(LOAD, 3.0), weibull_transform(3.0)),
    ],
    ids=["gamma-2", "gamma-0.4", "weibull-0.6", "weibull-3"],
)
def test_gim1_waits_by_the_root_of_its_equation(
    arrivals: Arrivals, transform: Callable[[float], float], percentiles: bool
) -> None:
    found = one_server(arrivals, percentiles=percentiles).policies[0]
    exact = time_in_gim1(transform)
    assert agrees(found.mean_latency, exact)
    assert agrees(found.mean_jobs, LOAD * exact)


def test_the_time_in_gim1_served_in_order_is_exponential() -> None:
    found = one_server(GammaArrivals(LOAD, 2.0), discipline="fcfs", replications=20).policies[0]
    mean = time_in_gim1(gamma_transform(2.0))
    for estimate, share in ((found.p50, 0.5), (found.p95, 0.95), (found.p99, 0.99)):
        assert agrees(estimate, -math.log(1.0 - share) * mean)


@pytest.mark.parametrize(("size", "law"), [(3.0, "geometric"), (4.0, "fixed"), (1.0, "geometric")])
@pytest.mark.parametrize("percentiles", [True, False], ids=["timed", "means"])
def test_batches_queue_as_the_formula_for_mxm1_says(
    size: float, law: Any, percentiles: bool
) -> None:
    # L = rho / (1 - rho) (E[X^2] + E[X]) / (2 E[X]) (Gross and Harris, Section 3.1).
    square = 2.0 * size**2 - size if law == "geometric" else size**2
    exact = LOAD / (1.0 - LOAD) * (square + size) / (2.0 * size)
    found = one_server(BatchArrivals(LOAD, size, law), percentiles=percentiles).policies[0]
    assert agrees(found.mean_jobs, exact)


def mean_of_mmpp_m1(arrivals: MarkovModulatedArrivals, chain: np.ndarray, largest: int) -> float:
    """Mean jobs of MMPP/M/1 at service rate 1, from the balance of its chain, cut at `largest`."""
    rates, states = np.array(arrivals.rates), len(arrivals.rates)
    leave = 1.0 / np.array(arrivals.durations)
    switch = leave[:, None] * (chain - np.eye(states))
    size = largest + 1
    up, down = scipy.sparse.eye(size, k=1), scipy.sparse.eye(size, k=-1)
    below, above = np.ones(size), np.ones(size)
    below[-1], above[0] = 0.0, 0.0
    generator = (
        scipy.sparse.kron(scipy.sparse.eye(size), switch)
        + scipy.sparse.kron(up - scipy.sparse.diags(below), np.diag(rates))
        + scipy.sparse.kron(down - scipy.sparse.diags(above), np.eye(states))
    )
    balance = generator.T.tolil()
    balance[0, :] = 1.0
    right = np.zeros(size * states)
    right[0] = 1.0
    law = scipy.sparse.linalg.spsolve(balance.tocsc(), right).reshape(size, states).sum(axis=1)
    assert law[-1] < 1e-9
    return float(np.arange(size) @ law)


TWO = np.array([[0.0, 1.0], [1.0, 0.0]])
THREE = np.array([[0.0, 0.7, 0.3], [1.0, 0.0, 0.0], [0.2, 0.8, 0.0]])


@pytest.mark.parametrize("percentiles", [True, False], ids=["timed", "means"])
@pytest.mark.parametrize(
    ("arrivals", "chain"),
    [
        (MarkovModulatedArrivals((0.3, 1.5), (30.0, 8.0)), TWO),
        (
            MarkovModulatedArrivals((0.0, 0.5, 1.2), (4.0, 9.0, 15.0), tuple(map(tuple, THREE))),
            THREE,
        ),
    ],
    ids=["two", "three"],
)
def test_mmpp_m1_solves_the_balance_of_its_chain(
    arrivals: MarkovModulatedArrivals, chain: np.ndarray, percentiles: bool
) -> None:
    exact = mean_of_mmpp_m1(arrivals, chain, 600)
    found = one_server(arrivals, percentiles=percentiles).policies[0]
    assert agrees(found.mean_jobs, exact)


@pytest.mark.parametrize(
    "law",
    ["gamma:cv=2", "weibull:shape=0.6", "batch:size=3", "mmpp:rates=1/5,durations=20/5", "poisson"],
)
def test_a_law_keeps_the_rates_and_the_bound_at_every_load(law: str) -> None:
    plain = mixed()
    other = sweep(
        plain,
        ["gmsr"],
        loads=[0.4, 0.6],
        arrivals=law,
        replications=2,
        horizon=4000.0,
        warmup=400.0,
    )
    for comparison in other.comparisons:
        assert comparison.lower_bound == pytest.approx(
            simulate(plain, ["random"], load=comparison.load, horizon=300.0, warmup=0.0).lower_bound
        )
        for policy in comparison.policies:
            assert policy.status == "stable"
            assert policy.mean_jobs is not None
            assert policy.mean_jobs.high >= comparison.lower_bound
            assert policy.littles_law < 5e-3


def test_bursty_arrivals_wait_longer_and_regular_ones_shorter() -> None:
    world = fleet([HyperbolicCurve(10.0, 4.0)] * 3, [18.0])
    jobs = []
    for law in ("gamma:cv=0.3", "poisson", "gamma:cv=3"):
        mean = simulate(world, ["jsq"], arrivals=law, replications=4).policies[0].mean_jobs
        assert mean is not None
        jobs.append((mean.low, mean.high))
    assert jobs[0][1] < jobs[1][0] < jobs[1][1] < jobs[2][0]


def test_an_overload_by_any_law_is_unstable() -> None:
    world = fleet([station(), station(0.2)], [0.7])  # `random` sends 0.35 to a server of 0.2
    found = simulate(world, ["jsq", "round_robin"], arrivals="gamma:cv=2", replications=3)
    assert [policy.status for policy in found.policies] == ["stable", "unstable"]


def test_a_law_and_a_trace_contradict_each_other() -> None:
    trace = Trace("t", np.arange(9.0), np.ones(9), np.ones(9))
    with pytest.raises(UsageError, match="a trace has its own times"):
        simulate(mixed(), ["jsq"], trace=trace, arrivals="gamma:cv=2")
