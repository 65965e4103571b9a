"""Records of attempts, with task, node, times, level and reason."""

from collections import Counter, deque
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, final

LEVELS = ("local", "rack", "remote")  # in the order of the policies' numbers


class Outcome(StrEnum):
    """Outcome of an attempt, or of a task that was never started."""

    FINISHED = "finished"
    RESUMED = "resumed"  # finished in an earlier run; the result is from the journal
    RAISED = "raised"
    TIMED_OUT = "timed out"
    LOST = "lost"  # node was lost
    SURPASSED = "surpassed"  # another attempt at its task finished first
    CANCELLED = "cancelled"
    GIVEN_UP = "given up"  # before it was started


class AttemptRecord(NamedTuple):
    """Record of one attempt. Times are in s since the scheduler started."""

    key: str
    node: str  # empty if it was never started
    level: str  # of LEVELS; empty if it was never started
    why: str  # the core's reason for this start
    submitted: float
    started: float  # s; when the node began it, after any wait if it was pipelined
    ended: float
    attempt: int  # number among the attempts at this task, from 1
    outcome: Outcome
    cold: bool = False  # first of its process, or it imported modules: left out of measured rates
    copy: bool = False  # copy of a task that was slow at another node


@final
class Records:
    """Most recent attempts, oldest first, and counts of all.

    Attributes:
        outcomes: Attempts by outcome.
        levels: Finished tasks by level.
    """

    def __init__(self, most: int) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.levels: Counter[str] = Counter()
        self._attempts: deque[AttemptRecord] = deque(maxlen=most)

    def add(self, attempt: AttemptRecord) -> None:
        """Add an attempt."""
        self._attempts.append(attempt)
        self.outcomes[attempt.outcome] += 1
        if attempt.outcome is Outcome.FINISHED:
            self.levels[attempt.level] += 1

    def last(self, count: int) -> tuple[AttemptRecord, ...]:
        """Return the last `count` attempts, or as many as there are, oldest first."""
        return tuple(islice(reversed(self._attempts), count))[::-1]

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[AttemptRecord]:
        """Iterate over a copy, as attempts may be added meanwhile."""
        return iter(self._attempts.copy())
