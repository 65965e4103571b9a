"""Deadlines of attempts: time limits and cancellations that a node must obey."""

from typing import final

from isocline.dispatch.engines.base import Stopped, TimedOut


@final
class Deadlines:
    """Attempts at one node, which processes them in order.

    A node stops its tasks itself. It is overdue `patience` s after it should have done so.
    """

    def __init__(self, node: str, patience: float) -> None:
        self._node = node
        self._patience = patience
        self._limits: dict[int, float | None] = {}  # of the attempts there, in order
        self._cancelled: dict[int, float] = {}  # when
        self._since = 0.0  # that the first of them has been the first

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
        """Mark an attempt as cancelled; returns False if it is not there."""
        there = attempt in self._limits
        if there:
            self._cancelled[attempt] = now
        return there

    def ended(self, attempt: int, now: float) -> bool:
        """Remove an attempt that the node reports as ended; False if it was removed before."""
        if attempt not in self._limits:
            return False
        if attempt == next(iter(self._limits)):
            self._since = now
        del self._limits[attempt]
        self._cancelled.pop(attempt, None)
        return True

    def overdue(self, now: float) -> TimedOut | Stopped | None:
        """Return the end of the first attempt if it is overdue, in place of the node's report."""
        first = next(iter(self._limits), None)
        if first is None:
            return None
        limit, asked = self._limits[first], self._cancelled.get(first)
        if asked is not None and now > max(asked, self._since) + self._patience:
            return Stopped(first, self._node)
        if limit is not None and now > self._since + limit + self._patience:
            return TimedOut(first, self._node, now - self._since)
        return None
