"""Backends in virtual time before a core: some serve by processor sharing, some refuse at once."""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from isocline.gateway.core.actions import Action, Reject, Send
from isocline.gateway.core.core import Core
from isocline.model.curves import Curve

AT_ONCE = 0.002  # s that a refusal takes

Refuses = Callable[["World", int, int], int]
"""From the world, a backend and a request to the status of a refusal; 0 to serve it."""


@dataclass
class World:
    """One frontend's requests come at a rate, each with an exponential amount of work.

    Attributes:
        sent: How often each backend was tried.
        statuses: What clients got.
    """

    core: Core
    curves: Sequence[Curve]
    refuses: Refuses
    retry_after: float | None = None
    again: bool = True
    now: float = 0.0
    sent: Counter[int] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.jobs: list[dict[int, float]] = [{} for _ in self.curves]  # request -> work left
        self._since = [0.0] * len(self.curves)
        self._version = [0] * len(self.curves)
        self._events: list[tuple[float, int, str, tuple[int, ...]]] = []
        self._count = 0
        self._random = random.Random(7)

    def run(self, requests: int, rate: float) -> "World":
        at = self.now
        for _ in range(requests):
            at += self._random.expovariate(rate)
            self._later(at, "arrive", ())
        while self._events:
            at, _, what, about = heapq.heappop(self._events)
            while (due := self.core.next_deadline()) <= at:
                self.now = max(self.now, due)
                self._do(self.core.tick(self.now))
            self.now = max(self.now, at)
            getattr(self, f"_{what}")(*about)
        return self

    def share(self, backend: int) -> float:
        """Of attempts."""
        return self.sent[backend] / self.sent.total()

    def ejections(self) -> int:
        return sum(record.times for record in self.core.availability.ejections.records)

    def _arrive(self) -> None:
        self._do([self.core.arrived(self.now, 0)])

    def _leave(self, backend: int, request: int, version: int) -> None:
        if version == self._version[backend]:
            self._pass(backend)
            del self.jobs[backend][request]
            self._plan(backend)
            self.statuses[200] += 1
            self._do(self.core.finished(request, self.now))

    def _refuse(self, request: int, status: int) -> None:
        actions: list[Action] = []
        if status in (429, 503):
            actions = self.core.turned_away(
                request, self.now, status, self.retry_after, again=self.again
            )
        if not actions:
            self.statuses[status] += 1
            actions = self.core.finished(request, self.now, status=status)
        self._do(actions)

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Reject):
                self.statuses[action.status] += 1
            elif isinstance(action, Send):
                backend, request = action.backend, action.request
                self.sent[backend] += 1
                if status := self.refuses(self, backend, request):
                    self._later(self.now + AT_ONCE, "refuse", (request, status))
                else:
                    self._pass(backend)
                    self.jobs[backend][request] = self._random.expovariate(1.0)
                    self._plan(backend)

    def _pass(self, backend: int) -> None:
        """Each job has had its share of the service."""
        jobs = self.jobs[backend]
        if jobs:
            rate = float(self.curves[backend].rate(len(jobs))) / len(jobs)
            for request in jobs:
                jobs[request] -= rate * (self.now - self._since[backend])
        self._since[backend] = self.now

    def _plan(self, backend: int) -> None:
        jobs = self.jobs[backend]
        self._version[backend] += 1
        if jobs:
            first = min(jobs, key=jobs.__getitem__)
            rate = float(self.curves[backend].rate(len(jobs))) / len(jobs)
            about = backend, first, self._version[backend]
            self._later(self.now + max(jobs[first], 0.0) / rate, "leave", about)

    def _later(self, at: float, what: str, about: tuple[int, ...]) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, what, about))
