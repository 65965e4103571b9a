"""A slow twin of the kernel of delays: pictures are worked out afresh from all that happened.

It draws from the same streams in the same order, so the two must agree job by job.
"""

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from isocline.randomness.draws import below, stream
from isocline.randomness.exponential import exponential
from isocline.simulate.routing.delay import Delay


@dataclass
class Backend:
    """Its jobs, as (edge, sent at) in the kernel's order, and its workload since ever."""

    jobs: list[tuple[int, float]] = field(default_factory=list)
    changed: list[float] = field(default_factory=lambda: [-np.inf])
    held: list[int] = field(default_factory=lambda: [0])

    def note(self, now: float) -> None:
        self.changed.append(now)
        self.held.append(len(self.jobs))

    def at(self, time: float) -> int:
        """Its workload at a time, after what happened then."""
        return self.held[bisect_right(self.changed, time) - 1]


@dataclass
class Twin:
    """One run; `choose(frontend, beliefs)` gets the beliefs of the frontend's edges, in order."""

    first: Sequence[int]  # (F + 1,)
    sink: Sequence[int]  # (E,)
    delay: Delay
    phase: Sequence[float]  # (B,) s, when each backend writes its first report
    choose: Callable[[int, list[int]], int]
    sent: dict[int, list[float]] = field(init=False)  # by edge
    there: dict[int, list[float]] = field(init=False)
    ended: dict[int, list[float]] = field(init=False)
    backends: list[Backend] = field(init=False)
    sojourns: list[float] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sent, self.there, self.ended = (self._by_edge() for _ in range(3))
        self.backends = [Backend() for _ in range(max(self.sink) + 1)]

    def _by_edge(self) -> dict[int, list[float]]:
        return {edge: [] for edge in range(len(self.sink))}

    def believed(self, edge: int, now: float) -> int:
        """What the frontend of an edge thinks that the backend at its end holds."""
        backend, known = self.sink[edge], now - self.delay.report
        written = known
        if self.delay.every:
            rounds = np.floor((known - self.phase[backend]) / self.delay.every)
            written = self.phase[backend] + rounds * self.delay.every if rounds >= 0 else -np.inf
        jobs = self.backends[backend].at(written)
        if not self.delay.own:
            return jobs
        not_seen = len(self.sent[edge]) - bisect_right(self.there[edge], written)
        known_to_end = bisect_right(self.ended[edge], known)
        return jobs + not_seen - (known_to_end - bisect_right(self.ended[edge], written))

    def run(
        self,
        next_event: Callable[[], int | tuple[int, Callable[[int], bool]]],
        gap: float,
        events: np.ndarray,
        leaving: np.ndarray,
        until: float,
    ) -> None:
        """`next_event` draws either a frontend, or a backend with a coin for its workload."""
        order = count()
        coming: list[tuple[float, int, int]] = []  # due, order, edge
        now = 0.0
        tick = self._pause(events, gap)
        while min(tick, coming[0][0] if coming else np.inf) < until:
            if coming and coming[0][0] <= tick:
                now, _, edge = heapq.heappop(coming)
                backend = self.backends[self.sink[edge]]
                backend.jobs.append((edge, now - self.delay.travel))
                backend.note(now)
                self.there[edge].append(now)
                continue
            now = tick
            event = next_event()
            if isinstance(event, int):
                edges = range(self.first[event], self.first[event + 1])
                edge = edges[self.choose(event, [self.believed(e, now) for e in edges])]
                self.chosen.append(edge)
                self.sent[edge].append(now)
                heapq.heappush(coming, (now + self.delay.travel, next(order), edge))
            else:
                backend = self.backends[event[0]]
                if event[1](len(backend.jobs)):
                    index = below(leaving, len(backend.jobs))
                    edge, born = backend.jobs[index]
                    backend.jobs[index] = backend.jobs[-1]
                    backend.jobs.pop()
                    backend.note(now)
                    self.ended[edge].append(now)
                    self.sojourns.append(now - born)
            tick = now + self._pause(events, gap)

    def _pause(self, events: np.ndarray, gap: float) -> float:
        events[0], events[1], pause = exponential(events[0], events[1])
        return pause * gap


def streams(seed: int, *purposes: int) -> Iterator[np.ndarray]:
    """Copies of a replication's streams."""
    return (stream(seed, 0, purpose).copy() for purpose in purposes)
