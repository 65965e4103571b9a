"""Statistics of a run at one moment."""

from dataclasses import asdict, dataclass
from typing import Any, final

from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_ledger import TaskLedger
from isocline.dispatch.telemetry.records import LEVELS, Outcome


@final
@dataclass(frozen=True)
class RunStatistics:
    """Counts of tasks since the scheduler began."""

    elapsed: float  # s from the first submission to now, or to the last end
    waiting: int
    running: int  # at a node, or given to it ahead
    finished: int
    resumed: int  # whose results the journal had
    failed: int
    cancelled: int
    levels: dict[str, int]  # tasks whose function has returned, by level
    attempts: dict[str, int]  # attempts that have ended, by outcome
    nodes: int  # that are up
    unwritten: int  # rows that wait for the journal
    copies: int = 0  # of slow tasks, started elsewhere beside them
    copies_first: int = 0  # of these, done before the slow one

    @property
    def ended(self) -> int:
        """Number of tasks that have ended, in whatever way."""
        return self.finished + self.resumed + self.failed + self.cancelled

    def share(self, level: str) -> float:
        """Share of the tasks that returned which ran at this level; nan before the first."""
        returned = sum(self.levels.values())
        return self.levels[level] / returned if returned else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data, for JSON."""
        return asdict(self)


def run_statistics(
    elapsed: float, run: Coordinator, book: TaskLedger, nodes: Nodes
) -> RunStatistics:
    """Collect the statistics of a run; called in the loop's thread."""
    return RunStatistics(
        elapsed=elapsed,
        waiting=len(run.tasks) - run.attempts.tasks,
        running=run.attempts.tasks,
        finished=book.ended[Outcome.FINISHED],
        resumed=book.ended[Outcome.RESUMED],
        failed=book.ended[Outcome.GIVEN_UP],
        cancelled=book.ended[Outcome.CANCELLED],
        levels={level: book.records.levels[level] for level in LEVELS},
        attempts={str(outcome): book.records.outcomes[outcome] for outcome in Outcome},
        nodes=len(nodes.up),
        unwritten=book.unwritten,
        copies=run.core.statistics.copies,
        copies_first=run.core.statistics.copies_first,
    )
