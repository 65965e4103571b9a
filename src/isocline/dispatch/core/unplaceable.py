"""Tasks that no server can run at the moment, as none that is up holds their data."""

import math
from collections import deque
from typing import NamedTuple, final


class TaskSpec(NamedTuple):
    """All that the core knows of a task that is not on the board."""

    task: int
    row: int  # its job's, on the board
    function: int
    serial: int  # in order of submission
    born: float  # s


@final
class Unplaceable:
    """All that have a deadline get the same time, so they are due in the order they came in."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[TaskSpec, float]] = {}
        self._due: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._of)

    def __contains__(self, task: int) -> bool:
        return task in self._of

    def add(self, orphan: TaskSpec, until: float) -> None:
        """A task has no holder; it is given up at `until`, s."""
        self._of[orphan.task] = orphan, until
        if until < math.inf:
            self._due.append((until, orphan.task))

    def wait(self, task: int, until: float) -> None:
        """One that was overdue is given up at `until`, s, instead."""
        self.add(self._of[task][0], until)

    def take(self, task: int) -> TaskSpec:
        """It has a holder, or is no longer wanted."""
        return self._of.pop(task)[0]

    def next_deadline(self) -> float:
        """When the first is given up, s; inf for never."""
        while self._due:
            until, task = self._due[0]
            if task in self._of and self._of[task][1] == until:
                return until
            self._due.popleft()
        return math.inf

    def overdue(self, now: float) -> list[int]:
        """Those that have waited in vain; each is told once, and is to be taken."""
        found = {}  # one that came, went and came again at one time is due twice
        while self.next_deadline() <= now:
            until, task = self._due.popleft()
            found[task] = until
        return list(found)

    def all(self) -> list[TaskSpec]:
        """In the order in which they came in."""
        return [description for description, _ in self._of.values()]
