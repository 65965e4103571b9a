"""Registry of all attempts, also used by the coordinator."""

import math
from dataclasses import dataclass
from typing import final

from isocline.dispatch.actions import Start
from isocline.policies.scheduling.state.tasks import NONE


@final
@dataclass(slots=True, eq=False)
class Attempt:
    """Attempt at a task on a server, from its start until its end is reported. Times are in s."""

    number: int  # unique
    nth: int  # number among the attempts at its task, from 1
    start: Start
    row: int  # row of its task in the policy state; NONE once it is withdrawn
    job: int  # row of its job there
    function: int
    level: int  # for measurements: LOCAL if the data was prefetched, unlike `start.level`
    given: float  # time of the decision
    began: float  # time of its turn at the server; inf while another attempt is there
    ahead: bool  # pipelined behind an attempt that the policy state has at the server
    withdrawn: bool = False  # a copy that has left the policy state but not ended
    copied: float = 0.0  # s for which it had run when it was last copied


@final
class Attempts:
    """All attempts under way, by number, by server and by task.

    Attributes:
        at: Attempts at each server that is up: the running one, then the pipelined one or the one
            that follows a withdrawn copy.
        of: Attempts by task.
        copies: Copies by server, without withdrawn ones.
    """

    def __init__(self) -> None:
        self.at: dict[int, list[Attempt]] = {}
        self.of: dict[int, list[Attempt]] = {}
        self.copies: dict[int, Attempt] = {}
        self._last = 0
        self._by_number: dict[int, Attempt] = {}
        self._begun: dict[int, int] = {}  # task -> number of attempts so far, until `forget`

    def __len__(self) -> int:
        return len(self._by_number)

    def begin(
        self, start: Start, row: int, job: int, function: int, level: int, now: float
    ) -> Attempt:
        """Register an attempt; it begins when the previous one at its server ends, if any."""
        task, server, _, _, pipelined, copy = start
        self._last = number = self._last + 1
        nth = self._begun[task] = self._begun.get(task, 0) + 1
        here = self.at[server]
        began = math.inf if here else now
        attempt = Attempt(number, nth, start, row, job, function, level, now, began, pipelined)
        self._by_number[number] = attempt
        if copy:
            self.copies[server] = attempt
        here.append(attempt)
        others = self.of.get(task)
        if others is None:
            self.of[task] = [attempt]
        else:
            others.append(attempt)
        return attempt

    def get(self, number: int) -> Attempt | None:
        """Return an attempt; None if it has ended or was lost with its server."""
        return self._by_number.get(number)

    def find(self, server: int, task: int) -> Attempt | None:
        """Return the last attempt at a task on a server, if any."""
        found = [one for one in self.at.get(server, ()) if one.start.task == task]
        return found[-1] if found else None

    def serve(self, task: int) -> int:
        """Number of attempts under way at a task, without withdrawn copies."""
        return sum(not attempt.withdrawn for attempt in self.of.get(task, ()))

    def withdraw(self, copy: Attempt) -> None:
        """Mark a copy as withdrawn; it stays at its server until its end is reported."""
        copy.withdrawn, copy.row = True, NONE
        del self.copies[copy.start.server]

    def end(self, server: int, task: int, now: float) -> Attempt | None:
        """Remove and return an attempt, if it exists; the next one at the server begins."""
        here = self.at.get(server, [])
        # The first match, as servers work in order; a second may follow a withdrawn copy.
        for attempt in here:
            if attempt.start.task == task:
                break
        else:
            return None
        here.remove(attempt)
        if here:
            here[0].began = min(here[0].began, now)
            here[0].ahead = False
        self._remove(attempt)
        return attempt

    def lose(self, server: int) -> list[Attempt]:
        """Remove a lost server; returns its attempts."""
        lost = self.at.pop(server, [])
        for attempt in lost:
            self._remove(attempt)
        return lost

    def forget(self, task: int) -> None:
        """Forget the number of attempts at an ended task."""
        self._begun.pop(task, None)

    def _remove(self, attempt: Attempt) -> None:
        del self._by_number[attempt.number]
        start = attempt.start
        if self.copies and self.copies.get(start.server) is attempt:
            del self.copies[start.server]
        others = self.of[start.task]
        if len(others) > 1:
            others.remove(attempt)
        else:
            del self.of[start.task]
