"""Workload N of each backend as a frontend knows it: its own jobs, and those expected of others.

With H(t) the requests that this router has in flight at a backend, a report of n jobs measured at
time t means that others have O = max(n - H(t), 0) there: what was on its way at t is not in the
report. Until the next report N = H(now) + E[O(now) | O, H(now)], see `jobs_of_others`: at first
n + own sends since - own completions since, and what others are seen to do besides when one's own
do. Without a report, or with one that is too old, N = H(now).

H counts the requests of this core and of its peers, the other workers of the same router, as far
as they are shared (`shared_counts`).
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol, final

from isocline.gateway.core.jobs_of_others import JobsOfOthers
from isocline.policies.routing.contract import IntArray

# Number of sends and completions that a report may be behind. At 10 000 requests/s at one backend
# it is 13 ms, ten times the delay on one network.
REMEMBERED = 256
# No backend holds more; a larger report is cut to this.
LARGEST = 1 << 24
# Jobs of others that are not worth a look at what is expected, which takes 2 us.
NEGLIGIBLE = 0.25


class Row(Protocol):
    """Writable sequence of numbers: a list, or shared memory."""

    def __setitem__(self, slot: int, jobs: int, /) -> None: ...


@final
class Workloads:
    """Workloads of B backends, in the array that policies read.

    Attributes:
        shown: N plus phantom jobs (`phantom_jobs`) and requests that wait for loads, for policies.
        phantoms: The number of phantom jobs among these.
        waiting: And of those that wait at the backend until it has loaded their model.
        own: This core's part of H(now).
    """

    def __init__(self, shown: IntArray, oldest: float):
        self.shown = shown.data  # a memoryview: writes four times as fast as the array itself
        self._oldest = oldest
        count = shown.size
        self.own = [0] * count
        self.phantoms = [0] * count
        self.waiting = [0] * count
        self.peers = [0] * count  # and that of other workers
        self._row: Row = [0] * count  # where those read `own`
        self._slots: Sequence[int] = range(count)
        self._others = [0] * count  # as shown
        self._moved = [0.0] * count  # jobs that these may be off by, as own ones changed since
        self._expected = JobsOfOthers(count)
        self.changes_at = math.inf  # s, no more or less is expected of others before this
        self._measured = [-math.inf] * count
        self._past = [deque([(-math.inf, 0)], maxlen=REMEMBERED) for _ in range(count)]
        self.stale_at = math.inf  # s, no report becomes too old before this
        self._ended = [0] * count  # own jobs that have left
        self._job_seconds = [0.0] * count  # integral of `own` up to `_since`
        self._since = [0.0] * count  # s
        self.surprises = [0.0] * count  # sum of |N - n| over reports
        self.reports = [0] * count

    def __getitem__(self, backend: int) -> int:
        """Workload N of a backend."""
        return self.shown[backend] - self.phantoms[backend] - self.waiting[backend]

    def sent(self, backend: int, now: float, jobs: int = 1) -> None:
        """Record jobs of this core sent to a backend, or finished there (`jobs` < 0)."""
        own = self.own[backend]
        self._job_seconds[backend] += own * (now - self._since[backend])
        self._since[backend] = now
        own += jobs
        if jobs < 0:
            self._ended[backend] -= jobs
        self.own[backend] = own
        self._row[self._slots[backend]] = own
        self._past[backend].append((now, own + self.peers[backend]))
        self.shown[backend] += jobs
        self._own_changed(backend, jobs, now)

    def add_phantoms(self, backend: int, phantoms: int) -> None:
        """Add phantom jobs to a backend's count."""
        self.phantoms[backend] += phantoms
        self.shown[backend] += phantoms

    def add_waiting(self, backend: int, requests: int) -> None:
        """Add requests that wait for a load at a backend."""
        self.waiting[backend] += requests
        self.shown[backend] += requests

    def share(self, row: Row, slots: Sequence[int]) -> None:
        """Publish the jobs in flight at each backend in `row` too."""
        self._row, self._slots = row, slots
        for slot, own in zip(slots, self.own, strict=True):
            row[slot] = own

    def shared(self, backend: int, now: float, peers: int) -> None:
        """Set the jobs in flight of other workers at a backend; reports include them."""
        more = peers - self.peers[backend]
        self.shown[backend] += more
        self.peers[backend] = peers
        self._past[backend].append((now, self.own[backend] + peers))
        self._own_changed(backend, more, now)

    def reported(self, backend: int, jobs: int, measured: float, now: float) -> bool:
        """Record a report of `jobs` measured at `measured`, s; False if a later one is known."""
        if measured < self._measured[backend]:
            return False
        own = self._in_flight_at(backend, measured)
        others = max(min(jobs, LARGEST) - own, 0)
        if self._measured[backend] > -math.inf:
            self.surprises[backend] += abs(others - self._others[backend])
            self.reports[backend] += 1
        self._measured[backend] = measured
        held, ended = self._job_seconds[backend], self._ended[backend]
        self._expected.reported(backend, others, own, measured, held, ended)
        self.expect(backend, now)
        self.stale_at = min(self.stale_at, measured + self._oldest)
        return True

    def due(self, now: float) -> int:
        """A backend of whose others more or less may be expected by now; -1: none.

        The caller calls `expect` for it, and asks again.
        """
        self.changes_at, backend = self._expected.next_change()
        return backend if self.changes_at <= now else -1

    def expect(self, backend: int, now: float) -> None:
        """Show the jobs of others that are expected at a backend by now."""
        self._moved[backend] = 0.0
        own = self.own[backend] + self.peers[backend]
        others = self._expected.expect(backend, own, now)
        if others != self._others[backend]:
            self._set_others(backend, others)
        self.changes_at = min(self.changes_at, self._expected.changes_at[backend])

    def age(self, backend: int, now: float) -> float:
        """Age of the report behind an estimate, s; inf if there is none."""
        return now - self._measured[backend]

    def job_seconds(self, backend: int, now: float) -> float:
        """Integral of `own` over time: its rise over a window, over the length, is the mean."""
        since = now - self._since[backend]
        return self._job_seconds[backend] + self.own[backend] * since

    def expire(self, now: float) -> list[int]:
        """Drop reports that are too old; returns their backends."""
        if now < self.stale_at:
            return []
        gone = [
            b for b, at in enumerate(self._measured) if -math.inf < at and at + self._oldest <= now
        ]
        for backend in gone:
            self._measured[backend] = -math.inf
            self._expected.forget(backend)
            self._set_others(backend, 0)
        known = [at for at in self._measured if at > -math.inf]
        self.stale_at = min(known) + self._oldest if known else math.inf
        return gone

    def _own_changed(self, backend: int, more: int, now: float) -> None:
        response = self._expected.response
        if response and self._measured[backend] > -math.inf:
            moved = self._moved[backend] + response * more
            self._moved[backend] = moved
            if abs(moved) > NEGLIGIBLE:
                self.expect(backend, now)

    def _set_others(self, backend: int, others: int) -> None:
        self._others[backend] = others
        jobs = self.own[backend] + self.peers[backend] + others
        self.shown[backend] = jobs + self.phantoms[backend] + self.waiting[backend]

    def _in_flight_at(self, backend: int, time: float) -> int:
        past = self._past[backend]
        if past[-1][0] <= time:  # a report just made, as in the head of a response
            return past[-1][1]
        for when, in_flight in reversed(past):
            if when <= time:
                return in_flight
        return past[0][1]
