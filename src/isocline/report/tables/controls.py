"""Table of a running router's backends and their controls, for `isocline control`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from isocline.report.tables.style import Column, names, table

_STATES = ("draining", "ejected", "full")


def controls_report(backends: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Table of the document of `GET /api/backends`."""
    columns: list[Column[Mapping[str, Any]]] = [
        names("backend", lambda row: row["name"]),
        names("state", _state),
        Column("in flight", lambda row: _number(row["in_flight"])),
        Column("weight", lambda row: _number(row["weight"])),
        Column("max share", lambda row: "-" if row["max_share"] == 1 else f"{row['max_share']:g}"),
        names("curve", _curve),
        names("changed by", lambda row: ", ".join(sorted(set(row["changed_by"].values()))) or "-"),
    ]
    return table("backends", columns, backends)


def _state(row: Mapping[str, Any]) -> str:
    """States in words; if workers differ, with the share of workers in each state."""
    state = row["state"]
    if not state:
        return "unknown"
    found = [_share(it, state[it]) for it in _STATES if state[it]]
    if state["up"] < 1.0:
        found.insert(0, _share("down", 1.0 - state["up"]))
    return ", ".join(found) or "up"


def _share(state: str, share: float) -> str:
    return state if share == 1.0 else f"{state} in {share:.0%} of the workers"


def _curve(row: Mapping[str, Any]) -> str:
    if not row["learned"]:
        return "given"
    return "frozen" if row["frozen"] else "learned"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
