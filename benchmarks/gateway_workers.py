"""What it costs that several workers share a fleet: `python -m benchmarks.gateway_workers`.

Real cores, as many as there are workers, over backends in virtual time: exact, and the same
arrivals for each row. Mean latency over that of one worker, on the fleets of the design: with own
counts alone, with reports on responses, with counts shared and read every so many ms, or before
each decision. Three workers have to come within 10 % of one. Last, what a step takes.
"""

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, final

from rich.console import Console
from rich.table import Table

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.replay import events
from isocline.gateway.shared_counts import SharedCounts
from isocline.model.curves import HyperbolicCurve, KneeCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.serving_settings import Rules
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse
from isocline.randomness.draws import Stream, below, stream
from isocline.simulate.routing.prepare import prepare

Curves = Sequence[HyperbolicCurve | KneeCurve]

WORKERS, ARRIVALS, WARM_UP, GOAL = 3, 100_000, 5_000, 0.10
A = [HyperbolicCurve(*c) for c in ((400.0, 16.0), (200.0, 8.0), (60.0, 9.0), (20.0, 2.0))]
C = [KneeCurve(peak, knee, 4.0) for peak, knee in ((120.0, 4.0),) * 2 + ((200.0, 32.0),) * 2]
CELLS: tuple[tuple[str, Curves, float], ...] = (
    ("A", A, 0.5),
    ("A", A, 0.8),
    ("C", C, 0.45),
    ("C", C, 0.8),
)


class Way(NamedTuple):
    """How workers know of each other."""

    name: str
    reports: bool  # on each response, the jobs left at the backend
    period: float = math.inf  # s between steps; 0: one before each decision and report


NEVER, ALWAYS = math.inf, 0.0
WAYS = (
    Way("own counts alone", False),
    Way("reports on responses", True),
    *(Way(f"shared, every {p} ms", False, 1e-3 * p) for p in (150, 50, 10, 5, 1)),
    Way("shared, at each decision", False, ALWAYS),
    *(Way(f"shared, every {p} ms, and reports", True, 1e-3 * p) for p in (150, 50, 10, 5, 1)),
    Way("shared, at each decision, and reports", True, ALWAYS),
)


def taken_at_random(jobs: list[tuple[int, int]], draws: Stream) -> tuple[int, int]:
    """Take one of some jobs out of their list, each as likely; the last one gets its place."""
    index = below(draws, len(jobs))
    taken = jobs[index]
    jobs[index] = jobs[-1]
    jobs.pop()
    return taken


def system(curves: Curves, load: float, workers: int) -> RoutingSystem:
    """Each worker as a frontend, with its share of the load."""
    rate = load * sum(curve.peak for curve in curves) / workers
    count = len(curves)
    return RoutingSystem(
        tuple(Frontend(f"w{i}", PoissonArrivals(rate)) for i in range(workers)),
        tuple(Backend(f"b{i}", curve) for i, curve in enumerate(curves)),
        CompatibilityGraph.from_neighbours(count, [range(count)] * workers),
    )


@final
class World:
    """Workers before backends, and the clock."""

    def __init__(self, fleet: RoutingSystem, counts: list[SharedCounts], way: Way) -> None:
        rules = Rules(stop_at_peak=False)
        workers = range(len(counts))
        self.cores = [core_of(fleet, parse("gmsr"), seed=w, rules=rules) for w in workers]
        urls = [backend.name for backend in fleet.backends]
        for shared, core in zip(counts, self.cores, strict=True):
            shared.join(core, urls)
        self.now, self.job_seconds, self.inside = 0.0, 0.0, 0
        self._counts, self._way = counts, way
        self._steps = [way.period * (w + 1) / len(counts) for w in workers]
        self._jobs: list[list[tuple[int, int]]] = [[] for _ in fleet.backends]
        self._curves = fleet.curves
        self._rates = [[0.0] for _ in fleet.backends]
        self._leaving = stream(1)

    def pass_until(self, end: float) -> None:
        """Steps that are due happen."""
        while self._way.period > ALWAYS and min(self._steps) <= end:
            worker = min(range(len(self._steps)), key=self._steps.__getitem__)
            self._step(worker, self._steps[worker])
            self._steps[worker] += self._way.period
        self.job_seconds += self.inside * (end - self.now)
        self.now = end

    def arrive(self, worker: int) -> None:
        """A request comes to a worker."""
        if self._way.period == ALWAYS:
            self._step(worker, self.now)
        action = self.cores[worker].arrived(self.now, worker)
        assert isinstance(action, Send)
        self._jobs[action.backend].append((worker, action.request))
        self.inside += 1

    def leave(self, backend: int, coin: float, peak: float) -> None:
        """One of a backend's jobs is done, if the coin says so."""
        jobs = self._jobs[backend]
        if coin * peak >= self._rate(backend, len(jobs)):
            return
        worker, request = taken_at_random(jobs, self._leaving)
        self.inside -= 1
        core = self.cores[worker]
        core.finished(request, self.now)
        if self._way.reports:
            if self._way.period == ALWAYS:
                self._step(worker, self.now)
            core.reported(backend, self.now, len(jobs))

    def _step(self, worker: int, now: float) -> None:
        self._counts[worker].step(self.cores[worker], now)

    def _rate(self, backend: int, jobs: int) -> float:
        rates = self._rates[backend]
        while jobs >= len(rates):
            rates.append(float(self._curves[backend].rate(len(rates))))
        return rates[jobs]


