"""A slow, obviously correct twin of backends with prefix caches, with dictionaries."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Request(NamedTuple):
    """One row of a trace."""

    time: float  # s
    frontend: int
    prompt: int  # tokens
    output: int  # tokens
    blocks: list[int]


class Servers(NamedTuple):
    """Backends, and what work is to them."""

    rates: Sequence[Callable[[int], float]]  # curves, in weighted tokens/s
    room: Sequence[int]  # blocks that each cache holds
    size: int  # tokens in a block
    weights: tuple[float, float]  # of a prompt token that is read, and of an output token
    # The backend on which all frontends agree, of those that are left without one.
    home: Callable[[Request, int], int] | None = None


class Offer(NamedTuple):
    """What the router of a job's frontend sees of one backend."""

    backend: int
    workload: int
    uncached: float  # tokens of the prompt
    work: float  # in the unit of the curves
    unread: float  # tokens
    held: float  # tokens


@dataclass
class Cache:
    """Blocks in order of use, the latest last."""

    room: int
    held: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def cached(self, request: Request, size: int) -> int:
        """Tokens of a prompt that need not be read."""
        blocks = 0
        while blocks < len(request.blocks) and request.blocks[blocks] in self.held:
            blocks += 1
        return max(min(blocks * size, request.prompt - 1), 0)

    def use(self, request: Request) -> None:
        """Its blocks are the latest, the first one last of all."""
        for block in reversed(request.blocks[: self.room]):
            self.held[block] = None
            self.held.move_to_end(block)
            if len(self.held) > self.room:
                self.held.popitem(last=False)


@dataclass
class Job:
    """A request at a backend."""

    number: int
    left: float
    home: float | None  # share of its prompt that was cached, if it was sent home
    unread: float
    held: float
    router: tuple[int, bool]  # its frontend, and whether that is the one after the failure


class Outcome(NamedTuple):
    """What became of all requests."""

    latencies: list[float]  # s; nan of those that gave up
    work: float  # in the unit of the curves
    cached: float  # tokens


class Trouble(NamedTuple):
    """What may come between a request and its answer."""

    patience: float = math.inf  # s, of each
    failing: int = -1  # a backend, which fails with its cache and sends its jobs back
    at: float = math.inf  # s


