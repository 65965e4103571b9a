"""Ledger of tasks: sets futures, keeps records, and writes the journal."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple, final

from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.errors import EngineClosedError, unpickled
from isocline.dispatch.futures import cancel_quietly, fail, finish
from isocline.dispatch.journal.identity import with_data
from isocline.dispatch.journal.journal import Journal, Row
from isocline.dispatch.submission.task import Task
from isocline.dispatch.telemetry.demand import Demand
from isocline.dispatch.telemetry.records import LEVELS, AttemptRecord, Outcome, Records
from isocline.dispatch.user_code_guard import Caught, words

_MOST_FAILURES = 100  # most recent failures kept in memory


class TaskFailure(NamedTuple):
    """A task that ended with an error."""

    key: str
    error: str  # type and text


@final
class TaskLedger:
    """Ledger of one scheduler. Times are by the event loop's clock, s.

    Attributes:
        records: Records of attempts.
        demand: Counts of tasks by holders and nodes.
        ended: Numbers of ended tasks by outcome.
        failures: Most recent tasks that ended with an error.
    """

    def __init__(
        self, nodes: Nodes, records: Records, journal: Journal | None, began: float, unix: float
    ) -> None:
        """Initialise an empty ledger; `unix` is the Unix time, s, at `began`."""
        self.records = records
        self.demand = Demand()
        self.ended: Counter[Outcome] = Counter()
        self.failures: deque[TaskFailure] = deque(maxlen=_MOST_FAILURES)
        self._nodes = nodes
        self._journal = journal
        self._began = began
        self._to_unix = unix - began
        self._first, self._last = math.inf, -math.inf  # first submission, last end

    @property
    def unwritten(self) -> int:
        """Number of rows not yet in the journal."""
        return self._journal.unwritten if self._journal else 0

    @property
    def failed_tasks(self) -> int:
        """Number of tasks that ended with an error."""
        return self.ended[Outcome.GIVEN_UP]

    def submitted(self, now: float) -> None:
        """Record a submitted task."""
        self._first = min(self._first, now)
        self._last = max(self._last, now)

    def elapsed(self, until: float | None) -> float:
        """Time from the first submission to `until`, or with None to the last end of a task, s."""
        return max((self._last if until is None else until) - self._first, 0.0)

    def started(self, task: Task, attempt: Attempt) -> None:
        """Record an attempt that was sent to its node."""
        if self._journal:
            self._note(task, "started", attempt, attempt.given)

    def attempt_ended(
        self,
        task: Task,
        attempt: Attempt,
        outcome: Outcome,
        started: float,
        now: float,
        *,
        cold: bool = False,
    ) -> None:
        """Record the end of an attempt; its task may continue elsewhere."""
        if outcome is not Outcome.FINISHED:
            self.demand.lost_seconds += now - started
        self.records.add(
            AttemptRecord(
                task.key,
                self._nodes.names[attempt.start.server],
                LEVELS[attempt.start.level],
                attempt.start.why,
                task.submitted - self._began,
                started - self._began,
                now - self._began,
                attempt.nth,
                outcome,
                cold,
                attempt.start.copy,
            )
        )

    def finished(
        self,
        task: Task,
        attempt: Attempt,
        holders: Sequence[str],
        started: float,
        now: float,
        value: bytes,
        *,
        cold: bool,
    ) -> None:
        """Set a task's result; `holders` held its chunk, `cold` is as in `Done`."""
        level, node = LEVELS[attempt.start.level], self._nodes.names[attempt.start.server]
        self._end(Outcome.FINISHED, now)
        self.attempt_ended(task, attempt, Outcome.FINISHED, started, now, cold=cold)
        self.demand.finished(task.chunk, holders, node, level, None if cold else now - started)
        if cold:
            self.demand.finished_cold(now - started)
        if self._journal:
            if task.data is not None:
                task.fingerprint = with_data(task.fingerprint, task.data())
            self._note(task, Outcome.FINISHED, attempt, started, now, value)
            task.future.identity = task.fingerprint
        if task.future.input is not None:
            task.future.input.data = value
            task.future.input.producer = node, self._nodes.losses[node]
        packed = task.future.packed
        _give(task, value if packed else unpickled(task.key, "its result", value))

    def resumed(self, task: Task, value: bytes, now: float) -> bool:
        """Set a task's result from an earlier run; returns False if it is unreadable."""
        result = unpickled(task.key, "its result", value)
        if isinstance(result, Caught):
            return False
        self._end(Outcome.RESUMED, now)
        self._not_started(task, Outcome.RESUMED, now)
        if task.future.input is not None:
            task.future.input.data = value
        _give(task, result)
        return True

    def failed(self, task: Task, error: BaseException, now: float) -> None:
        """End a task with an error."""
        self._end(Outcome.GIVEN_UP, now)
        self._not_started(task, Outcome.GIVEN_UP, now)
        text = words(error)
        self.failures.append(TaskFailure(task.key, text))
        if self._journal:
            self._note(task, "failed", None, now, now, text=text)
        fail(task.future, error)

    def cancelled(self, task: Task, now: float) -> None:
        """End a task as cancelled."""
        self._end(Outcome.CANCELLED, now)
        self._not_started(task, Outcome.CANCELLED, now)
        if self._journal and task.attempts:
            self._note(task, Outcome.CANCELLED, None, now, now)
        cancel_quietly(task.future)

    def _end(self, outcome: Outcome, now: float) -> None:
        self.ended[outcome] += 1
        self._last = max(self._last, now)

    def _not_started(self, task: Task, outcome: Outcome, now: float) -> None:
        """Record an ended task that never had an attempt."""
        if task.attempts == 0:
            at, submitted = now - self._began, task.submitted - self._began
            self.records.add(AttemptRecord(task.key, "", "", "", submitted, at, at, 0, outcome))

    def _note(
        self,
        task: Task,
        state: str,
        attempt: Attempt | None,
        started: float,
        ended: float | None = None,
        value: bytes | None = None,
        text: str | None = None,
    ) -> None:
        assert self._journal is not None
        self._journal.note(
            Row(
                task.key,
                task.fingerprint,
                str(state),
                task.attempts,
                self._nodes.names[attempt.start.server] if attempt else "",
                LEVELS[attempt.start.level] if attempt else "",
                attempt.start.why if attempt else "",
                task.submitted + self._to_unix,
                started + self._to_unix,
                None if ended is None else ended + self._to_unix,
                value,
                None,
                text,
            )
        )


def refuse(task: Task, failure: BaseException | None) -> None:
    """End a task that was submitted too late, or with the scheduler's failure."""
    why = "the scheduler was closed"
    if failure is not None:
        why = f"the scheduler failed: {words(failure)}"
    error = EngineClosedError(task.key, why)
    error.__cause__ = failure
    fail(task.future, error)


def _give(task: Task, result: Any | Caught) -> None:
    if isinstance(result, Caught):
        fail(task.future, result.error)
    else:
        finish(task.future, result)
