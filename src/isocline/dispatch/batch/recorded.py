"""Recorded runs: a `BatchResult` read from its document or from a journal.

`isocline run --out DIR` writes `DIR/run.json`, the document of `--json` with the timeline. The
output of `--json` has the use of each node in place of the timeline. A journal has only the last
attempt at each task, and does not tell where data is.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from isocline.dispatch.batch.result import BatchResult, Failure
from isocline.dispatch.coordinator.run_statistics import RunStatistics
from isocline.dispatch.errors import JournalError
from isocline.dispatch.explain import Copy, Explanation, Helped
from isocline.dispatch.journal.journal import Row, read_rows
from isocline.dispatch.telemetry.records import LEVELS, AttemptRecord, Outcome
from isocline.dispatch.telemetry.timeline import NodeRow, Timeline
from isocline.errors import UsageError
from isocline.json_text import finite
from isocline.replaced_file import replace_text

RECORD = "run.json"
_JOURNAL = b"SQLite format 3\0"  # the first bytes of an SQLite file


@final
@dataclass(frozen=True)
class RecordedRun:
    """A recorded run.

    Attributes:
        result: The run; its timeline is empty if none was recorded.
        nodes: Use of each node.
        gaps: Sentences on what was not recorded.
    """

    result: BatchResult
    nodes: Sequence[NodeRow]
    gaps: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: BatchResult, *gaps: str) -> Self:
        """A run whose nodes are those of its timeline."""
        return cls(result, result.nodes(), gaps)


def write_record(result: BatchResult, path: Path) -> Path:
    """Write the document of a run, with its timeline; returns the path."""
    document = finite(result.to_dict() | {"timeline": result.timeline.rows()})
    # File names need not be UTF-8; JSON escapes them.
    replace_text(path, json.dumps(document, allow_nan=False))
    return path


def is_record(path: Path) -> bool:
    """Whether a path is a recorded run (directory, journal or document), not a system file."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            start = file.read(len(_JOURNAL))
            if start == _JOURNAL:
                return True
            if not start.lstrip().startswith(b"{"):
                return False
            document = json.loads(start + file.read())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("kind") == BatchResult.kind


def read_run(path: Path) -> RecordedRun:
    """Read a recorded run.

    Args:
        path: Directory of `isocline run --out`, document of `isocline run --json`, or journal.

    Raises:
        UsageError: The path is none of these.
        JournalError: The journal cannot be read.
    """
    if path.is_dir():
        if not (path / RECORD).is_file():
            raise UsageError(
                f"{path}: has no {RECORD}; give a directory written by `isocline run --out`, a "
                "journal, or a system file"
            )
        return read_run(path / RECORD)
    if path.read_bytes()[: len(_JOURNAL)] == _JOURNAL:
        return _from_journal(path)
    if not is_record(path):
        raise UsageError(
            f"{path}: is not a recorded run; give {RECORD} of `isocline run --out`, output of "
            "`isocline run --json`, or a journal"
        )
    document = json.loads(path.read_bytes())
    try:
        return _from_document(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path}: is not a document of `isocline run` ({type(error).__name__}: {error}); run "
            "it again with --out"
        ) from None


def _from_document(document: Mapping[str, Any]) -> RecordedRun:
    rows = document.get("timeline")
    result = BatchResult(
        name=str(document["name"]),
        policy=str(document["policy"]),
        statistics=RunStatistics(**document["statistics"]),
        failures=tuple(Failure(**row) for row in document["failures"]),
        explanation=_explanation(document["explanation"]),
        timeline=Timeline(tuple(map(_attempt, rows or ()))),
        interrupted=document["status"] == "interrupted",
        unanswered=int(document["unanswered"]),
        problem=document["problem"],
    )
    nodes = [NodeRow(**row) for row in document["nodes"]]
    gaps = () if rows is not None else (
        f"This document has no timeline: `isocline run --out DIR` writes it to DIR/{RECORD}.",
    )  # fmt: skip
    return RecordedRun(result, nodes, gaps)


def _attempt(row: Mapping[str, Any]) -> AttemptRecord:
    return AttemptRecord(**{**row, "outcome": Outcome(row["outcome"])})


def _explanation(row: Mapping[str, Any]) -> Explanation:
    return Explanation(
        **{
            **row,
            "helped": tuple(Helped(**entry) for entry in row["helped"]),
            "helpers": tuple(row["helpers"]),
            "beneficiaries": tuple(row["beneficiaries"]),
            "bottleneck": tuple(row["bottleneck"]),
            "copies": tuple(
                Copy(
                    **{
                        **entry,
                        "holders": tuple(entry["holders"]),
                        "chunks": tuple(entry["chunks"]),
                    }
                )
                for entry in row["copies"]
            ),
        }
    )


def _from_journal(path: Path) -> RecordedRun:
    rows = read_rows(path)
    if not rows:
        raise JournalError(f"journal {path}: has no tasks yet; give the journal of a started run")
    began = min(row.submitted for row in rows)
    ended = [row for row in rows if row.ended is not None]
    attempts = tuple(
        AttemptRecord(
            row.key,
            row.node,
            row.level,
            row.why,
            row.submitted - began,
            row.started - began,
            row.ended - began,
            row.attempts,
            Outcome.FINISHED if row.state == Outcome.FINISHED else Outcome.RAISED,
        )
        for row in sorted(ended, key=lambda row: row.ended or 0.0)
        if row.node and row.ended is not None
    )
    elapsed = max((row.ended - began for row in ended if row.ended is not None), default=0.0)
    failures = tuple(
        Failure(row.key, row.key, row.node or None, row.text or "no reason recorded", None)
        for row in rows
        if row.state == "failed"
    )
    states = Counter(row.state for row in rows)
    result = BatchResult(
        name=path.name,
        policy="not recorded",
        statistics=_statistics(rows, states, elapsed),
        failures=failures,
        explanation=_measured(rows, elapsed),
        timeline=Timeline(attempts),
        interrupted=False,
        unanswered=states["started"] + states["cancelled"],
    )
    return RecordedRun.of(
        result,
        "A journal has only the last attempt at each task.",
        "A journal does not tell where data is: the explanation is from times alone.",
    )


def _statistics(rows: Sequence[Row], states: Mapping[str, int], elapsed: float) -> RunStatistics:
    finished = [row for row in rows if row.state == Outcome.FINISHED]
    levels = Counter(row.level for row in finished)
    outcomes = dict.fromkeys(map(str, Outcome), 0)
    return RunStatistics(
        elapsed=elapsed,
        waiting=0,
        running=0,
        finished=len(finished),
        resumed=0,
        failed=states.get("failed", 0),
        cancelled=states.get("cancelled", 0),
        levels={level: levels[level] for level in LEVELS},
        attempts=outcomes | {str(Outcome.FINISHED): len(finished)},
        nodes=len({row.node for row in rows if row.node}),
        unwritten=0,
    )


def _measured(rows: Sequence[Row], elapsed: float) -> Explanation:
    """Explanation from times alone."""
    took: dict[str, list[float]] = {level: [] for level in LEVELS}
    for row in rows:
        if row.state == Outcome.FINISHED and row.ended is not None and row.level in took:
            took[row.level].append(row.ended - row.started)
    return Explanation(
        elapsed=elapsed,
        tasks={level: len(times) for level, times in took.items()},
        seconds={level: sum(times) / len(times) for level, times in took.items() if times},
        helped=(),
        capacity_scale=None,
        helpers=(),
        beneficiaries=(),
        bottleneck=(),
        copies=(),
        basis="a journal does not tell where data is",
    )
