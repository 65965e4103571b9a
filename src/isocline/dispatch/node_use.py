"""Use of each node and durations of tasks, from the recorded attempts."""

from collections.abc import Iterable
from typing import Any

from isocline.dispatch.records import LEVELS, Outcome, Ran
from isocline.dispatch.timeline import FAILED, natural


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
