"""Table of the service curves of a system, given or learned."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from isocline.learn import Known
from isocline.model.curves import Curve, PoolCurve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.plural import counted
from isocline.report.tables.learned import learned_facts, learned_report
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import listed, number, percent


class RequestCost(Protocol):
    """Learned work of a frontend's requests."""

    @property
    def name(self) -> str: ...
    @property
    def requests(self) -> float: ...
    @property
    def work(self) -> float: ...


class CurvePoint(NamedTuple):
    """Workload with the rates there."""

    jobs: float
    rate: float
    marginal_rate: float


def formula(curve: Curve) -> str:
    """Kind and parameters of a curve, without the peak: "knee, knee 16, sharpness 3"."""
    parameters = curve.parameters()
    if isinstance(curve, TableCurve):
        points = counted(len(parameters["points"]), "point")
        return f"table of {points}, {len(curve.dropped)} dropped"
    if isinstance(curve, PoolCurve):
        return "pool of " + counted(len(parameters["members"]), "member")
    inner = ", ".join(f"{k} {v:g}" for k, v in parameters.items() if k != "peak")
    return f"{curve.type}, {inner}"


def knee_of(curve: Curve) -> float:
    """Workload at which a curve bends, where its tangent at 0 reaches the peak, jobs.

    For a knee curve this is its parameter `knee`, for a hyperbolic one its `half`, for servers
    their number.
    """
    return curve.supremum / float(curve.marginal(0.0))


def curves_document(
    system: RoutingSystem,
    frontends: Sequence[RequestCost] = (),
    known: Mapping[str, Known] | None = None,
) -> dict[str, Any]:
    """JSON document of `isocline curves`; rates in the file's unit of work per second.

    Args:
        system: System with the curves.
        frontends: Learned work of a request, for each frontend.
        known: Observations of backends whose curve was learned, by name.
    """
    return {
        "kind": "routing",
        "system": system.name,
        "unit": f"{system.work.unit}/s",
        "mean_work": system.work.mean,
        "backends": [
            {"name": backend.name, **_facts(backend.curve)}
            | (
                {"learned": learned_facts(backend.curve, known[backend.name]).to_dict()}
                if known
                else {}
            )
            for backend in system.backends
        ],
        "frontends": [
            {"name": one.name, "requests": one.requests, "work": one.work} for one in frontends
        ],
    }


def curves_report(
    system: RoutingSystem,
    frontends: Sequence[RequestCost] = (),
    known: Mapping[str, Known] | None = None,
) -> RenderableType:
    """Report of `isocline curves`; see `curves_document` for the arguments."""
    work = system.work
    made = learned_report(system, known) if known else _given(system)
    per_job = f"One job is {number(work.mean)} {work.unit} on average." if work.mean != 1 else ""
    classes = [_classes(work.unit, frontends)] if frontends else []
    return Group(made, *classes, Text(per_job, style="dim"))


def _given(system: RoutingSystem) -> RenderableType:
    alike: dict[str, tuple[list[str], Curve]] = {}  # backends by equal curves
    for backend in system.backends:
        key = repr((backend.curve.type, backend.curve.parameters()))
        alike.setdefault(key, ([], backend.curve))[0].append(backend.name)
    columns: list[Column[tuple[list[str], Curve, CurvePoint]]] = [
        Column("backend", lambda row: row[0], lambda named: listed(named, 3), left=True),
        names("curve", lambda row: formula(row[1]) if row[0] else ""),
        Column("peak", lambda row: f"{row[1].supremum:g}" if row[0] else ""),
        Column("N", lambda row: f"{row[2].jobs:.4g}"),
        Column("rate", lambda row: row[2].rate, number),
        Column("of peak", lambda row: row[2].rate / row[1].supremum, percent),
        Column("marginal rate", lambda row: row[2].marginal_rate, number),
    ]
    rows, ends = [], set()
    for named, curve in list(alike.values())[:MOST_ROWS]:
        points = _points(curve)
        rows += [(named if i == 0 else [], curve, point) for i, point in enumerate(points)]
        ends.add(len(rows) - 1)
    title = f"{system.name}: service curves in {system.work.unit}/s"
    return table(title, columns, rows, ends=ends.__contains__)


def _classes(unit: str, frontends: Sequence[RequestCost]) -> RenderableType:
    columns: list[Column[RequestCost]] = [
        names("frontend", "name"),
        Column(f"{unit} of a request", "work", number),
        Column("requests", "requests", lambda count: f"{count:.0f}"),
    ]
    return table("work of requests", columns, frontends)


def _facts(curve: Curve) -> dict[str, Any]:
    return {
        "type": curve.type,
        "parameters": curve.parameters(),
        "peak": curve.supremum,
        "knee": knee_of(curve),
        "strictly_concave": curve.strictly_concave,
        "dropped": [list(point) for point in _dropped(curve)],
        "at": [point._asdict() for point in _points(curve)],
    }


def _points(curve: Curve) -> list[CurvePoint]:
    knee = knee_of(curve)
    workloads = np.unique([1.0, knee, 2.0 * knee, 4.0 * knee]).tolist()
    return [CurvePoint(n, float(curve.rate(n)), float(curve.marginal(n))) for n in workloads]


def _dropped(curve: Curve) -> Sequence[tuple[float, float]]:
    return curve.dropped if isinstance(curve, TableCurve) else ()
