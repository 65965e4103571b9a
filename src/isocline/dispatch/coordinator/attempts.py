"""Attempts at nodes, by number and by server."""

from typing import final

from isocline.dispatch.actions import Start
from isocline.dispatch.submission.task import Attempt, Task


@final
class Attempts:
    """Attempts from their start until the engine reports their end.

    Attributes:
        tasks: Number of unfinished tasks with one or more attempts.
    """

    def __init__(self) -> None:
        self.tasks = 0
        self._last = 0
        self._all: dict[int, Attempt] = {}
        self._at: dict[int, dict[int, Attempt]] = {}  # server -> task -> attempt, in their order
        self._free: dict[int, float] = {}  # server -> when its last attempt ended, s

    def begin(self, task: Task, start: Start, now: float) -> Attempt:
        """Register the next attempt at a task."""
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
        """Return an attempt; None: it was lost with its node before."""
        return self._all.get(number)

    def at(self, server: int, task: int) -> Attempt | None:
        """Return the attempt at a task on a server."""
        return self._at.get(server, {}).get(task)

    def of(self, task: Task) -> list[Attempt]:
        """Return all attempts at a task."""
        if not task.live:
            return []
        return [tasks[task.number] for tasks in self._at.values() if task.number in tasks]

    def end(self, attempt: Attempt, now: float) -> float:
        """Remove an attempt; returns its latest begin, s: a pipelined one waits at its node."""
        del self._all[attempt.number]
        del self._at[attempt.server][attempt.task.number]
        attempt.task.live -= 1
        self.tasks -= attempt.task.live == 0 and attempt.task.over is None
        began = max(attempt.given, self._free.get(attempt.server, attempt.given))
        self._free[attempt.server] = now
        return began

    def leave(self, task: Task) -> None:
        """Forget a task that has ended; attempts at it may still be live."""
        self.tasks -= task.live > 0

    def on(self, server: int) -> list[Attempt]:
        """Return all attempts at a server, in their order."""
        return list(self._at.get(server, {}).values())

    def running(self) -> set[int]:
        """Return the tasks that are first at their servers."""
        return {next(iter(tasks)) for tasks in self._at.values() if tasks}
