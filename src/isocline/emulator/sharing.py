"""Processor sharing at a rate that depends on how many share: exact, by events, without a clock.

N running jobs are served at l(N) units of work per second, l(N)/N each. So all attain service at
one speed, and a job that starts when each has attained v, with work w, ends when each has attained
v + w. That fixes the order of the ends, whatever comes later: one heap, one step per event, however
late a step is taken (Kleinrock, *Queueing Systems* II, 1976, section 4.4).
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import final

RateAt = Callable[[int], float]


class Job:
    """Work in service; what belongs to it is its subclass's affair."""

    __slots__ = ("end", "gone", "start", "work")

    def __init__(self, work: float) -> None:
        self.work = work  # > 0
        self.start = inf  # attained service per job at which it began; inf while it waits
        self.end = inf  # and at which it ends
        self.gone = False  # finished or withdrawn

    def started(self) -> None:
        """It begins to be served: `start` is known."""


@final
class ProcessorSharing:
    """At most `most` jobs run and share; others wait, first come first served.

    Times are seconds and must not decrease from call to call.
    """

    def __init__(self, rate_at: RateAt, most: int | None = None, now: float = 0.0) -> None:
        self.running = 0
        self.waiting = 0
        self.attained = 0.0  # service per job since there was none, at `_now`
        self._rate_at = rate_at
        self._most = inf if most is None else most
        self._now = now
        self._speed = 0.0  # service per job and second
        self._ends: list[tuple[float, int, Job]] = []
        self._queue: deque[Job] = deque()
        self._serial = 0  # so that jobs which end together end in their order

    def advance(self, now: float) -> list[Job]:
        """Serve until `now`; the jobs that end, in order of their ends."""
        ended: list[Job] = []
        while (at := self.next_end()) <= now:
            end, _, job = heappop(self._ends)
            self.attained, self._now = end, max(at, self._now)  # rounding must not turn time back
            job.gone = True
            ended.append(job)
            self._left()
        self.attained += (now - self._now) * self._speed
        self._now = now
        return ended

    def admit(self, job: Job) -> None:
        """A job comes, at the time of the last `advance`."""
        self._queue.append(job)
        self.waiting += 1
        self._fill()

    def withdraw(self, job: Job) -> None:
        """A job goes away unfinished, at the time of the last `advance`."""
        if job.gone:
            return
        job.gone = True
        if job.start < inf:
            self._left()
        else:
            self.waiting -= 1

    def change(self, rate_at: RateAt) -> None:
        """Serve at other rates from the time of the last `advance` on."""
        self._rate_at = rate_at
        self._set_speed()

    def next_end(self) -> float:
        """When the next job ends if none comes and none goes; inf if none does."""
        ends = self._ends
        while ends and ends[0][2].gone:
            heappop(ends)
        return self.time_of(ends[0][0]) if ends else inf

    def time_of(self, attained: float) -> float:
        """When each job will have attained this much if none comes and none goes."""
        return self._now + (attained - self.attained) / self._speed if self._speed > 0 else inf

    def _left(self) -> None:
        """A running job is gone."""
        self.running -= 1
        if not self.running:
            self.attained = 0.0  # begin anew while nothing refers to it, so that it stays small
            self._ends.clear()
        self._fill()

    def _fill(self) -> None:
        while self._queue and self.running < self._most:
            job = self._queue.popleft()
            if job.gone:
                continue
            self.waiting -= 1
            self.running += 1
            self._serial += 1
            job.start = self.attained
            job.end = job.start + job.work
            heappush(self._ends, (job.end, self._serial, job))
            job.started()
        self._set_speed()

    def _set_speed(self) -> None:
        self._speed = self._rate_at(self.running) / self.running if self.running else 0.0
