"""Table of learned curves with their intervals and observed ranges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from rich.console import RenderableType

from isocline.learn import Known
from isocline.model.curves import Curve
from isocline.model.fleet import RoutingSystem
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import number


class LearnedPoint(NamedTuple):
    """Workload with the rate there and its interval; a `high` of None is unknown."""

    jobs: int
    rate: float
    low: float
    high: float | None
    completions: float  # completions in the group of workloads with this one
    extrapolated: bool


@final
@dataclass(frozen=True)
class LearnedFacts:
    """Facts on a learned curve; rates in the file's unit per second."""

    low: float  # lower end for the peak
    high: float | None
    known: Known
    at: tuple[LearnedPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Value of `learned` of a backend in the JSON document of `isocline curves`."""
        return {
            "completions": float(self.known.completions.sum()),
            "seen": self.known.seen,
            "cut": self.known.cut,
            "capacity": {"low": self.low, "high": self.high},
            "at": [point._asdict() for point in self.at],
            "observed": [
                {
                    "from": group.first,
                    "to": group.last,
                    "jobs": group.jobs,
                    "completions": group.completions,
                    "seconds": group.seconds,
                    "rate": group.rate,
                }
                for group in self.known.groups
            ],
        }


def learned_facts(curve: Curve, known: Known) -> LearnedFacts:
    """Interval of the peak, and points within and beyond the observed workloads."""
    peak = known.capacity.holding(curve.supremum)
    seen = known.seen
    levels = sorted({1, max(seen // 4, 1), max(seen // 2, 1), max(seen, 1), 2 * max(seen, 1)})
    rates = curve.rate(np.array(levels, dtype=np.float64)).tolist()
    points = known.intervals(list(zip(map(float, levels), rates, strict=True)))
    return LearnedFacts(
        peak.low,
        peak.high,
        known,
        tuple(
            LearnedPoint(n, rate, low, high, _completions(known, n), n > seen)
            for n, rate, (_, low, high) in zip(levels, rates, points, strict=True)
        ),
    )


def learned_report(system: RoutingSystem, known: Mapping[str, Known]) -> RenderableType:
    """Table of learned curves in `isocline curves`."""
    # One row per point; the first of each backend has its name and facts.
    columns: list[Column[tuple[str, LearnedFacts, LearnedPoint]]] = [
        names("backend", lambda row: row[0]),
        names("peak", lambda row: _peak(row[1]) if row[0] else ""),
        Column("completions", lambda row: number(row[1].known.completions.sum()) if row[0] else ""),
        names("seen up to", lambda row: _seen(row[1].known) if row[0] else ""),
        Column("N", lambda row: row[2].jobs),
        Column("seen near N", lambda row: _near(row[2])),
        Column("rate", lambda row: row[2].rate, number),
        names("between", lambda row: f"{number(row[2].low)} and {_end(row[2].high)}"),
    ]
    rows, ends = [], set()
    for backend in system.backends[:MOST_ROWS]:
        facts = learned_facts(backend.curve, known[backend.name])
        rows += [(backend.name if i == 0 else "", facts, at) for i, at in enumerate(facts.at)]
        ends.add(len(rows) - 1)
    title = f"{system.name}: service curves in {system.work.unit}/s, 95 % intervals"
    return table(title, columns, rows, ends=ends.__contains__)


def _completions(known: Known, jobs: int) -> float:
    return sum(it.completions for it in known.groups if it.first <= jobs <= it.last)


def _peak(facts: LearnedFacts) -> str:
    if not facts.known.seen:
        return "unknown"
    if facts.high is None:
        return f"at least {number(facts.low)}, no bend seen"
    where = f", at N = {facts.known.cut}" if facts.known.cut is not None else ""
    return f"{number(facts.low)} to {number(facts.high)}{where}"


def _seen(known: Known) -> str:
    return f"N = {known.seen}" if known.seen else "never"


def _near(point: LearnedPoint) -> str:
    return "extrapolated" if point.extrapolated else number(point.completions, 3)


def _end(high: float | None) -> str:
    return "unknown" if high is None else number(high)
