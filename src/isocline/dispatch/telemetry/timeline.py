"""Timeline of attempts: as rows, as a picture, and as a trace that Perfetto opens.

The trace is in the Trace Event Format (JSON) of Chrome's tracing; ui.perfetto.dev opens it. Nodes
are threads of one process, attempts are complete events ("X"), failures are instant events ("i"),
and a counter ("C") has the tasks that wait. Perfetto drops complete events of one thread that
overlap, and takes thread 0, as the one that is called as its process, for another. `node_rows` has
the use of each node.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

from isocline.dispatch.telemetry.records import LEVELS, Outcome, Ran
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd

FAILED = frozenset({Outcome.RAISED, Outcome.TIMED_OUT, Outcome.LOST})
_PID, _FIRST = 1, 2  # the process, and the first of its threads
_DIGITS = re.compile(r"(\d+)")
_US = 1e6  # the format's unit of time is 1 µs


@final
@dataclass(frozen=True)
class Timeline(Record):
    """Attempts in the order in which they ended; times in s since the scheduler began."""

    picture: ClassVar[str] = "plots.timeline:timeline_plot"
    ran: tuple[Ran, ...]

    @classmethod
    def of(cls, records: Iterable[Ran]) -> Self:
        """Timeline of the started attempts in a scheduler's `records`."""
        return cls(tuple(ran for ran in records if ran.node))

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes, in natural order."""
        return sorted({ran.node for ran in self.ran}, key=natural)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each attempt."""
        return [ran._asdict() for ran in self.ran]

    def to_dict(self) -> dict[str, Any]:
        return {"attempts": self.rows()}

    def to_frame(self) -> "pd.DataFrame":
        return data_frame(self.rows(), Ran._fields)

    def trace(self) -> dict[str, Any]:
        """Trace, a document in the Trace Event Format."""
        thread = {node: number for number, node in enumerate(self.nodes, _FIRST)}
        return {"displayTimeUnit": "ms", "traceEvents": list(_events(self.ran, thread))}

    def write_trace(self, path: Path) -> Path:
        """Write the trace to a file; returns its path."""
        path.write_text(json.dumps(self.trace(), separators=(",", ":")), encoding="utf-8")
        return path


def _events(ran: Iterable[Ran], thread: dict[str, int]) -> Iterator[dict[str, Any]]:
    yield _named("process_name", {"name": "isocline"}, _PID)
    for node, number in thread.items():
        yield _named("thread_name", {"name": node}, number)
        yield _named("thread_sort_index", {"sort_index": number}, number)
    change: Counter[float] = Counter()
    free: dict[str, float] = {}  # node -> end of its last attempt
    for entry in ran:
        at = {"pid": _PID, "tid": thread[entry.node]}
        begun, ended = _micro(entry.started), _micro(entry.ended)
        begun, free[entry.node] = max(begun, free.get(entry.node, 0.0)), ended
        arguments = {
            "why": entry.why,
            "waited_ms": 1e3 * (entry.started - entry.submitted),
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
    """Natural order of names, in which n2 stands before n10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name)]


def node_rows(ran: Iterable[Ran]) -> list[dict[str, Any]]:
    """One row for each node.

    Finished tasks by level, attempts that failed, and busy: the share of the time, from the first
    start anywhere to the last end, in which the node ran something.
    """
    attempts = [entry for entry in ran if entry.node]
    first = min((entry.started for entry in attempts), default=0.0)
    last = max((entry.ended for entry in attempts), default=0.0)
    rows: dict[str, dict[str, Any]] = {}
    for entry in attempts:
        empty = {
            "node": entry.node,
            "tasks": 0,
            **dict.fromkeys(LEVELS, 0),
            "failed": 0,
            "busy": 0.0,
        }
        row = rows.setdefault(entry.node, empty)
        row["busy"] += (entry.ended - entry.started) / max(last - first, 1e-9)
        row["failed"] += entry.outcome in FAILED
        if entry.outcome is Outcome.FINISHED:
            row["tasks"] += 1
            row[entry.level] += 1
    return [rows[node] for node in sorted(rows, key=natural)]
