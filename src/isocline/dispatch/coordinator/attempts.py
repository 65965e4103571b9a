"""The attempts that are at nodes, by number and by server."""

from typing import final

from isocline.dispatch.actions import Start
from isocline.dispatch.submission.task import Attempt, Task


@final
class Attempts:
    """An attempt is here from its start until the engine says that it has ended.

    Attributes:
        tasks: How many, of those that have not ended, have one or more.
    """

    def __init__(self) -> None:
        self.tasks = 0
        self._last = 0
        self._all: dict[int, Attempt] = {}
        self._at: dict[int, dict[int, Attempt]] = {}  # server -> task -> attempt, in their order
        self._free: dict[int, float] = {}  # server -> when its last attempt ended, s

    def begin(self, task: Task, start: Start, now: float) -> Attempt:
        """The next attempt at a task."""
        self._last += 1
        task.attempts += 1
        task.live += 1
        self.tasks += task.live == 1
        server, level, why = start.server, start.level, start.why
        attempt = Attempt(
            self._last, task, server, level, why, start.ahead, now, task.attempts, start.copy
        )
        self._all[self._last] = attempt
        self._at.setdefault(server, {})[task.number] = attempt
        return attempt

    def get(self, number: int) -> Attempt | None:
        """None: it was lost with its node before."""
        return self._all.get(number)

    def at(self, server: int, task: int) -> Attempt | None:
        """That of a task at a server."""
        return self._at.get(server, {}).get(task)

    def of(self, task: Task) -> list[Attempt]:
        """All at a task."""
        if not task.live:
            return []
        return [tasks[task.number] for tasks in self._at.values() if task.number in tasks]

    def end(self, attempt: Attempt, now: float) -> float:
        """It has ended; returns when it began at the latest, s: one given ahead waits there."""
        del self._all[attempt.number]
        del self._at[attempt.server][attempt.task.number]
        attempt.task.live -= 1
        self.tasks -= attempt.task.live == 0 and attempt.task.over is None
        began = max(attempt.given, self._free.get(attempt.server, attempt.given))
        self._free[attempt.server] = now
        return began

    def leave(self, task: Task) -> None:
        """A task has ended; attempts at it may still be live."""
        self.tasks -= task.live > 0

    def on(self, server: int) -> list[Attempt]:
        """All at a server, in their order."""
        return list(self._at.get(server, {}).values())

    def running(self) -> set[int]:
        """The tasks that are first at their servers."""
        return {next(iter(tasks)) for tasks in self._at.values() if tasks}
