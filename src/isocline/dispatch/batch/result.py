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
from isocline.dispatch.telemetry.timeline import Timeline, node_rows
from isocline.dispatch.user_code_guard import Caught, guarded, words
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd

_LONGEST_INTEGER = 14_000  # bits: 4 215 digits; Python writes no more than 4 300


class Failure(NamedTuple):
    """Error that a task ended with, in place of a result."""

    key: str
    chunk: str
    node: str | None  # where it was last
    error: str  # its type and words
    traceback: str | None  # of the function at its node; None: it did not raise


class Finished(NamedTuple):
    """Result of a task."""

    key: str
    chunk: str
    node: str | None  # where it ran; None: in an earlier run
    result: Any  # as JSON has it


def ended(future: TaskFuture[Any], chunk: str) -> Finished | Failure:
    """Return the outcome of a future that is done."""
    found = guarded(lambda: plain(future.result()))  # of users' types, their methods are called
    if not isinstance(found, Caught):
        return Finished(future.key, chunk, future.node, found)
    cause = guarded(lambda: found.error.__cause__)
    trace = None
    if type(cause) is RemoteTracebackError and type(found.error) is not CommandError:
        trace = str(cause.args[0])  # of a command it would show our own code
    return Failure(future.key, chunk, future.node, words(found.error), trace)


def plain(value: Any) -> Any:
    """Convert a value to JSON: nan and inf are null, arrays lists, records mappings.

    Raises:
        TypeError: The value has no form in JSON.
    """
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        raise TypeError(
            f"the result is a whole number of {value.bit_length():,} bits, more than JSON is "
            "written with; return it as text"
        )
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        entries = {str(key): plain(entry) for key, entry in value.items()}
        if len(entries) < len(value):
            raise TypeError(
                "two keys of a dict in the result are the same text in JSON, as 1 and '1' are; "
                "give it keys that differ as text"
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
        "data, or write it to a file and return its name"
    )


@final
@dataclass(frozen=True)
class BatchResult(Record):
    """Result of a batch, complete or up to where it stopped. Times in s."""

    kind: ClassVar[str] = "run"
    picture: ClassVar[str] = "plots.timeline:batch_plot"
    name: str
    policy: str
    statistics: RunStatistics
    failures: tuple[Failure, ...]
    explanation: Explanation
    timeline: Timeline
    interrupted: bool  # by Ctrl-C
    unanswered: int = 0  # chunks that have neither a result nor a failure
    problem: str | None = None  # with the journal or the output

    @property
    def status(self) -> str:
        """State in which the run ended.

        done: each chunk has a result; failed: each has a result or a failure; incomplete: some have
        neither; interrupted: the same by Ctrl-C.
        """
        if self.interrupted:
            return "interrupted"
        if self.unanswered:
            return "incomplete"
        return "failed" if self.failures else "done"

    def nodes(self) -> list[dict[str, Any]]:
        """One row for each node: its tasks, and the share of the time for which it was busy."""
        return node_rows(self.timeline.ran)

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
            "nodes": self.nodes(),
            "failures": [failure._asdict() for failure in self.failures],
            "explanation": self.explanation.to_dict(),
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each node, as `nodes`."""
        return data_frame(self.nodes()).set_index("node")
