"""Tasks that run at each server."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(slots=True, eq=False)
class RunningAttempt:
    """Attempt at a task on a server."""

    task: int  # the caller's number
    number: int  # that of the policy state
    function: int
    row: int  # its job's row in the policy state
    level: int
    given: float  # s, when it was decided
    began: float  # s, when it was the server's turn; inf while it is ahead
    copy: bool = False
    late: float = 0.0  # s after `began`, when it may be a straggler; 0 until it is known


@final
class RunningTasks:
    """Attempts by server: first the running one, then the pipelined one."""

    def __init__(self) -> None:
        self.at: dict[int, list[RunningAttempt]] = {}  # of those that are there
        self.of: dict[int, list[int]] = {}  # task -> servers
        self.count = 0  # attempts

    def add(self, server: int, attempt: RunningAttempt) -> None:
        """Add an attempt."""
        self.at[server].append(attempt)
        self.of.setdefault(attempt.task, []).append(server)
        self.count += 1

    def remove(self, server: int, task: int) -> RunningAttempt | None:
        """Remove an attempt; returns it, or None if there is none."""
        for attempt in self.at.get(server, ()):
            if attempt.task == task:
                self.at[server].remove(attempt)
                self._forget(server, task)
                return attempt
        return None

    def lose(self, server: int) -> list[RunningAttempt]:
        """Remove a lost server; returns its attempts."""
        lost = self.at.pop(server)
        for attempt in lost:
            self._forget(server, attempt.task)
        return lost

    def _forget(self, server: int, task: int) -> None:
        self.count -= 1
        servers = self.of[task]
        servers.remove(server)
        if not servers:
            del self.of[task]
