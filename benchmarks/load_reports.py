"""What routers lose by late load reports: `python -m benchmarks.load_reports`.

Three and sixteen routers that share nothing, real cores with prices of GMSR, over backends in
virtual time: exact, and the same arrivals for each row. Each response carries the jobs left at its
backend, and its router reads that 0 s, 1 ms or a mean latency later. Fleets and loads are those of
`gateway_workers`. Mean latency over that of routers which see all jobs at each decision. With
`--period S` a third as many requests come in every other period of S seconds.

In the row of the last report its others' jobs count in full until the next one, or for 10 s.
"""

import argparse
import math
from collections import deque
from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple, final

from rich.console import Console
from rich.table import Table

from benchmarks.gateway_workers import CELLS, Curves, system, taken_at_random
from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.replay import events
from isocline.model.fleet import RoutingSystem
from isocline.model.serving_settings import Rules
from isocline.policies.parse import parse
from isocline.randomness.draws import stream, uniform
from isocline.simulate.routing.prepare import prepare

ROUTERS = 3, 16
OLDEST = Rules().oldest_report  # s
ALL, LAST, EXPECTED = "all jobs", "the last report", "what is expected"
BELIEFS = LAST, EXPECTED


class Report(NamedTuple):
    """A report on its way."""

    due: float  # s
    router: int
    backend: int
    jobs: int
    others: int  # of these, of other routers
    measured: float  # s


@final
class World:
    """Routers before backends, and the clock."""

    def __init__(self, fleet: RoutingSystem, belief: str, lag: float) -> None:
        rules = Rules(stop_at_peak=False)
        routers = range(len(fleet.frontends))
        self._cores = [core_of(fleet, parse("gmsr"), seed=r, rules=rules) for r in routers]
        self._belief, self._lag = belief, lag
        self._coming: deque[Report] = deque()
        self._jobs: list[list[tuple[int, int]]] = [[] for _ in fleet.backends]
        nothing = Report(0.0, 0, 0, 0, 0, 0.0)
        self._last = [[nothing for _ in fleet.backends] for _ in routers]
        self._curves = fleet.curves
        self._rates = [[0.0] for _ in fleet.backends]
        self._leaving = stream(1)
        self.now, self.job_seconds, self.inside = 0.0, 0.0, 0

    def pass_by(self, seconds: float) -> None:
        """Let time go by, and reports arrive."""
        self.job_seconds += self.inside * seconds
        self.now += seconds
        while self._coming and self._coming[0].due <= self.now:
            self._heard(self._coming.popleft())

    def arrive(self, router: int) -> None:
        """A request comes to a router."""
        core = self._cores[router]
        if self._belief != EXPECTED:
            for backend, jobs in enumerate(self._jobs):
                last = self._last[router][backend]
                others = last.others if self.now < last.measured + OLDEST else 0
                there = len(jobs) if self._belief == ALL else core.in_flight(backend) + others
                core.reported(backend, self.now, there)  # a fresh one counts in full
        action = core.arrived(self.now, router)
        assert isinstance(action, Send)
        self._jobs[action.backend].append((router, action.request))
        self.inside += 1

    def leave(self, backend: int, coin: float, peak: float) -> None:
        """One of a backend's jobs is done, if the coin says so."""
        jobs = self._jobs[backend]
        if coin * peak >= self._rate(backend, len(jobs)):
            return
        router, request = taken_at_random(jobs, self._leaving)
        self.inside -= 1
        self._cores[router].finished(request, self.now)
        if self._belief != ALL:
            others = len(jobs) - self._cores[router].in_flight(backend)
            due = self.now + self._lag
            self._coming.append(Report(due, router, backend, len(jobs), others, self.now))
            self.pass_by(0.0)

    def _heard(self, report: Report) -> None:
        self._last[report.router][report.backend] = report
        if self._belief == EXPECTED:
            core = self._cores[report.router]
            core.reported(report.backend, self.now, report.jobs, report.measured)

    def _rate(self, backend: int, jobs: int) -> float:
        rates = self._rates[backend]
        while jobs >= len(rates):
            rates.append(float(self._curves[backend].rate(len(rates))))
        return rates[jobs]


class Length(NamedTuple):
    """Of a run, in requests, and of a period, s: in every other one a third as many come."""

    warm_up: int
    arrivals: int
    period: float = math.inf


def mean_jobs(
    curves: Curves, load: float, routers: int, belief: str, lag: float, length: Length, seed: int
) -> float:
    """Over time; mean latency is in proportion, as all rows have the same arrivals."""
    fleet = system(curves, load, routers)
    prepared = prepare(fleet)
    peaks = prepared.tables(2).peak[prepared.row].tolist()
    world, arrivals, began = World(fleet, belief, lag), 0, 0.0
    thinning = stream(2, seed)
    for event in events(prepared.tables(2), seed):
        world.pass_by(event.gap)
        if event.who < 0:
            world.leave(-1 - event.who, event.coin, peaks[-1 - event.who])
            continue
        if int(world.now // length.period) % 2 and uniform(thinning) > 1.0 / 3.0:
            continue
        world.arrive(event.who)
        arrivals += 1
        if arrivals == length.warm_up:
            began, world.job_seconds = world.now, 0.0
        if arrivals == length.warm_up + length.arrivals:
            break
    return world.job_seconds / (world.now - began)


def ratios(curves: Curves, load: float, routers: int, length: Length, seed: int) -> list[float]:
    """Of each belief and lag over that of all jobs."""
    rate = load * sum(curve.peak for curve in curves)
    one = mean_jobs(curves, load, 1, ALL, 0.0, length, seed)
    least = mean_jobs(curves, load, routers, ALL, 0.0, length, seed)
    return [
        mean_jobs(curves, load, routers, belief, lag, length, seed) / least
        for belief in BELIEFS
        for lag in (0.0, 1e-3, one / rate)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("--cell", help="one of the cells alone, as C0.45")
    parser.add_argument("--routers", type=int, action="append", metavar="N", help="in place of all")
    parser.add_argument("--requests", type=int, default=40_000, metavar="N", help="in each run")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--period", type=float, default=math.inf, metavar="S", help="of changes")
    arguments = parser.parse_args()
    length = Length(arguments.requests // 10, arguments.requests, arguments.period)
    table = Table(title="mean latency over that of routers which see all jobs")
    for name in ("cell", "routers", "they believe", "at once", "1 ms later", "a latency later"):
        table.add_column(name)
    for name, curves, load in CELLS:
        if arguments.cell not in (None, f"{name}{load}"):
            continue
        for routers in arguments.routers or ROUTERS:
            runs = [ratios(curves, load, routers, length, seed) for seed in range(arguments.seeds)]
            columns = [shown(column) for column in zip(*runs, strict=True)]
            for number, belief in enumerate(BELIEFS):
                row = columns[3 * number : 3 * number + 3]
                table.add_row(f"{name} {load}", str(routers), belief, *row)
    table.caption = f"{arguments.seeds} runs of {arguments.requests:,} requests; standard errors"
    Console(width=120).print(table)


def shown(values: Sequence[float]) -> str:
    """Mean, with its standard error."""
    if len(values) < 2:
        return f"{mean(values):.3f}"
    return f"{mean(values):.3f} ± {stdev(values) / math.sqrt(len(values)):.3f}"


if __name__ == "__main__":
    main()
