"""Table of the service curves of a system, and of what is known of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from isocline.learn import Known
from isocline.model.curves import Curve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.plural import counted
from isocline.report.tables.learned import learned_facts, learned_report
from isocline.report.tables.style import MOST_ROWS, table
from isocline.report.words import listed, number


def knee_of(curve: Curve) -> float:
    """The workload at which a curve bends: where it serves l'(0) N for its peak, in jobs.

    For a knee curve that is its parameter `knee`, for a hyperbolic one its `half`, for servers
    their count.
    """
    return curve.supremum / float(curve.marginal(0.0))


def curves_document(
    system: RoutingSystem,
    frontends: Sequence[Mapping[str, Any]] = (),
    known: Mapping[str, Known] | None = None,
) -> dict[str, Any]:
    """The JSON document of `isocline curves`; rates in the file's unit of work per second.

    `frontends`: name, requests seen and the work of one, where that was learned. `known`: what was
    seen of each backend, by name, where its curve was learned.
    """
    return {
        "kind": "routing",
        "system": system.name,
        "unit": f"{system.work.unit}/s",
        "mean_work": system.work.mean,
        "backends": [
            {"name": backend.name, **_facts(backend.curve)}
            | ({"learned": learned_facts(backend.curve, known[backend.name])} if known else {})
            for backend in system.backends
        ],
        "frontends": [dict(one) for one in frontends],
    }


def curves_report(document: dict[str, Any]) -> RenderableType:
    """What `isocline curves` prints."""
    unit = document["unit"]
    learned = all("learned" in entry for entry in document["backends"])
    made = learned_report(document) if learned else _given(document)
    work = document["mean_work"]
    per_job = (
        f"One job is {number(work)} {unit.removesuffix('/s')} on average." if work != 1 else ""
    )
    classes = [_classes(document)] if document["frontends"] else []
    return Group(made, *classes, Text(per_job, style="dim"))


def _given(document: dict[str, Any]) -> RenderableType:
    unit, backends = document["unit"], document["backends"]
    made = table(
        f"{document['system']}: service curves in {unit}",
        [
            ("backend", "left"),
            ("curve", "left"),
            ("peak", "right"),
            ("N", "right"),
            ("rate", "right"),
            ("of peak", "right"),
            ("marginal rate", "right"),
        ],
    )
    for names, entry in list(_alike(backends).values())[:MOST_ROWS]:
        for i, at in enumerate(entry["at"]):
            head = (
                (listed(names, 3), _formula(entry), f"{entry['peak']:g}") if i == 0 else ("",) * 3
            )
            share = f"{at['rate'] / entry['peak']:.1%}"
            made.add_row(
                *head, f"{at['jobs']:.4g}", number(at["rate"]), share, number(at["marginal_rate"])
            )
        made.add_section()
    return made


def _classes(document: dict[str, Any]) -> RenderableType:
    unit = document["unit"].removesuffix("/s")
    made = table(
        "work of requests",
        [("frontend", "left"), (f"{unit} of a request", "right"), ("requests", "right")],
    )
    for one in document["frontends"]:
        made.add_row(one["name"], number(one["work"]), f"{one['requests']:.0f}")
    return made


def _facts(curve: Curve) -> dict[str, Any]:
    knee = knee_of(curve)
    return {
        "type": curve.type,
        "parameters": curve.parameters(),
        "peak": curve.supremum,
        "knee": knee,
        "strictly_concave": curve.strictly_concave,
        "dropped": [list(point) for point in curve.dropped]
        if isinstance(curve, TableCurve)
        else [],
        "at": [
            {
                "jobs": n,
                "rate": float(curve.rate(n)),
                "marginal_rate": float(curve.marginal(n)),
            }
            for n in np.unique([1.0, knee, 2.0 * knee, 4.0 * knee]).tolist()
        ],
    }


def _alike(backends: list[dict[str, Any]]) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Backends with one curve, together."""
    groups: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for entry in backends:
        key = repr((entry["type"], entry["parameters"]))
        groups.setdefault(key, ([], entry))[0].append(entry["name"])
    return groups


def _formula(entry: dict[str, Any]) -> str:
    if entry["type"] == "table":
        points = entry["parameters"]["points"]
        return f"table of {counted(len(points), 'point')}, {len(entry['dropped'])} dropped"
    if entry["type"] == "pool":
        return "pool of " + counted(len(entry["parameters"]["members"]), "member")
    inner = ", ".join(f"{k} {v:g}" for k, v in entry["parameters"].items() if k != "peak")
    return f"{entry['type']}, {inner}"
