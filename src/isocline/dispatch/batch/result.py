"""Results of a batch and of its tasks, as frozen records of plain data."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

from isocline.dispatch.batch.command import CommandError
from isocline.dispatch.coordinator.run_statistics import RunStatistics
from isocline.dispatch.errors import RemoteTracebackError
from isocline.dispatch.explain import Explanation
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.telemetry.timeline import NodeRow, Timeline, node_rows
from isocline.dispatch.user_code_guard import Caught, guarded, words
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd

_LONGEST_INTEGER = 14_000  # bits: 4215 digits; Python converts at most 4300


class Failure(NamedTuple):
    """Error with which a task ended, in place of a result."""

    key: str
    chunk: str | None  # None: of a task that combines results
    node: str | None  # node of its last attempt
    error: str  # type and text
    traceback: str | None  # of the function at its node; None: the function did not raise


class Finished(NamedTuple):
    """Result of a task."""

    key: str
    chunk: str | None  # None: that of all chunks
    node: str | None  # node at which it ran; None: in an earlier run
    result: Any  # in the form of JSON


def ended(future: TaskFuture[Any], chunk: str | None) -> Finished | Failure:
    """Return the outcome of a completed future."""
    found = guarded(lambda: plain(future.result()))  # calls methods of users' types
    if not isinstance(found, Caught):
        return Finished(future.key, chunk, future.node, found)
    cause = guarded(lambda: found.error.__cause__)
    trace = None
    if type(cause) is RemoteTracebackError and type(found.error) is not CommandError:
        trace = str(cause.args[0])  # a command's would show only our own code
    return Failure(future.key, chunk, future.node, words(found.error), trace)


def plain(value: Any) -> Any:
    """Convert a value to JSON types: nan and inf to null, arrays to lists, records to mappings.

    Raises:
        TypeError: The value has no form in JSON.
    """
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        raise TypeError(
            f"the result is a whole number of {value.bit_length():,} bits, too long for JSON; "
            "return it as text"
        )
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        entries = {str(key): plain(entry) for key, entry in value.items()}
        if len(entries) < len(value):
            raise TypeError(
                "two keys of a dict in the result are equal in JSON, such as 1 and '1'; use keys "
                "that differ as text"
            )
        return entries
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if hasattr(value, "tolist"):  # of NumPy, pandas, Arrow
        return plain(value.tolist())
    raise TypeError(
        f"the result, of type {type(value).__qualname__}, cannot be written as JSON; return plain "
        "data, or write the result to a file and return its name"
    )


@final
@dataclass(frozen=True)
class BatchResult(Record):
    """Result of a batch, complete or up to the point at which it stopped. Times in s."""

    kind: ClassVar[str] = "run"
    picture: ClassVar[str] = "plots.timeline:batch_plot"
    words: ClassVar[str] = "tables.dispatch:dispatch_report"
    name: str
    policy: str
    statistics: RunStatistics
    failures: tuple[Failure, ...]
    explanation: Explanation
    timeline: Timeline
    interrupted: bool  # whether by Ctrl-C
    unanswered: int = 0  # chunks with neither result nor failure
    problem: str | None = None  # error of journal or output

    @property
    def status(self) -> str:
        """State in which the run ended.

        done: every chunk has a result; failed: every chunk has a result or a failure; incomplete:
        some have neither; interrupted: some have neither because of Ctrl-C.
        """
        if self.interrupted:
            return "interrupted"
        if self.unanswered:
            return "incomplete"
        return "failed" if self.failures else "done"

    def nodes(self) -> list[NodeRow]:
        """One row for each node: its tasks, and the share of time for which it was busy."""
        return node_rows(self.timeline.attempts)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline run --json`, without results."""
        return {
            "kind": self.kind,
            "status": self.status,
            "name": self.name,
            "policy": self.policy,
            "unanswered": self.unanswered,
            "problem": self.problem,
            "statistics": self.statistics.to_dict(),
            "nodes": [row._asdict() for row in self.nodes()],
            "failures": [failure._asdict() for failure in self.failures],
            "explanation": self.explanation.to_dict(),
        }

    def to_frame(self) -> "pd.DataFrame":
        """Data frame of `nodes`."""
        rows = [row._asdict() for row in self.nodes()]
        return data_frame(rows, NodeRow._fields).set_index("node")
