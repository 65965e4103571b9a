"""Failures of tasks that are still wanted."""

from typing import final


@final
class Failures:
    """Failed attempts and dead servers of each task."""

    def __init__(self) -> None:
        self._tried: dict[int, int] = {}
        self._killed: dict[int, list[int]] = {}
        self._unread: dict[int, int] = {}

    def failed(self, task: int) -> int:
        """Record a failed attempt; returns the number of them."""
        tried = self._tried[task] = self._tried.get(task, 0) + 1
        return tried

    def killed(self, task: int, server: int) -> list[int]:
        """Record a server that died while it ran a task; returns all of them."""
        killed = self._killed.setdefault(task, [])
        killed.append(server)
        return killed

    def unread(self, task: int) -> int:
        """Record a server that died while it sent a task's data; returns the number of them."""
        count = self._unread[task] = self._unread.get(task, 0) + 1
        return count

    def forget(self, task: int) -> None:
        """Forget a task that has ended."""
        self._tried.pop(task, None)
        self._killed.pop(task, None)
        self._unread.pop(task, None)
