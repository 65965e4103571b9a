"""cimba: Python models compiled to run on a discrete-event engine written in C.

Two versions. `processes` is a coroutine per server and one for arrivals, the way of its
documentation; `measure` has event handlers only, which need no switch of stacks and are the fastest
that it allows.
"""

import time
from typing import Any

import cimba as cb
import numba
from cimba import random

from benchmarks.rivals import ARRIVALS, SERVERS, Measured


class Server(cb.Model):
    """A station: one event per service."""

    farm: cb.Ref["Farm"]
    jobs: int = 0

    def attached(self, owner: "Farm", field: str) -> None:  # noqa: ARG002
        self.farm = owner

    @cb.event
    def finish(self) -> None:
        count(self.farm, -1)
        self.jobs -= 1
        if self.jobs > 0:
            cb.schedule(self.finish, random.exponential(1.0))


class Farm(cb.Model):
    """The stations, and the arrivals."""

    wanted: cb.Param[int] = 1000
    servers: list[Server]
    total: int = 0
    arrived: int = 0
    last: float = 0.0
    area: float = 0.0
    sojourn: cb.Output[float]

    @cb.on_start
    def begin(self) -> None:
        cb.schedule(self.arrive, random.exponential(1.0 / ARRIVALS))

    @cb.event
    def arrive(self) -> None:
        count(self, 1)
        best = shortest(self)
        best.jobs += 1
        if best.jobs == 1:
            cb.schedule(best.finish, random.exponential(1.0))
        self.arrived += 1
        if self.arrived < self.wanted:
            cb.schedule(self.arrive, random.exponential(1.0 / ARRIVALS))

    @cb.on_end
    def close(self) -> None:
        self.sojourn = self.area / self.arrived


class ServerProcess(cb.Model):
    """A station: a process that waits for a job, then serves it."""

    farm: cb.Ref["FarmProcess"]
    jobs: int = 0
    queue: cb.Container

    def attached(self, owner: "FarmProcess", field: str) -> None:  # noqa: ARG002
        self.farm = owner

    @cb.process
    def serve(self) -> None:
        while True:
            self.queue.get(1)
            cb.hold(random.exponential(1.0))
            count(self.farm, -1)
            self.jobs -= 1


class FarmProcess(cb.Model):
    """The stations, and the arrivals; ends with the last arrival."""

    wanted: cb.Param[int] = 1000
    servers: list[ServerProcess]
    total: int = 0
    last: float = 0.0
    area: float = 0.0
    sojourn: cb.Output[float]

    @cb.process
    def arrivals(self) -> None:
        for _ in range(self.wanted):
            cb.hold(random.exponential(1.0 / ARRIVALS))
            count(self, 1)
            best = shortest(self)
            best.jobs += 1
            best.queue.put(1)
        cb.end_trial()

    @cb.on_end
    def close(self) -> None:
        self.sojourn = self.area / self.wanted


@numba.njit
def count(farm: Any, change: int) -> None:
    """Integrate the number of jobs up to now, then change it."""
    now = cb.now()
    farm.area += farm.total * (now - farm.last)
    farm.last = now
    farm.total += change


@numba.njit
def shortest(farm: Any) -> Any:
    """Of three different servers, the one with the fewest jobs."""
    a = int(random.uniform(0.0, SERVERS))
    b = int(random.uniform(0.0, SERVERS - 1))
    if b >= a:
        b += 1
    c = int(random.uniform(0.0, SERVERS - 2))
    if c >= min(a, b):
        c += 1
    if c >= max(a, b):
        c += 1
    best = farm.servers[a]
    if farm.servers[b].jobs < best.jobs:
        best = farm.servers[b]
    if farm.servers[c].jobs < best.jobs:
        best = farm.servers[c]
    return best


def measure(jobs: int, seed: int) -> Measured:
    """Event handlers."""
    return _run(Farm(), Server, jobs, seed)


def processes(jobs: int, seed: int) -> Measured:
    """Coroutines."""
    return _run(FarmProcess(), ServerProcess, jobs, seed)


def _run(farm: Farm | FarmProcess, server: type[cb.Model], jobs: int, seed: int) -> Measured:
    farm.servers = [server() for _ in range(SERVERS)]
    cb.Experiment(farm).run(workers=1)  # compiles at the first run
    farm.wanted = jobs
    started = time.process_time()
    results = cb.Experiment(farm, seed=seed).run(workers=1)
    seconds = time.process_time() - started
    return Measured(jobs, seconds, float(results[farm].sojourn.values[0, 0]))