@contextmanager
def tables(workers: int) -> Iterator[list[SharedCounts]]:
    table = SharedCounts.create(workers)
    made = [SharedCounts.attach(table.handle, worker) for worker in range(workers)]
    try:
        yield made
    finally:
        for one in (*made, table):
            one.close()
        os.close(table.handle)


def mean_jobs(curves: Curves, load: float, workers: int, way: Way, seed: int = 1) -> float:
    """Over time; mean latency is in proportion, as all have the same arrivals."""
    fleet = system(curves, load, workers)
    prepared = prepare(fleet)
    peaks = prepared.tables(2).peak[prepared.row].tolist()
    with tables(workers) as counts:
        world = World(fleet, counts, way)
        arrivals, began = 0, 0.0
        for event in events(prepared.tables(2), seed):
            world.pass_until(world.now + event.gap)
            if event.who < 0:
                world.leave(-1 - event.who, event.coin, peaks[-1 - event.who])
                continue
            world.arrive(event.who)
            arrivals += 1
            if arrivals == WARM_UP:
                began, world.job_seconds = world.now, 0.0
            if arrivals == WARM_UP + ARRIVALS:
                break
        return world.job_seconds / (world.now - began)


def microseconds(backends: int, workers: int, changing: bool) -> float:
    """CPU of one step, with every count of the others changed since the last, or none."""
    fleet = system([A[i % 4] for i in range(backends)], 0.5, workers)
    urls = [backend.name for backend in fleet.backends]
    rounds, spent = 2_000, 0.0
    with tables(workers) as counts:
        cores: list[Core] = [core_of(fleet, parse("gmsr")) for _ in counts]
        for one, core in zip(counts, cores, strict=True):
            one.join(core, urls)
        for i in range(rounds):
            for backend in range(backends if changing else 0):
                cores[1].workloads.sent(backend, float(i), 1 if i % 2 else -1)
            start = time.process_time()
            counts[0].step(cores[0], float(i))
            spent += time.process_time() - start
    return 1e6 * spent / rounds


def main() -> None:
    console = Console()
    table = Table(title=f"{WORKERS} workers: mean latency over that of one worker")
    table.add_column("what they know")
    for name, _, load in CELLS:
        table.add_column(f"{name} {load}", justify="right")
    alone = [mean_jobs(curves, load, 1, WAYS[0]) for _, curves, load in CELLS]
    for way in WAYS:
        ratios = [
            mean_jobs(curves, load, WORKERS, way) / one - 1.0
            for one, (_, curves, load) in zip(alone, CELLS, strict=True)
        ]
        marks = ["[green]" if ratio <= GOAL else "[red]" for ratio in ratios]
        table.add_row(
            way.name, *(f"{mark}{100 * it:+.1f} %" for mark, it in zip(marks, ratios, strict=True))
        )
    console.print(table)
    for changing in (False, True):
        costs = [f"{microseconds(n, 3, changing):.1f} us with {n} backends" for n in (4, 64)]
        said = "every count changed" if changing else "no count changed"
        console.print(f"a step, {said}: {', '.join(costs)}")


if __name__ == "__main__":
    main()
