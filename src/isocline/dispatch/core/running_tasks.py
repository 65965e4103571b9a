"""Tasks that run at each server."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(slots=True, eq=False)
class RunningAttempt:
    """A task at a server."""

    task: int  # the caller's number
    number: int  # the board's
    function: int
    row: int  # its job's, on the board
    level: int
    given: float  # s, when it was decided
    began: float  # s, when it was the server's turn; inf while it is ahead
    copy: bool = False
    late: float = 0.0  # s after `began`, when it may be a straggler; 0 until it is known


@final
class RunningTasks:
    """Attempts by server: first what it runs, then what it has ahead."""

    def __init__(self) -> None:
        self.at: dict[int, list[RunningAttempt]] = {}  # of those that are there
        self.of: dict[int, list[int]] = {}  # task -> servers
        self.count = 0  # attempts

    def add(self, server: int, attempt: RunningAttempt) -> None:
        """A server gets a task."""
        self.at[server].append(attempt)
        self.of.setdefault(attempt.task, []).append(server)
        self.count += 1

    def remove(self, server: int, task: int) -> RunningAttempt | None:
        """An attempt has ended; None if there is none such."""
        for attempt in self.at.get(server, ()):
            if attempt.task == task:
                self.at[server].remove(attempt)
                self._forget(server, task)
                return attempt
        return None

    def lose(self, server: int) -> list[RunningAttempt]:
        """A server is gone; what it had."""
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
