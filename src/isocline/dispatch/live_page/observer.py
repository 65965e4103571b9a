"""Snapshots of a run as plain data, taken in the event loop's thread."""

from collections.abc import Iterable
from dataclasses import dataclass
from time import thread_time
from typing import Literal, NamedTuple, final

from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.run_statistics import RunStatistics, run_statistics
from isocline.dispatch.coordinator.task_ledger import TaskFailure, TaskLedger
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.engines.base import Node
from isocline.dispatch.telemetry.demand import Demand, Holders
from isocline.dispatch.telemetry.records import AttemptRecord


class NodeTask(NamedTuple):
    """Attempt at a node."""

    number: int
    key: str
    level: int  # 0 local, 1 rack, 2 remote
    began: float  # s by the event loop's clock; inf while pipelined behind another
    copy: bool  # whether it is a copy of a task that is slow at another node


class NodeSnapshot(NamedTuple):
    """State of a node that is or was up."""

    name: str
    rack: str | None
    state: Literal["up", "silent", "down"]
    reason: str  # why it is down, or was last lost
    tasks: tuple[NodeTask, ...]  # the running attempt, then the pipelined one
    losses: int  # number of losses
    waiting: int  # tasks in its queue or, with late binding, waiting tasks whose chunk it holds


@final
@dataclass(frozen=True)
class RunSnapshot:
    """State of a run at one moment. Times are by the event loop's clock, s.

    Attributes:
        now: Time of the snapshot, s.
        began: Origin of the times in `attempts`, s.
        seconds: CPU time that it took in the event loop's thread, s.
        over: Whether the run has ended for good.
        statistics: Counts of tasks.
        nodes: All nodes, by number.
        attempts: Attempts that ended since the previous snapshot and are still in the records.
        missed: Number of those that records no longer have.
        failures: The last tasks that failed since the previous snapshot.
        unplaceable: Number of unplaceable tasks.
        helped: Tasks that ran at helpers, see `Demand.helped`.
    """

    now: float
    began: float
    seconds: float
    over: bool
    statistics: RunStatistics
    nodes: tuple[NodeSnapshot, ...]
    attempts: tuple[AttemptRecord, ...]
    missed: int
    failures: tuple[TaskFailure, ...]
    unplaceable: int
    helped: dict[tuple[str, Holders, str], int]


@final
class RunObserver:
    """Takes successive snapshots; its methods must be called in the event loop's thread."""

    def __init__(
        self, coordinator: Coordinator, ledger: TaskLedger, nodes: Nodes, began: float
    ) -> None:
        """Initialise; `began` is the origin of times in records, s by the event loop's clock."""
        self._coordinator = coordinator
        self._ledger = ledger
        self._nodes = nodes
        self._began = began
        self._attempts = self._failures = 0  # numbers at the previous snapshot

    def look(self, now: float, *, over: bool) -> RunSnapshot:
        """Take a snapshot, in O(nodes + attempts that ended since the previous one)."""
        start = thread_time()
        ledger, coordinator = self._ledger, self._coordinator
        ended = ledger.records.outcomes.total()
        attempts = ledger.records.last(ended - self._attempts)
        missed = ended - self._attempts - len(attempts)
        failed = ledger.failed_tasks
        self._attempts, self._failures, before = ended, failed, self._failures
        found = list(ledger.failures)
        elapsed = coordinator.elapsed(now)
        statistics = run_statistics(elapsed, coordinator, ledger, self._nodes)
        nodes, helped = tuple(self._node_snapshots()), dict(ledger.demand.helped)
        return RunSnapshot(
            now,
            self._began,
            thread_time() - start,
            over,
            statistics,
            nodes,
            attempts,
            missed,
            tuple(found[max(len(found) - (failed - before), 0) :]),
            0 if coordinator.stopping else coordinator.core.unplaceable,
            helped,
        )

    def measured(self, now: float) -> tuple[Demand, list[Node], float]:
        """Arguments for `explain`: a copy of the counts, all nodes, and the time so far, s."""
        nodes = list(self._nodes.known.values())
        return self._ledger.demand.copy(), nodes, self._coordinator.elapsed(now)

    def _node_snapshots(self) -> Iterable[NodeSnapshot]:
        nodes, coordinator = self._nodes, self._coordinator
        stopping = coordinator.stopping
        for number, node in nodes.known.items():
            here = coordinator.attempts.at.get(number, ())
            tasks = tuple(self._task(it) for it in here if it.start.task in coordinator.tasks)
            state: Literal["up", "silent", "down"] = "up" if number in nodes.up else "down"
            if state == "up" and nodes.is_silent(node.name):
                state = "silent"
            waiting = 0 if stopping else coordinator.core.waiting_at(number)
            reason = nodes.reason(node.name)
            losses = nodes.losses[node.name]
            yield NodeSnapshot(node.name, node.rack, state, reason, tasks, losses, waiting)

    def _task(self, attempt: Attempt) -> NodeTask:
        start = attempt.start
        key = self._coordinator.tasks[start.task].key
        return NodeTask(attempt.number, key, start.level, attempt.began, start.copy)
