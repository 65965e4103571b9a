"""Timeline of attempts: as rows, as a picture, and as a trace for Perfetto.

The trace is in the Trace Event Format (JSON) of Chrome's tracing, which ui.perfetto.dev opens.
Nodes are threads of one process, attempts are complete events ("X"), failures are instant events
("i"), and a counter ("C") shows waiting tasks. Perfetto drops overlapping complete events of one
thread, and treats thread 0, and a thread with the number of its process, specially. `node_rows` has
the use of each node.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, final

from isocline.dispatch.telemetry.records import AttemptRecord, Outcome
from isocline.record import Record, data_frame
from isocline.replaced_file import replace_text

if TYPE_CHECKING:
    import pandas as pd

FAILED = frozenset({Outcome.RAISED, Outcome.TIMED_OUT, Outcome.LOST})
_PID, _FIRST = 1, 2  # numbers of the process and of its first thread
_DIGITS = re.compile(r"(\d+)")
_US = 1e6  # the format's unit of time is 1 µs


@final
@dataclass(frozen=True)
class Timeline(Record):
    """Attempts in the order in which they ended; times in s since the scheduler started."""

    picture: ClassVar[str] = "plots.timeline:timeline_plot"
    attempts: tuple[AttemptRecord, ...]

    @classmethod
    def of(cls, records: Iterable[AttemptRecord]) -> Self:
        """Timeline of the started attempts in a scheduler's `records`."""
        return cls(tuple(one for one in records if one.node))

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes, in natural order."""
        return sorted({one.node for one in self.attempts}, key=natural)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each attempt."""
        return [one._asdict() for one in self.attempts]

    def to_dict(self) -> dict[str, Any]:
        return {"attempts": self.rows()}

    def to_frame(self) -> "pd.DataFrame":
        return data_frame(self.rows(), AttemptRecord._fields)

    def trace(self) -> dict[str, Any]:
        """Document in the Trace Event Format."""
        thread = {node: number for number, node in enumerate(self.nodes, _FIRST)}
        return {"displayTimeUnit": "ms", "traceEvents": list(_events(self.attempts, thread))}

    def write_trace(self, path: Path) -> Path:
        """Write the trace to a file; returns its path."""
        replace_text(path, json.dumps(self.trace(), separators=(",", ":")))
        return path


def _events(attempts: Iterable[AttemptRecord], thread: dict[str, int]) -> Iterator[dict[str, Any]]:
    yield _named("process_name", {"name": "isocline"}, _PID)
    for node, number in thread.items():
        yield _named("thread_name", {"name": node}, number)
        yield _named("thread_sort_index", {"sort_index": number}, number)
    change: Counter[float] = Counter()
    free: dict[str, float] = {}  # node -> end of its last attempt
    for entry in attempts:
        at = {"pid": _PID, "tid": thread[entry.node]}
        begun, ended = _micro(entry.started), _micro(entry.ended)
        begun, free[entry.node] = max(begun, free.get(entry.node, 0.0)), ended
        arguments = {
            "why": entry.why,
            "waited_ms": round(1e3 * max(entry.started - entry.submitted, 0.0), 3),
            "attempt": entry.attempt,
            "outcome": str(entry.outcome),
        }
        if entry.cold:
            arguments["measured"] = "no: first task of its process, or it imported modules"
        span = {"name": entry.key, "cat": entry.level, "args": arguments, **at}
        yield {"ph": "X", "ts": begun, "dur": max(ended - begun, 0.0), **span}
        if entry.outcome in FAILED:
            yield {
                "ph": "i",
                "name": str(entry.outcome),
                "cat": "failure",
                "ts": ended,
                "s": "t",
            } | at
        if entry.attempt == 1:
            change[_micro(entry.submitted)] += 1
            change[begun] -= 1
    waiting = 0
    for time, difference in sorted(change.items()):
        waiting += difference
        yield {"ph": "C", "name": "waiting", "pid": _PID, "ts": time, "args": {"tasks": waiting}}


def _named(what: str, arguments: dict[str, Any], thread: int) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": _PID, "tid": thread, "args": arguments}


def _micro(seconds: float) -> float:
    return round(seconds * _US, 1)


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key for the natural order of names, in which n2 precedes n10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name)]


class NodeRow(NamedTuple):
    """Use of one node in a run: finished tasks by locality level, failures and busy time."""

    node: str
    tasks: int
    local: int
    rack: int
    remote: int
    failed: int  # failed attempts
    busy: float  # share of time, from the first start to the last end of the run, with a task


def node_rows(attempts: Iterable[AttemptRecord]) -> list[NodeRow]:
    """One row for each node, in natural order of names."""
    started = [entry for entry in attempts if entry.node]
    first = min((entry.started for entry in started), default=0.0)
    last = max((entry.ended for entry in started), default=0.0)
    by_node: dict[str, list[AttemptRecord]] = {}
    for entry in started:
        by_node.setdefault(entry.node, []).append(entry)
    return [
        _node_row(node, by_node[node], max(last - first, 1e-9))
        for node in sorted(by_node, key=natural)
    ]


def _node_row(node: str, attempts: Sequence[AttemptRecord], length: float) -> NodeRow:
    levels = Counter(entry.level for entry in attempts if entry.outcome is Outcome.FINISHED)
    return NodeRow(
        node,
        levels.total(),
        local=levels["local"],
        rack=levels["rack"],
        remote=levels["remote"],
        failed=sum(entry.outcome in FAILED for entry in attempts),
        busy=sum(entry.ended - entry.started for entry in attempts) / length,
    )