@dataclass
class World:
    """All state of `caching`."""

    requests: Sequence[Request]
    servers: Servers
    route: Callable[[Request, float, list[Offer]], int]
    knowledge: str
    known_outputs: bool
    trouble: Trouble
    caches: list[Cache]
    here: list[list[Job]]
    mirrors: dict[tuple[int, int], Cache] = field(default_factory=dict)
    answers: dict[tuple[int, bool], list[int]] = field(default_factory=dict)
    found_home: dict[tuple[int, bool], list[float]] = field(default_factory=dict)
    failed: bool = False
    work: dict[int, float] = field(default_factory=dict)  # of each request, where it was sent last
    cached: dict[int, float] = field(default_factory=dict)

    def send(self, number: int) -> None:
        """A request goes to the backend that its router takes."""
        request = self.requests[number]
        router = request.frontend, self.failed
        _, room, size, weights, home = self.servers
        heard = self.answers.get(router, [1])
        output = request.output if self.known_outputs else sum(heard) / len(heard)
        agreed = home and self.knowledge == "homes" and request.blocks
        at_home = home(request, self.gone) if home and agreed else -1
        warm = self.found_home.get(router, [0.5])
        offers = []
        for b, jobs in enumerate(self.here):
            if b == self.gone:
                continue
            cached: float = 0
            if self.knowledge == "exact":
                cached = self.caches[b].cached(request, size)
            elif self.knowledge in ("own", "homes"):
                mirror = self.mirrors.setdefault((request.frontend, b), Cache(room[b]))
                cached = mirror.cached(request, size)
            if b == at_home:
                share = sum(warm) / len(warm)
                later = share / (1 - share) if share < 0.5 else 1  # with what successors save
                cached = max(cached, request.prompt * later)
            uncached = request.prompt - cached
            work = weights[0] * uncached + weights[1] * output
            unread, held = sum(job.unread for job in jobs), sum(job.held for job in jobs)
            offers.append(Offer(b, len(jobs), uncached, work, unread, held))
        taken = offers[self.route(request, output, offers)]
        b = taken.backend
        cached = self.caches[b].cached(request, size)
        self.caches[b].use(request)
        if self.knowledge in ("own", "homes"):
            self.mirrors[request.frontend, b].use(request)
        work = weights[0] * (request.prompt - cached) + weights[1] * request.output
        sent_home = cached / max(request.prompt, 1) if b == at_home else None
        held = request.prompt + output
        self.here[b].append(Job(number, work, sent_home, taken.uncached, held, router))
        self.work[number], self.cached[number] = work, cached

    @property
    def gone(self) -> int:
        return self.trouble.failing if self.failed else -1

    def fail(self) -> None:
        """Everything at a backend is gone, and its jobs are sent again, first come first."""
        self.failed = True
        b = self.trouble.failing
        back, self.here[b] = self.here[b], []
        self.caches[b].held.clear()
        for (_, backend), mirror in self.mirrors.items():
            if backend == b:
                mirror.held.clear()
        for job in sorted(back, key=lambda it: it.number):
            self.send(job.number)

    def answer(self, job: Job) -> None:
        """What a router learns from an answer."""
        if job.home is not None:
            self.found_home.setdefault(job.router, [0.5]).append(job.home)
        self.answers.setdefault(job.router, [1]).append(self.requests[job.number].output)


def caching(
    requests: Sequence[Request],
    servers: Servers,
    route: Callable[[Request, float, list[Offer]], int],
    knowledge: str,
    known_outputs: bool,
    trouble: Trouble = Trouble(),  # noqa: B008 - immutable
) -> Outcome:
    """Every job of N at a backend is worked on at rate(N) / N; all frontends see all backends.

    Args:
        requests: In order of time.
        servers: The backends.
        route: Number of the offer that is taken, by request and output tokens that are expected.
        knowledge: own, homes, exact or none.
        known_outputs: Else frontends expect the mean of their answers, one of one token among them.
        trouble: Patience, and a failure.
    """
    caches = [Cache(blocks) for blocks in servers.room]
    here: list[list[Job]] = [[] for _ in servers.rates]
    world = World(requests, servers, route, knowledge, known_outputs, trouble, caches, here)
    latencies = [math.nan] * len(requests)
    now, coming = 0.0, 0
    while coming < len(requests) or any(here):
        speed = [
            rate(len(jobs)) / max(len(jobs), 1)
            for rate, jobs in zip(servers.rates, here, strict=True)
        ]
        places = [(b, i, job) for b, jobs in enumerate(here) for i, job in enumerate(jobs)]
        ends = [(now + job.left / speed[b], b, i) for b, i, job in places]
        end, b, i = min(ends, default=(math.inf, -1, -1))
        over = [(requests[job.number].time + trouble.patience, b, i) for b, i, job in places]
        expiry, c, k = min(over, default=(math.inf, -1, -1))
        comes = requests[coming].time if coming < len(requests) else math.inf
        fails = math.inf if world.failed else trouble.at
        then = min(end, comes, expiry, fails)
        for other, jobs in enumerate(here):
            for job in jobs:
                job.left -= speed[other] * (then - now)
        now = then
        if end <= then:
            done = here[b].pop(i)
            world.answer(done)
            latencies[done.number] = now - requests[done.number].time
        elif comes <= then:
            world.send(coming)
            coming += 1
        elif expiry <= then:
            here[c].pop(k)
        else:
            world.fail()
    return Outcome(latencies, sum(world.work.values()), sum(world.cached.values()))
