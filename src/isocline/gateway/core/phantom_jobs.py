"""Phantom jobs: stand-ins for refused requests, so that refusals do not look like fast service.

A policy sends where the workload is low, and a backend that refuses at once has none: it would get
everything. So each refusal leaves a phantom job, counted by policies alone, for the time that a
served job would take, N / l(N) by Little's law; and for twice as long with each round of refusals
until the backend serves again, when its phantoms are gone. A round is over when a request that was
sent after its last refusal is refused.
"""

import heapq
import math
from typing import final

from isocline.gateway.core.backend_load import Workloads


@final
class PhantomJobs:
    """Phantom jobs at B backends.

    Attributes:
        next_end: Time at which the next one is removed, s; inf if there is none.
    """

    def __init__(self, workloads: Workloads, longest: float):
        """Initialise; `longest` is the longest time that a phantom may stay, s."""
        self._workloads = workloads
        self._longest = longest
        self._ends: list[tuple[float, int, int]] = []  # a heap: end, backend, generation
        self._generation = [0] * len(workloads.own)  # those of earlier ones are gone already
        self._stay = [0.0] * len(workloads.own)  # service times, of this round
        self._last = [-math.inf] * len(workloads.own)  # s, the last refusal
        self.next_end = math.inf

    def refused(self, backend: int, sent: float, now: float, service: float) -> None:
        """Add a phantom for a request sent at `sent`, s; `service` s is its service time."""
        if self._stay[backend] == 0.0:
            self._stay[backend] = 1.0
        elif sent > self._last[backend]:
            self._stay[backend] = min(2.0 * self._stay[backend], 1e9)
        self._last[backend] = now
        end = min(sent + service * self._stay[backend], now + self._longest)
        if end > now:
            heapq.heappush(self._ends, (end, backend, self._generation[backend]))
            self.next_end = self._ends[0][0]
            self._workloads.add_phantoms(backend, 1)

    def served(self, backend: int) -> None:
        """Record service, which removes all phantoms of the backend."""
        if self._stay[backend]:
            self._stay[backend] = 0.0
            self._generation[backend] += 1
            self._workloads.add_phantoms(backend, -self._workloads.phantoms[backend])

    def over(self, now: float) -> list[int]:
        """Remove expired phantoms; returns their backends."""
        gone: list[int] = []
        while self._ends and self._ends[0][0] <= now:
            _, backend, generation = heapq.heappop(self._ends)
            if generation == self._generation[backend]:
                self._workloads.add_phantoms(backend, -1)
                gone.append(backend)
        self.next_end = self._ends[0][0] if self._ends else math.inf
        return gone
