"""Requests held at their frontends: G_f of the GMSR paper, Section 3, in bounds and in order.

The order is by priority; then by what the tenant was charged (`tenants`), the least first; and
first come, first served within a tenant. Where there is no room, one that would be served late
gives way: of the lowest priority, of the tenant with most requests for its weight, the last.
"""

import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import final

from isocline.gateway.core.request import Request
from isocline.gateway.core.tenants import Tenant, Tenants

_Line = OrderedDict[int, Request]
_Key = tuple[int, Tenant]  # priority and tenant of the requests in one line


@final
class WaitingQueue:
    """Queue at each of F frontends: a line for each priority and tenant that waits there."""

    def __init__(self, frontends: int, tenants: Tenants):
        self._tenants = tenants
        self._lines: list[dict[_Key, _Line]] = [{} for _ in range(frontends)]
        self._waiting = [0] * frontends
        # A heap; serial numbers break ties, and tell who has left, and perhaps come back.
        self._deadlines: list[tuple[float, int, Request]] = []
        self._count = itertools.count(1)
        self.total = 0
        self.ever = [0] * frontends  # held at each frontend since the start

    def waiting(self, frontend: int) -> int:
        """Number of requests held at a frontend, G_f."""
        return self._waiting[frontend]

    def first(self, frontend: int) -> Request:
        """Return the request that is next in order, in a queue that is not empty."""
        heads = [next(iter(line.values())) for line in self._lines[frontend].values()]
        return heads[0] if len(heads) == 1 else min(heads, key=_order)

    def wait(self, frontend: int, now: float) -> float:
        """Longest time that a request has waited, s: an estimate of the wait at the queue's end."""
        heads = [next(iter(line.values())).arrived for line in self._lines[frontend].values()]
        return now - min(heads, default=now)

    def put(self, request: Request, *, ahead: bool = False) -> None:
        """Hold a request until its deadline, behind the others of its line or ahead of them."""
        lines, key = self._lines[request.frontend], (request.priority, request.tenant)
        line = lines.get(key)
        if line is None:
            line = lines[key] = OrderedDict()
        line[request.number] = request
        if ahead:
            line.move_to_end(request.number, last=False)
        request.deadline_entry = next(self._count)
        heapq.heappush(self._deadlines, (request.deadline, request.deadline_entry, request))
        self._tenants.waits(request.tenant)
        self._waiting[request.frontend] += 1
        self.total += 1
        self.ever[request.frontend] += 1

    def unsent(self, frontend: int) -> list[Request]:
        """Return the requests held at a frontend that no backend has been sent yet, in order."""
        lines = self._lines[frontend].values()
        return sorted((r for line in lines for r in line.values() if not r.attempt), key=_order)

    def take(self, request: Request) -> None:
        """Remove a request."""
        lines, key = self._lines[request.frontend], (request.priority, request.tenant)
        del lines[key][request.number]
        if not lines[key]:
            del lines[key]
        request.deadline_entry = 0
        request.tenant.waiting -= 1
        self._waiting[request.frontend] -= 1
        self.total -= 1
        if not self.total:
            self._deadlines.clear()

    def least_urgent(self, coming: Request) -> Request:
        """Return the request that gives way where there is no room: `coming`, or one held there."""
        lines, own = self._lines[coming.frontend], (coming.priority, coming.tenant)

        def rank(key: _Key) -> tuple[int, float, bool]:
            count = len(lines.get(key, ())) + (key == own)
            return key[0], -count / key[1].weight, key != own

        last = min([own, *lines], key=rank)
        return coming if last == own else next(reversed(lines[last].values()))

    def next_frontend(self, frontends: Iterable[int], refused: set[int]) -> int:
        """Frontend whose first request is next, without those that refused; -1 if none."""
        waiting = [f for f in frontends if self._waiting[f] and f not in refused]
        return min(waiting, key=lambda f: _order(self.first(f)), default=-1)

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
        while heap and heap[0][1] != heap[0][2].deadline_entry:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf


def _order(request: Request) -> tuple[int, float, float]:
    """Place among the first of all lines: the least is next."""
    return -request.priority, request.tenant.charged, request.arrived
