"""Concurrency limits of backends: a curve's peak, a slow start, and refusals with 429 or 503.

A refusal that names a time (Retry-After) closes the backend until then. A 429 that names none is
that of a bounded queue: it was refused with N other jobs there, so N is the limit, and the next
request goes when one of them has left. With no other job there the backend is closed for a pause,
which doubles with each further refusal until it serves again.

No such limit lasts. A closed backend reopens for one job more, and for one more with each that it
serves while it is at least half full, which doubles its load in each service time as TCP's slow
start does: the requests held meanwhile do not all arrive at once, and a limit that nothing reaches
does not grow (RFC 7661). A limit that is still reached after `longest` s is doubled,
which costs a few refusals if it still holds; one that is not reached is forgotten.
"""

import math
from collections.abc import Sequence
from typing import final

from isocline.gateway.core.candidates import NO_LIMIT, peak_of
from isocline.model.curves import Curve
from isocline.model.serving_settings import RefusalRule, Rules


@final
class Backpressure:
    """Limits that B backends have named by refusals.

    Attributes:
        most: Jobs that each may hold: 0 while it is closed, NO_LIMIT if it named no limit.
        until: Time of the limit's review, s; inf if there is none.
        next_end: The earliest of these.
    """

    def __init__(self, rule: RefusalRule, backends: int):
        self._rule = rule
        self.most = [NO_LIMIT] * backends
        self.until = [math.inf] * backends
        self.next_end = math.inf
        self._pause = [0.0] * backends  # s, the last one; 0 if it has served since
        self._opening = [False] * backends  # was closed, and is being opened job by job

    def refused(self, backend: int, now: float, jobs: int, retry_after: float | None) -> None:
        """Record a refusal with `jobs` others there; `retry_after` is s from now, if given."""
        rule = self._rule
        most = 0
        if retry_after:  # "0" names no time
            length = min(retry_after, rule.longest)
        elif jobs > 0:
            most, length = jobs, rule.longest
        else:
            length = min(2.0 * self._pause[backend] or rule.first, rule.longest)
            self._pause[backend] = length
        until = now + length
        if self.most[backend] == 0:  # nothing opens what is closed but time
            most, until = 0, max(until if most == 0 else now, self.until[backend])
        self._opening[backend] = False
        self._set(backend, most, until)

    def served(self, backend: int, jobs: int) -> bool:
        """Record a served request, with `jobs` left; returns whether that changed the limit."""
        self._pause[backend] = 0.0
        if not self._opening[backend] or self.most[backend] >= 2 * (jobs + 1):
            return False
        self.most[backend] += 1
        return True

    def is_opening(self, backend: int) -> bool:
        """Whether `served` may still change its limit."""
        return self._opening[backend]

    def closed(self, backend: int, now: float) -> float | None:
        """Remaining time for which a backend is closed, s; None if it is open."""
        return max(self.until[backend] - now, 0.0) if self.most[backend] == 0 else None

    def over(self, now: float) -> list[int]:
        """Return the backends whose limit is due for review."""
        if now < self.next_end:
            return []
        return [b for b, until in enumerate(self.until) if until <= now]

    def relax(self, backend: int, now: float, jobs: int) -> None:
        """Relax an expired limit of a backend that holds `jobs`."""
        most, until = self.most[backend], now + self._rule.longest
        if most == 0:
            self._opening[backend] = True
            self._set(backend, jobs + 1, until)
        elif jobs < most:
            self._opening[backend] = False
            self._set(backend, NO_LIMIT, math.inf)
        else:
            self._set(backend, min(2 * most, NO_LIMIT), until)

    def adopt(self, backend: int, other: "Backpressure", number: int) -> None:
        """Take over from `other` the limit of its backend with that number."""
        self._pause[backend] = other._pause[number]
        self._opening[backend] = other._opening[number]
        self._set(backend, other.most[number], other.until[number])

    def _set(self, backend: int, most: int, until: float) -> None:
        self.most[backend], self.until[backend] = most, until
        self.next_end = min(self.until)


@final
class ConcurrencyLimits:
    """Concurrency limits of B backends.

    Attributes:
        most: Jobs that each may hold now.
        pressure: Limits that backends have named; `settle` applies them.
    """

    def __init__(self, curves: Sequence[Curve], rules: Rules):
        self._rules = rules
        self.pressure = Backpressure(rules.refusals, len(curves))
        self.most = [NO_LIMIT] * len(curves)
        self._peak = [NO_LIMIT] * len(curves)
        self._slow_start = [NO_LIMIT] * len(curves)  # of those that start slowly
        for backend, curve in enumerate(curves):
            self.change(backend, peak_of(curve))

    def __getitem__(self, backend: int) -> int:
        return self.most[backend]

    def change(self, backend: int, peak: int) -> None:
        """Set a backend's peak from its new curve; NO_LIMIT for none."""
        self._peak[backend] = peak if self._rules.stop_at_peak else NO_LIMIT
        self.settle(backend)

    def start_slowly(self, backend: int) -> None:
        """Begin a slow start: a backend has come back, cold."""
        if self._rules.slow_start:
            self._set_slow_start(backend, 1)

    def ramp(self, backend: int) -> bool:
        """Record a finished job; returns whether that changed the limit."""
        limit = self._slow_start[backend]
        if limit == NO_LIMIT:
            return False
        self._set_slow_start(backend, limit + 1 if limit < self._rules.slow_start else NO_LIMIT)
        return True

    def _set_slow_start(self, backend: int, limit: int) -> None:
        self._slow_start[backend] = limit
        self.settle(backend)

    def settle(self, backend: int) -> None:
        """Apply a changed limit of a backend."""
        own = self.pressure.most[backend]
        self.most[backend] = min(self._peak[backend], self._slow_start[backend], own)
