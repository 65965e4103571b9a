"""Failures of tasks that are still wanted."""

from typing import final


@final
class Failures:
    """Of each task, attempts that failed, and servers that died."""

    def __init__(self) -> None:
        self._tried: dict[int, int] = {}
        self._killed: dict[int, list[int]] = {}
        self._unread: dict[int, int] = {}

    def failed(self, task: int) -> int:
        """An attempt has failed; how many have."""
        tried = self._tried[task] = self._tried.get(task, 0) + 1
        return tried

    def killed(self, task: int, server: int) -> list[int]:
        """A server died while it ran a task; all that did."""
        killed = self._killed.setdefault(task, [])
        killed.append(server)
        return killed

    def unread(self, task: int) -> int:
        """A server died while it sent a task's data; how many have."""
        count = self._unread[task] = self._unread.get(task, 0) + 1
        return count

    def forget(self, task: int) -> None:
        """A task has ended."""
        self._tried.pop(task, None)
        self._killed.pop(task, None)
        self._unread.pop(task, None)
