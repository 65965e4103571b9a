"""Records of attempts: task, node, times, level and reason."""

from collections import Counter, deque
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, final

LEVELS = ("local", "rack", "remote")  # by number, as policies have them


class Outcome(StrEnum):
    """End of an attempt, or of a task that was never started."""

    FINISHED = "finished"
    RESUMED = "resumed"  # finished in an earlier run: its result is from the journal
    RAISED = "raised"
    TIMED_OUT = "timed out"
    LOST = "lost"  # with its node
    SURPASSED = "surpassed"  # a copy of it was done first
    CANCELLED = "cancelled"
    GIVEN_UP = "given up"  # before it was started


class Ran(NamedTuple):
    """Record of one attempt. Times are seconds since the scheduler began."""

    key: str
    node: str  # empty if it was never started
    level: str  # of LEVELS; empty if it was never started
    why: str  # the core's reason for this start
    submitted: float
    started: float  # when the node came to it; given ahead it may have waited there
    ended: float
    attempt: int  # at this task, from 1
    outcome: Outcome
    cold: bool = False  # its process's first, or it imported modules: in no measured rate
    copy: bool = False  # of a task that was slow at another node


@final
class Records:
    """The last attempts, oldest first, and counts of all.

    Attributes:
        outcomes: Attempts by outcome.
        levels: Finished tasks by level.
    """

    def __init__(self, most: int) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.levels: Counter[str] = Counter()
        self._ran: deque[Ran] = deque(maxlen=most)

    def add(self, ran: Ran) -> None:
        """Add an attempt."""
        self._ran.append(ran)
        self.outcomes[ran.outcome] += 1
        if ran.outcome is Outcome.FINISHED:
            self.levels[ran.level] += 1

    def __len__(self) -> int:
        return len(self._ran)

    def __iter__(self) -> Iterator[Ran]:
        """Iterate over a copy, as more may come."""
        return iter(self._ran.copy())
