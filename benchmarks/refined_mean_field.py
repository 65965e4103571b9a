"""Refined mean field, its time and error: `python -m benchmarks.refined_mean_field`.

Times are CPU times, ours the least of several calls; run it with OMP_NUM_THREADS=1. Errors are
shares of the exact mean: up to 5 queues it is solved for state by state, and simulated above that,
with the half-width of its 95 % interval. With `pip install rmftool sympy` in a directory on
PYTHONPATH, N. Gast's tool solves the same in the same run, its symbolic derivatives included.
"""

import functools
import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable
from typing import Any

import isocline
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve, ServersCurve
from isocline.theory.routing.refined_mean_field import (
    BackendGroup,
    RefinedMeanField,
    refined_mean_field,
)
from tests.builders import fleet
from tests.theory.routing.sampled_choice_chain import Group, mean_jobs

RUNS = 7
JOBS = 1e7  # in each of ten replications, about
QUEUE = BackendGroup(ServersCurve(1.0))
ORDERS = (0, 1, 2)


def by_price(curve: HyperbolicCurve | KneeCurve) -> BackendGroup:
    return BackendGroup(curve, score=lambda jobs: 1.0 / curve.marginal(jobs))


CASES: dict[str, tuple[list[BackendGroup], float, int]] = {
    "JSQ(2), load 0.5": ([QUEUE], 0.5, 2),
    "JSQ(2), load 0.9": ([QUEUE], 0.9, 2),
    "JSQ(2), load 0.99": ([QUEUE], 0.99, 2),
    "JSQ(10), load 0.9": ([QUEUE], 0.9, 10),
    "hyperbolic, d = 2, load 0.8": ([BackendGroup(HyperbolicCurve(4.0, 3.0))], 3.2, 2),
    "two kinds by price, d = 3": (
        [by_price(KneeCurve(4.0, 3.0, 2.0)), by_price(HyperbolicCurve(2.0, 2.0))],
        2.0,
        3,
    ),
}


def seconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def least(call: Callable[[], object]) -> float:
    return min(seconds(call) for _ in range(RUNS))


def times() -> None:
    print(f"{'ms for order':30}{'0':>8}{'1':>8}{'2':>8}{'shares':>8}")
    for name, (groups, rate, d) in CASES.items():
        found = refined_mean_field(groups, rate, d, order=2)
        call = functools.partial(refined_mean_field, groups, rate, d)
        row = [f"{1e3 * least(functools.partial(call, order=order)):>8.1f}" for order in ORDERS]
        print(f"{name:30}{''.join(row)}{found.shares[0].size:>8}", flush=True)


def line(name: str, found: RefinedMeanField, n: int, mean: float, known: float) -> None:
    """One case: errors of each order, the last term, and how well the mean is known."""
    off = "".join(f"{100.0 * (found.jobs(n, order) / mean - 1.0):>9.2f}" for order in ORDERS)
    last = 100.0 * abs(found.jobs(n, 2) - found.jobs(n, 1)) / mean
    print(f"{name:30}{mean:>9.4f}{off}{last:>9.2f}{100.0 * known / mean:>9.3f}", flush=True)


def errors() -> None:
    print(f"\n{'% off, of order':30}{'mean':>9}{'0':>9}{'1':>9}{'2':>9}{'term 2':>9}{'+-':>9}")
    group = {n: Group(n, lambda _: 1.0, float) for n in (2, 3, 4, 5)}
    for load, longest in ((0.5, (24, 18, 12, 10)), (0.7, (40, 22, 14, 11))):
        found = refined_mean_field([QUEUE], load, order=2)
        for n, most in zip((2, 3, 4, 5), longest, strict=True):
            exact = mean_jobs([group[n]], load, 2, most, replacement=False)
            shorter = mean_jobs([group[n]], load, 2, most - 1, replacement=False)
            line(f"JSQ(2), load {load}, n = {n}", found, n, exact, exact - shorter)
    for load in (0.7, 0.9, 0.95, 0.99):
        for n in (10, 100):
            simulated(f"JSQ(2), load {load}, n = {n}", [ServersCurve(1.0)], load, 2, n)
    for d, n in itertools.product((2, 3), (10, 20)):
        kinds = [KneeCurve(4.0, 3.0, 2.0), HyperbolicCurve(2.0, 2.0)]
        simulated(f"two kinds by jobs, d = {d}, n = {n}", kinds, 2.4, d, n)


def simulated(name: str, kinds: list[Curve], rate: float, d: int, n: int) -> None:
    """One case whose mean is simulated: as many backends of each kind."""
    found = refined_mean_field([BackendGroup(curve) for curve in kinds], rate, d, order=2)
    system = fleet(kinds * (n // len(kinds)), [rate * n])
    horizon = JOBS / (rate * n)
    run = isocline.simulate(system, [f"power_of_d:d={d}"], horizon=horizon, seed=1, threads=1)
    jobs = run.results[0].mean_jobs
    assert jobs is not None
    line(name, found, n, jobs.value / n, jobs.half_width / n)


def rival() -> None:
    """N. Gast's rmftool, in as many levels as ours follows, sampling with replacement."""
    if not importlib.util.find_spec("rmftool"):
        print("\nrmftool is not installed: no rival")
        return
    rmftool: Any = importlib.import_module("rmftool")
    load = 0.9
    print(f"\n{'JSQ(2), load 0.9, n = 10':30}{'order':>8}{'jobs':>10}{'s':>10}")
    ours = refined_mean_field([QUEUE], load, order=2, replacement=True)
    levels = ours.shares[0].size
    for order in (1, 2):
        model = rmftool.DDPP()
        for i in range(levels):
            up = [float(j == i) for j in range(levels)]
            model.add_transition(
                up,
                lambda x, i=i: load * ((x[i - 1] if i else 1.0) ** 2 - x[i] ** 2),
            )
            model.add_transition(
                [-one for one in up],
                lambda x, i=i: x[i] - (x[i + 1] if i + 1 < levels else 0.0),
            )
        model.set_initial_state([0.0] * levels)
        begun = time.process_time()
        terms = model.meanFieldExpansionSteadyState(order=order)
        took = time.process_time() - begun
        total = sum(float(sum(terms[k])) / 10.0**k for k in range(order + 1))
        print(f"{'rmftool':30}{order:>8}{total:>10.5f}{took:>10.3f}", flush=True)
        call = functools.partial(refined_mean_field, [QUEUE], load, replacement=True)
        mine = least(functools.partial(call, order=order))
        print(f"{'isocline':30}{order:>8}{ours.jobs(10, order):>10.5f}{mine:>10.4f}", flush=True)


def main() -> None:
    times()
    errors()
    rival()


if __name__ == "__main__":
    main()
