"""Learned curves with their intervals, and how far each was seen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import RenderableType

from isocline.learn import Known
from isocline.model.curves import Curve
from isocline.report.tables.style import MOST_ROWS, table
from isocline.report.words import number


def learned_facts(curve: Curve, known: Known) -> dict[str, Any]:
    """What was seen of a learned curve: the key `learned` of a backend in `isocline curves`.

    Rates are in the file's unit per second; an upper end that is null is not known.
    """
    peak = known.capacity.holding(curve.supremum)
    seen = known.seen
    levels = sorted({1, max(seen // 4, 1), max(seen // 2, 1), max(seen, 1), 2 * max(seen, 1)})
    rates = curve.rate(np.array(levels, dtype=np.float64)).tolist()
    points = known.intervals(list(zip(map(float, levels), rates, strict=True)))
    return {
        "completions": float(known.completions.sum()),
        "seen": seen,
        "cut": known.cut,
        "capacity": {"low": peak.low, "high": peak.high},
        "at": [
            {
                "jobs": n,
                "rate": rate,
                "low": low,
                "high": high,
                "completions": _completions(known, n),
                "extrapolated": n > seen,
            }
            for n, rate, (_, low, high) in zip(levels, rates, points, strict=True)
        ],
        "observed": [
            {
                "from": group.first,
                "to": group.last,
                "jobs": group.jobs,
                "completions": group.completions,
                "seconds": group.seconds,
                "rate": group.rate,
            }
            for group in known.groups
        ],
    }


def learned_report(document: Mapping[str, Any]) -> RenderableType:
    """The table that `isocline curves` prints of learned curves."""
    made = table(
        f"{document['system']}: service curves in {document['unit']}, 95 % intervals",
        [
            ("backend", "left"),
            ("peak", "left"),
            ("completions", "right"),
            ("seen up to", "left"),
            ("N", "right"),
            ("seen near N", "right"),
            ("rate", "right"),
            ("between", "left"),
        ],
    )
    for entry in document["backends"][:MOST_ROWS]:
        facts = entry["learned"]
        head = (
            entry["name"],
            _peak(facts),
            number(facts["completions"]),
            f"N = {facts['seen']}" if facts["seen"] else "never",
        )
        for i, at in enumerate(facts["at"]):
            made.add_row(
                *(head if i == 0 else ("",) * 4),
                str(at["jobs"]),
                "extrapolated" if at["extrapolated"] else number(at["completions"], 3),
                number(at["rate"]),
                f"{number(at['low'])} and {_end(at['high'])}",
            )
        made.add_section()
    return made


def _completions(known: Known, jobs: int) -> float:
    """Those in the group of workloads that holds this one."""
    return sum(it.completions for it in known.groups if it.first <= jobs <= it.last)


def _peak(facts: Mapping[str, Any]) -> str:
    low, high = facts["capacity"]["low"], facts["capacity"]["high"]
    if not facts["seen"]:
        return "unknown"
    if high is None:
        return f"at least {number(low)}, no bend seen"
    where = f", at N = {facts['cut']}" if facts["cut"] is not None else ""
    return f"{number(low)} to {number(high)}{where}"


def _end(high: float | None) -> str:
    return "unknown" if high is None else number(high)
