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
    running: int  # at a node, pipelined ones included
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
    elapsed: float, coordinator: Coordinator, ledger: TaskLedger, nodes: Nodes
) -> RunStatistics:
    """Collect the statistics of a run; called in the loop's thread."""
    running, counts = coordinator.running, coordinator.core.statistics
    return RunStatistics(
        elapsed=elapsed,
        waiting=len(coordinator.tasks) - running,
        running=running,
        finished=ledger.ended[Outcome.FINISHED],
        resumed=ledger.ended[Outcome.RESUMED],
        failed=ledger.ended[Outcome.GIVEN_UP],
        cancelled=ledger.ended[Outcome.CANCELLED],
        levels={level: ledger.records.levels[level] for level in LEVELS},
        attempts={str(outcome): ledger.records.outcomes[outcome] for outcome in Outcome},
        nodes=len(nodes.up),
        unwritten=ledger.unwritten,
        copies=counts.copies,
        copies_first=counts.copies_first,
    )
