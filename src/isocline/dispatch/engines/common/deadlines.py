"""Deadlines by which attempts must end, after their time limit or a cancellation."""

from typing import final

from isocline.dispatch.engines.base import Stopped, TimedOut


@final
class Deadlines:
    """Deadlines of the attempts at one node, which processes them in order.

    A node stops its tasks itself; it is overdue if it has not done so after `patience` s.
    """

    def __init__(self, node: str, patience: float) -> None:
        self._node = node
        self._patience = patience
        self._limits: dict[int, float | None] = {}  # time limits of the attempts, in order
        self._cancelled: dict[int, float] = {}  # attempt -> time of its cancellation, s
        self._uncharged: dict[int, float] = {}  # attempt -> s in addition to its limit
        self._since = 0.0  # time at which the first attempt became the first, s

    def added(self, attempt: int, limit: float | None, now: float) -> None:
        """Add an attempt at the end of the node's queue."""
        if not self._limits:
            self._since = now
        self._limits[attempt] = limit

    @property
    def busy(self) -> bool:
        """Whether there are attempts at the node."""
        return bool(self._limits)

    def cancelled(self, attempt: int, now: float) -> bool:
        """Mark an attempt as cancelled; returns False if it is not at the node."""
        there = attempt in self._limits
        if there:
            self._cancelled[attempt] = now
        return there

    def uncharged(self, attempt: int, seconds: float) -> None:
        """Extend an attempt's limit by `seconds` s, or shorten it again if below 0."""
        if attempt in self._limits:
            self._uncharged[attempt] = self._uncharged.get(attempt, 0.0) + seconds

    def ended(self, attempt: int, now: float) -> bool:
        """Remove an attempt reported as ended; returns False if it was already removed."""
        if attempt not in self._limits:
            return False
        if attempt == next(iter(self._limits)):
            self._since = now
        del self._limits[attempt]
        self._cancelled.pop(attempt, None)
        self._uncharged.pop(attempt, None)
        return True

    def overdue(self, now: float) -> TimedOut | Stopped | None:
        """Return the event for the first attempt if it is overdue, in place of the node's."""
        first = next(iter(self._limits), None)
        if first is None:
            return None
        limit, asked = self._limits[first], self._cancelled.get(first)
        if asked is not None and now > max(asked, self._since) + self._patience:
            return Stopped(first, self._node)
        beside = self._uncharged.get(first, 0.0)
        if limit is not None and now > self._since + limit + beside + self._patience:
            return TimedOut(first, self._node, now - self._since - beside)
        return None
