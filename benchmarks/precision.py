"""Time to a mean latency within 0.1 %, and how often intervals hold it: `benchmarks.precision`.

`python -m benchmarks.precision [time | coverage] [--case NAME] [--load LOADS] [--runs N]`

Times are by the clock on the wall, on all cores, kernels compiled, warm-up and analysis included.
A time without controls is what the same replications ask for: that of one that has them, as the
square of what their interval is wider without. Coverage is over runs with seeds of their own,
against the exact mean where it is known, else that of one long run.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import isocline
from benchmarks.simulation import stations
from isocline.errors import RunTooShortError
from isocline.flow import capacity_scale
from isocline.model.curves import ServersCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.simulate.common.statistics.intervals import interval

EXAMPLES = Path(__file__).parents[1] / "examples"
LOADS = (0.5, 0.7, 0.9, 0.95, 0.99)
PRECISION = 1e-3
# Jobs of one of the ten replications of a run whose coverage counts, by load; the first fifth, from
# the equilibrium on, is discarded. As short as the assumption of the interval, that means of
# replications are normal, about bears.
JOBS = {0.5: 5_000, 0.7: 10_000, 0.9: 40_000, 0.95: 100_000, 0.99: 400_000}


def queue(servers: int) -> RoutingSystem:
    """M/M/n, to be scaled to its load."""
    return RoutingSystem(
        (Frontend("f", PoissonArrivals(0.5 * servers)),),
        (Backend("b", ServersCurve(1.0, servers)),),
        CompatibilityGraph.from_neighbours(1, [[0]]),
    )


def erlang_c_latency(load: float, servers: int) -> float:
    """Mean latency of M/M/n at unit rates; the inverse of Erlang's B by its recursion."""
    offered, inverse = load * servers, 1.0
    for k in range(1, servers + 1):
        inverse = 1.0 + inverse * k / offered
    blocked = 1.0 / inverse
    return 1.0 + blocked / (1.0 - load * (1.0 - blocked)) / (servers - offered)


@final
@dataclass(frozen=True)
class Case:
    """A system and a policy; the mean latency at a load, if it is known."""

    system: RoutingSystem
    policy: str
    exact: Callable[[float], float] | None = None


def cases() -> dict[str, Case]:
    """All cases by name."""
    fleet = isocline.load(EXAMPLES / "mixed_fleet.yaml")
    assert isinstance(fleet, RoutingSystem)
    return {
        "M/M/1": Case(queue(1), "random", lambda load: erlang_c_latency(load, 1)),
        "M/M/20": Case(queue(20), "random", lambda load: erlang_c_latency(load, 20)),
        "JSQ(3) x 100": Case(stations(), "power_of_d:d=3"),
        "gmsr_secant, mixed fleet": Case(fleet, "gmsr_secant"),
    }


def time_to(case: Case, load: float) -> str:
    """One line: time to the precision, and what it would be without controls."""
    began = time.perf_counter()
    found = isocline.simulate(
        case.system, [case.policy], load=load, percentiles=False, precision=PRECISION
    )
    wall = time.perf_counter() - began
    (policy,) = found.policies
    assert policy.mean_latency is not None
    reached = policy.mean_latency.relative_half_width
    without = wall * (interval(policy.latencies).relative_half_width / PRECISION) ** 2
    return (
        f"{wall:6.2f} s to {100 * reached:.2g} %, without controls {without:8.2f} s; "
        f"{found.replications} replications of {found.horizon:.3g} s"
    )


def truth(case: Case, load: float) -> tuple[float, float]:
    """Mean latency, and the relative half-width of its interval."""
    if case.exact is not None:
        return case.exact(load), 0.0
    rate = load / unit_load(case.system)
    (policy,) = isocline.simulate(
        case.system, [case.policy], load=load, percentiles=False, start="fluid", seed=10**6,
        horizon=40 * JOBS[load] / rate, warmup=2 * JOBS[load] / rate, replications=40,
    ).policies  # fmt: skip
    assert policy.mean_latency is not None
    return policy.mean_latency.value, policy.mean_latency.relative_half_width


def unit_load(system: RoutingSystem) -> float:
    """Load that one job/s is."""
    rates = system.rates
    scale = capacity_scale(system.graph, rates, system.capacities).scale
    return 1.0 / (scale * float(rates.sum()))


def coverage(case: Case, load: float, runs: int) -> str:
    """One line: how often intervals hold the mean, and their mean half-width."""
    exact, error = truth(case, load)
    rate = load / unit_load(case.system)
    horizon = JOBS[load] / rate
    held, width, refused = [0, 0], [0.0, 0.0], 0
    for seed in range(runs):
        try:
            (policy,) = isocline.simulate(
                case.system, [case.policy], load=load, percentiles=False, start="fluid", seed=seed,
                horizon=horizon, warmup=0.2 * horizon,
            ).policies  # fmt: skip
        except RunTooShortError:
            refused += 1
            continue
        assert policy.mean_latency is not None
        for i, one in enumerate((interval(policy.latencies), policy.mean_latency)):
            held[i] += one.low <= exact <= one.high
            width[i] += one.half_width / exact
    runs -= refused
    chance = 1.96 * math.sqrt(0.95 * 0.05 / runs)
    figures = "  ".join(
        f"{name} {100 * h / runs:.1f} % (± {100 * w / runs:.2g} %)"
        for name, h, w in zip(("without", "with"), held, width, strict=True)
    )
    known = f", mean known to {100 * error:.2g} %" if error else ""
    return f"{figures}  of {runs}, {refused} refused (95 ± {100 * chance:.1f} %{known})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each case and load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision")
    parser.add_argument("what", nargs="?", choices=("time", "coverage"), default="time")
    parser.add_argument("--case", choices=(known := cases()))
    parser.add_argument("--load", type=float, nargs="+", choices=LOADS, default=LOADS)
    parser.add_argument("--runs", type=int, default=2000)
    given = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, {os.getloadavg()[0]:.1f} busy at the start", flush=True)
    for name, case in known.items():
        if given.case in (None, name):
            time_to(case, 0.5)  # compiles
            for load in given.load:
                line = (
                    time_to(case, load)
                    if given.what == "time"
                    else coverage(case, load, given.runs)
                )
                print(f"{name:25} {load:4g}  {line}", flush=True)


if __name__ == "__main__":
    main()
