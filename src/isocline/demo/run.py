"""Comparison of contestants: rounds of one run each, so that a disturbance hits all alike."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from isocline.demo.fleets import fleet
from isocline.demo.results import MOST_ADDED, LiveComparison, LivePolicy
from isocline.demo.router import Routing
from isocline.demo.stage import Contestant, FloatArray, Machine, Run, Stage
from isocline.errors import UsageError
from isocline.loadgen import Schedule
from isocline.loadgen.tally import Tally
from isocline.model.fleet import RoutingSystem
from isocline.policies.parse import parse
from isocline.simulate.common.statistics.intervals import interval
from isocline.theory.routing.equilibrium import fluid_optimum

DEFAULT_POLICIES = (
    "gmsr_secant",
    "jsq",
    "weighted_least_connections",
    "power_of_d",
    "least_expected_latency",
)

_FEWEST = 50.0  # requests in a window, so that their mean is one
Progress = Callable[[int, int, str], None]
"""Runs done, runs to do, and what runs now."""
Traffic = Callable[[RoutingSystem, float, int], Schedule]
"""Requests for a system and a duration, s; the same for the same seed."""


@final
@dataclass(frozen=True)
class Timing:
    """How long to measure.

    Raises:
        UsageError: A number makes no sense.
    """

    rounds: int = 4
    window: float = 2.0  # s, measured of each run
    warmup: float = 1.0  # s, sent before it and left out
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 2:
            raise UsageError(f"{self.rounds} round(s): an interval over rounds needs 2 or more")
        if not (0 < self.window < 3600 and 0 <= self.warmup < 3600):
            raise UsageError(
                f"window is {self.window:g} s, warm-up {self.warmup:g} s; give times above 0, "
                "up to an hour"
            )


def demo(
    name: str,
    load: float,
    speed: float,
    policies: Sequence[str],
    timing: Timing,
    progress: Progress,
) -> LiveComparison:
    """Start everything, compare policies with the true curves, end everything.

    Raises:
        UsageError: An argument is out of range.
        PolicyError: A policy is unknown, or has a wrong option.
        ProcessError: One of the processes ended before its time.
    """
    system = fleet(name, load, speed)
    _require(system, policies, timing)
    with Stage(system, timing.seed) as stage:
        progress(0, timing.rounds * len(policies), "starting")
        routings = [Routing(stage.system, policy, seed=timing.seed) for policy in policies]
        contestants = stage.routers(policies, routings)
        runs = measure(stage, contestants, timing, progress)
    return compared(system, load, speed, contestants, runs, timing)


def _require(system: RoutingSystem, policies: Sequence[str], timing: Timing) -> None:
    """Say what is wrong before anything is started."""
    for policy in policies:
        parse(policy)
    expected = float(system.rates.sum()) * timing.window
    if expected < _FEWEST:
        raise UsageError(
            f"{expected:.3g} requests in each window of {timing.window:.3g} s are too few; measure "
            f"for at least {timing.rounds * timing.window * _FEWEST / expected:.2g} s"
        )


def poisson(system: RoutingSystem, duration: float, seed: int) -> Schedule:
    """Poisson, and at the start as many requests more as the optimum holds.

    A run so begins about where it will stay, and needs a short warm-up only.
    """
    rate = float(system.rates.sum())
    schedule = Schedule.poisson(rate, duration, prompt_tokens=1, output_tokens=1, seed=seed)
    jobs = round(fluid_optimum(system).total_jobs)
    times = np.concatenate([np.zeros(jobs), schedule.times])
    ones = np.ones(times.size, np.int64)
    return replace(schedule, times=times, prompt_tokens=ones, output_tokens=ones)


def measure(
    stage: Stage,
    contestants: Sequence[Contestant],
    timing: Timing,
    progress: Progress,
    traffic: Traffic = poisson,
) -> list[list[Run]]:
    """The runs of each contestant, one a round; in a round all have the same arrivals.

    A run in which the machine stood still says nothing of a policy, and is made again. That is done
    once for each contestant on average: a machine that is always slow is soon told from one that
    was disturbed.
    """
    runs: list[list[Run]] = [[] for _ in contestants]
    total, spare = timing.rounds * len(contestants), len(contestants)
    most = MOST_ADDED * fluid_optimum(stage.system).total_jobs / float(stage.system.rates.sum())
    for turn in range(timing.rounds):
        schedule = traffic(stage.system, timing.warmup + timing.window, timing.seed + turn)
        for number, contestant in enumerate(contestants):
            progress(turn * len(contestants) + number, total, contestant.name)
            run = stage.run(contestant, schedule, timing.warmup)
            while run.machine.added > most and spare:
                spare -= 1
                again = stage.run(contestant, schedule, timing.warmup)
                run = replace(again, repeated=run.repeated + 1)
            runs[number].append(run)
    progress(total, total, "done")
    return runs


def compared(
    system: RoutingSystem,
    load: float,
    speed: float,
    contestants: Sequence[Contestant],
    runs: Sequence[Sequence[Run]],
    timing: Timing,
    bounds: Sequence[float] | None = None,
) -> LiveComparison:
    """The record of these runs; `bounds` are the least mean latencies of their arrivals, s.

    By default that of the fluid optimum, which a steady rate has.
    """
    best = fluid_optimum(system)
    rate = float(system.rates.sum())
    least = np.full(timing.rounds, best.total_jobs / rate) if bounds is None else np.array(bounds)
    first = _means(runs[0])
    policies = tuple(
        _policy(contestant.name, mine, least, None if mine is runs[0] else first)
        for contestant, mine in zip(contestants, runs, strict=True)
    )
    return LiveComparison(
        fleet=system.name,
        load=load,
        speed=speed,
        rate=rate,
        backends=tuple(backend.name for backend in system.backends),
        optimal_jobs=tuple(best.workloads.tolist()),
        lower_bound_latency=float(least.mean()),
        policies=policies,
        rounds=timing.rounds,
        window=timing.window,
        warmup=timing.warmup,
        seed=timing.seed,
    )


def _policy(
    name: str, runs: Sequence[Run], bounds: FloatArray, first: FloatArray | None
) -> LivePolicy:
    total, means = Tally(), _means(runs)
    for run in runs:
        total += run.tally
    return LivePolicy(
        policy=name,
        mean_latency=interval(means),
        p50=total.latency.quantile(0.5),
        p99=total.latency.quantile(0.99),
        ratio_to_bound=interval(means / bounds),
        difference=None if first is None else interval(means - first),
        jobs=tuple(np.mean([run.jobs for run in runs], axis=0).tolist()),
        grown=interval(np.array([run.grown for run in runs])),
        sent=total.due,
        answered=total.completed,
        errors=Counter(total.errors),
        repeated=sum(run.repeated for run in runs),
        machine=_mean_machine([run.machine for run in runs]),
    )


def _means(runs: Sequence[Run]) -> FloatArray:
    return np.array([run.tally.latency.mean for run in runs])


def _mean_machine(machines: Sequence[Machine]) -> Machine:
    columns = zip(*machines, strict=True)
    return Machine(*(None if None in column else float(np.mean(column)) for column in columns))  # type: ignore[arg-type]
