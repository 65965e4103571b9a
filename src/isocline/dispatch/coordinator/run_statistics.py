"""Statistics of a run at a given moment."""

from dataclasses import asdict, dataclass, field
from typing import Any, final

from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_ledger import TaskLedger
from isocline.dispatch.telemetry.records import LEVELS, Outcome
from isocline.record import in_notebook


@final
@dataclass(frozen=True)
class RunStatistics:
    """Counts of tasks since the scheduler started."""

    elapsed: float  # s from the first submission until now, or until the last task ended
    waiting: int
    running: int  # at nodes, including pipelined tasks
    finished: int
    resumed: int  # with results from the journal
    failed: int
    cancelled: int
    levels: dict[str, int]  # tasks whose function returned, by level
    attempts: dict[str, int]  # ended attempts, by outcome
    nodes: int  # nodes that are up
    unwritten: int  # rows not yet in the journal
    copies: int = 0  # copies started of slow tasks
    copies_first: int = 0  # of these, finished before the first attempt
    seconds: dict[str, float] = field(default_factory=dict)  # measured mean of a task, by level

    def _repr_html_(self) -> str:
        return in_notebook("statistics_html", self)

    @property
    def ended(self) -> int:
        """Number of tasks that have ended in any way."""
        return self.finished + self.resumed + self.failed + self.cancelled

    def share(self, level: str) -> float:
        """Share of this level among tasks whose function returned; nan before the first."""
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
        waiting=coordinator.unfinished - running,
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
        seconds=ledger.demand.means(),
    )
