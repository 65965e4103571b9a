"""A slow, obviously correct twin of backends that hold models, with dictionaries and lists.

Its arithmetic is in the order of the engine's, so that it agrees bit for bit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Request(NamedTuple):
    """A job."""

    time: float  # s
    size: float  # mean jobs
    model: int  # -1: none


class Models(NamedTuple):
    """Models by their number."""

    size: Sequence[float]
    load: Sequence[float]  # s
    by_price: bool


@dataclass
class Resident:
    """A model in a memory."""

    pinned: bool
    since: float = 0.0  # s
    last: float = 0.0  # s
    uses: int = 0


@dataclass
class Server:
    """A backend."""

    rate: Callable[[int], float]
    memory: float  # inf: all models are there
    resident: dict[int, Resident] = field(default_factory=dict)
    jobs: list[tuple[float, int]] = field(default_factory=list)  # when it ends, in work; number
    work: float = 0.0  # that a job there since the start would have got
    at: float = 0.0  # s

    def share(self) -> float:
        """Work/s of each job."""
        return self.rate(len(self.jobs)) / len(self.jobs) if self.jobs else 0.0

    def bring_up(self, now: float) -> None:
        """Up to now, unless it stands still until later."""
        if now > self.at:
            self.work += self.share() * (now - self.at)
            self.at = now
        if not self.jobs:
            self.work = 0.0

    def due(self) -> float:
        """When its next job ends."""
        if not self.jobs:
            return math.inf
        return self.at + max(min(self.jobs)[0] - self.work, 0.0) / self.share()

    def price(self) -> float:
        """Of draining one more job."""
        more = len(self.jobs) + 1
        return more / self.rate(more)


@dataclass
class World:
    """Servers, and what has happened."""

    requests: Sequence[Request]
    models: Models
    servers: Sequence[Server]
    loads: list[int] = field(default_factory=list)
    evicted: list[int] = field(default_factory=list)
    latencies: dict[int, float] = field(default_factory=dict)

    def in_use(self, server: Server, model: int) -> bool:
        return any(self.requests[number].model == model for _, number in server.jobs)

    def may_go(self, server: Server) -> list[int]:
        """Models that are neither pinned nor in use."""
        held = server.resident.items()
        return [m for m, it in sorted(held) if not it.pinned and not self.in_use(server, m)]

    def free(self, server: Server) -> float:
        return server.memory - sum(self.models.size[m] for m in server.resident)

    def loads_of(self, server: Server, model: int) -> int:
        """0, 1, or 2 where no room can be made."""
        if model < 0 or model in server.resident:
            return 0
        idle = sum(self.models.size[m] for m in self.may_go(server))
        return 1 if self.free(server) + idle >= self.models.size[model] else 2

    def work_of(self, server: Server, model: int, now: float) -> float:
        """Of a mean job, at a server."""
        jobs = len(server.jobs) + 1
        load = self.loads_of(server, model) * self.models.load[model] if model >= 0 else 0.0
        work = load * server.rate(jobs)
        if model >= 0 and self.free(server) < self.models.size[model]:
            work *= 1.001
        return 1.0 + work + max(server.at - now, 0.0) * server.rate(jobs) / jobs

    def works(self, model: int, now: float) -> list[float]:
        """At each server; for a second copy none in use makes way, and others where it pays."""
        found = [self.work_of(server, model, now) for server in self.servers]
        prices = [server.price() for server in self.servers if model in server.resident]
        if not prices or not self.models.load[model] > 0:
            return found
        for b, server in enumerate(self.servers):
            loads, rate = self.loads_of(server, model), server.rate(len(server.jobs) + 1)
            with_load = (1.0 + loads * self.models.load[model] * rate) * server.price()
            full = self.free(server) < self.models.size[model]
            if loads == 2:
                found[b] = math.inf
            elif loads == 1 and full and with_load >= min(prices):
                found[b] += 1.001e6
        return found

    def loss(self, server: Server, model: int, now: float) -> float:
        """Of a model that may go, s of delay per s, for its size."""
        if not self.models.by_price:
            return 0.0
        extra = self.models.load[model] * server.rate(len(server.jobs) + 1) * server.price()
        for other in self.servers:
            if other is not server and model in other.resident:
                extra = min(extra, max(other.price() - server.price(), 0.0))
        held = server.resident[model]
        return extra * held.uses / (now - held.since) / self.models.size[model]

    def send(self, number: int, server: Server) -> None:
        """A request joins a server."""
        now, size, model = self.requests[number]
        loads = self.loads_of(server, model)
        self.loads.append(loads)
        gone = 0
        if loads == 1:
            while self.free(server) < self.models.size[model]:
                least = min(
                    self.may_go(server),
                    key=lambda m: (self.loss(server, m, now), server.resident[m].last, m),
                )
                del server.resident[least]
                gone += 1
            server.resident[model] = Resident(pinned=False, since=now)
        self.evicted.append(gone)
        if model in server.resident:
            server.resident[model].uses += 1
            server.resident[model].last = now
        server.bring_up(now)
        server.jobs.append((server.work + size, number))
        if loads:
            server.at += loads * self.models.load[model]


def residency(
    requests: Sequence[Request],
    models: Models,
    servers: Sequence[Server],
    route: Callable[[list[float], list[int]], int],
) -> World:
    """Serve all requests; `route` takes the work at each server, and the jobs there."""
    world = World(requests, models, servers)
    coming = 0
    while coming < len(requests) or any(server.jobs for server in servers):
        end, b = min((server.due(), b) for b, server in enumerate(servers))
        comes = requests[coming].time if coming < len(requests) else math.inf
        if end <= comes:
            server = servers[b]
            server.bring_up(end)
            done = min(server.jobs)
            server.jobs.remove(done)
            server.bring_up(end)
            world.latencies[done[1]] = end - requests[done[1]].time
        else:
            model = requests[coming].model
            works = world.works(model, comes)
            taken = route(works, [len(server.jobs) for server in servers])
            world.send(coming, servers[taken])
            coming += 1
    return world
