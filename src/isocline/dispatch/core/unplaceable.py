"""Unplaceable tasks: those whose data no server that is up holds."""

import math
from collections import deque
from typing import NamedTuple, final


class TaskSpec(NamedTuple):
    """Description of a task without a row in the policy state."""

    task: int
    job: int  # row of its job in the policy state
    function: int
    serial: int  # position in order of submission
    submitted: float  # s


@final
class Unplaceable:
    """Unplaceable tasks, with the times at which they are given up.

    All waits are equally long, so tasks are due in the order in which they were added.

    Attributes:
        of: Description of each task, in the order in which they were added, and when it is given
            up, s. Read-only to others.
    """

    def __init__(self) -> None:
        self.of: dict[int, tuple[TaskSpec, float]] = {}
        self._due: deque[tuple[float, int]] = deque()

    def add(self, spec: TaskSpec, until: float) -> None:
        """Add a task, which is given up at `until`, s."""
        self.of[spec.task] = spec, until
        if until < math.inf:
            self._due.append((until, spec.task))

    def wait(self, task: int, until: float) -> None:
        """Postpone an overdue task to `until`, s."""
        self.add(self.of[task][0], until)

    def take(self, task: int) -> TaskSpec:
        """Remove a task that now has a holder or is no longer wanted."""
        return self.of.pop(task)[0]

    def next_deadline(self) -> float:
        """Time at which the first task is given up, s; inf for never."""
        while self._due:
            until, task = self._due[0]
            if task in self.of and self.of[task][1] == until:
                return until
            self._due.popleft()
        return math.inf

    def overdue(self, now: float) -> list[int]:
        """Return the distinct overdue tasks; the caller removes them."""
        found = {}  # a task added twice at the same time is due twice
        while self.next_deadline() <= now:
            until, task = self._due.popleft()
            found[task] = until
        return list(found)
