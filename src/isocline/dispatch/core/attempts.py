"""Registry of attempts: the only one, read by the coordinator as well."""

import math
from dataclasses import dataclass
from typing import final

from isocline.dispatch.actions import Start


@final
@dataclass(slots=True, eq=False)
class Attempt:
    """Attempt at a task on a server, from its start until its end is reported. Times are in s."""

    number: int  # used once
    nth: int  # of the attempts at its task, from 1
    start: Start
    row: int  # its task's, in the policy state
    job: int  # its job's row there
    function: int
    level: int  # as measured: LOCAL where the data was prefetched, unlike `start.level`
    given: float  # when it was decided
    began: float  # when its turn came at the server; inf while it is pipelined


@final
class Attempts:
    """All attempts under way, by number, by server and by task.

    Attributes:
        at: Attempts by server that is up: the running one, then the pipelined one.
        of: Attempts by task.
    """

    def __init__(self) -> None:
        self.at: dict[int, list[Attempt]] = {}
        self.of: dict[int, list[Attempt]] = {}
        self._last = 0
        self._by_number: dict[int, Attempt] = {}
        self._begun: dict[int, int] = {}  # task -> attempts ever, until `forget`

    def __len__(self) -> int:
        return len(self._by_number)

    def begin(
        self, start: Start, row: int, job: int, function: int, level: int, now: float
    ) -> Attempt:
        """Register an attempt; a pipelined one begins when the one before it ends."""
        task = start.task
        self._last = number = self._last + 1
        nth = self._begun[task] = self._begun.get(task, 0) + 1
        began = math.inf if start.pipelined else now
        attempt = Attempt(number, nth, start, row, job, function, level, now, began)
        self._by_number[number] = attempt
        self.at[start.server].append(attempt)
        self.of.setdefault(task, []).append(attempt)
        return attempt

    def get(self, number: int) -> Attempt | None:
        """Return an attempt; None if it has ended, or was lost with its server."""
        return self._by_number.get(number)

    def find(self, server: int, task: int) -> Attempt | None:
        """Return the attempt at a task on a server, if there is one."""
        for attempt in self.at.get(server, ()):
            if attempt.start.task == task:
                return attempt
        return None

    def end(self, server: int, task: int, now: float) -> Attempt | None:
        """Remove an attempt and return it, if there is one; the next one at the server begins."""
        attempt = self.find(server, task)
        if attempt is not None:
            here = self.at[server]
            here.remove(attempt)
            if here:
                here[0].began = min(here[0].began, now)
            self._remove(attempt)
        return attempt

    def lose(self, server: int) -> list[Attempt]:
        """Remove a lost server; returns its attempts."""
        lost = self.at.pop(server, [])
        for attempt in lost:
            self._remove(attempt)
        return lost

    def forget(self, task: int) -> None:
        """Forget how many attempts there were at a task that has ended."""
        self._begun.pop(task, None)

    def _remove(self, attempt: Attempt) -> None:
        del self._by_number[attempt.number]
        others = self.of[attempt.start.task]
        others.remove(attempt)
        if not others:
            del self.of[attempt.start.task]
