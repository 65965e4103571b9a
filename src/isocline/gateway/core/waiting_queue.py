"""Requests held at their frontends: G_f of the GMSR paper, Section 3, in bounds."""

import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import final

from isocline.gateway.core.request import Request


@final
class WaitingQueue:
    """One first-come-first-served queue for each of F frontends."""

    def __init__(self, frontends: int):
        self._queues: list[OrderedDict[int, Request]] = [OrderedDict() for _ in range(frontends)]
        # A heap; turns break ties, and tell who has left, and perhaps come back.
        self._deadlines: list[tuple[float, int, Request]] = []
        self._count = itertools.count(1)
        self.total = 0
        self.ever = [0] * frontends  # held at each frontend since the start

    def waiting(self, frontend: int) -> int:
        """Number of requests held at a frontend, G_f."""
        return len(self._queues[frontend])

    def first(self, frontend: int) -> Request:
        """Return the request that has waited longest, in a queue that is not empty."""
        return next(iter(self._queues[frontend].values()))

    def wait(self, frontend: int, now: float) -> float:
        """Time that the first request has waited, s: an estimate of the wait at the queue's end."""
        return now - self.first(frontend).arrived if self._queues[frontend] else 0.0

    def put(self, request: Request, *, ahead: bool = False) -> None:
        """Hold a request until its deadline, behind the others or ahead of them."""
        queue = self._queues[request.frontend]
        queue[request.number] = request
        if ahead:
            queue.move_to_end(request.number, last=False)
        request.turn = next(self._count)
        heapq.heappush(self._deadlines, (request.deadline, request.turn, request))
        self.total += 1
        self.ever[request.frontend] += 1

    def take(self, request: Request) -> None:
        """Remove a request."""
        del self._queues[request.frontend][request.number]
        request.turn = 0
        self.total -= 1
        if not self.total:
            self._deadlines.clear()

    def longest(self, frontends: Iterable[int], refused: set[int]) -> int:
        """Frontend with the oldest first request, without those that refused; -1 if none."""
        waiting = [f for f in frontends if self._queues[f] and f not in refused]
        return min(waiting, key=lambda f: self.first(f).arrived, default=-1)

    def overdue(self, now: float) -> list[Request]:
        """Remove and return the requests whose deadline is `now`, s, or earlier."""
        gone = []
        while self.next_deadline() <= now:
            request = heapq.heappop(self._deadlines)[2]
            gone.append(request)
            self.take(request)
        return gone

    def next_deadline(self) -> float:
        """Earliest deadline, s; inf if none is held."""
        heap = self._deadlines
        while heap and heap[0][1] != heap[0][2].turn:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf
