"""Tables of a path of the fluid."""

import math

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import duration, listed, number
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.plan_records import TierPlan

_MOST_TIERS = 8  # of a change
_LINES = 12  # states shown: enough to see both phases of Theorem 3


def fluid_report(path: FluidPath, name: str) -> RenderableType:
    """What `isocline fluid` prints."""
    parts: list[RenderableType] = [
        _summary(path, name),
        _states(path),
        _backends(path),
        _tiers(path),
        _accuracy(path),
    ]
    return Group(*(line for part in parts for line in (part, Text())))


def _summary(path: FluidPath, name: str) -> Text:
    text = Text.assemble(
        (f"{name}: fluid model of GMSR", "bold"),
        f"  {number(path.total_jobs[0])} jobs at the start, {number(path.total_jobs[-1])} after "
        f"{duration(float(path.times[-1]))}\n",
    )
    if path.equilibrium is None:
        return text.append("The load cannot be served: the workloads grow without end.")
    off = float(np.abs(path.workloads[-1] - path.equilibrium).sum())
    return text.append(
        f"The equilibrium has {number(float(path.equilibrium.sum()))}; workloads are "
        f"{number(off, 2)} jobs away from it in all"
    )


def _states(path: FluidPath) -> Table:
    columns: list[Column[int]] = [
        Column("time", lambda i: float(path.times[i]), _moment),
        Column("jobs", lambda i: float(path.total_jobs[i]), number),
        Column("V, jobs/s", lambda i: float(path.lyapunov[i]), number),
    ]
    shown = np.unique(np.linspace(0, path.times.size - 1, _LINES).astype(int)).tolist()
    return table("In time", columns, shown)


def _backends(path: FluidPath) -> Table:
    rest = path.equilibrium
    columns: list[Column[int]] = [
        names("backend", lambda b: path.backends[b]),
        Column("jobs at the start", lambda b: path.workloads[0, b], number),
        Column("at the end", lambda b: path.workloads[-1, b], number),
        Column("equilibrium", lambda b: None if rest is None else rest[b], number),
        Column("inflow at the end, jobs/s", lambda b: path.inflow[-1, b], number),
    ]
    return table("Backends", columns, range(len(path.backends)), most=MOST_ROWS)


def _tiers(path: FluidPath) -> Table:
    changes = path.tiers
    hidden = len(changes) > MOST_ROWS
    columns: list[Column[tuple[str, TierPlan]]] = [
        Column("time", lambda row: row[0]),
        Column("marginal jobs/s per job", lambda row: row[1].marginal_rate, _rate),
        Column("frontends", lambda row: row[1].frontends, _listed, left=True),
        Column("backends", lambda row: row[1].backends, listed, left=True),
    ]
    rows = [
        ("" if i else _moment(change.time), tier)
        for change in changes[-MOST_ROWS:]
        for i, tier in enumerate(_most(change.tiers))
    ]
    title = (
        f"Tiers (the last {MOST_ROWS} of {len(changes)} changes; --json has all)"
        if hidden
        else "Tiers, from each time on"
    )
    return table(title, columns, rows)


def _most(tiers: tuple[TierPlan, ...]) -> list[TierPlan]:
    """The first few, and a row of words for the others."""
    hidden = len(tiers) - _MOST_TIERS
    more = [TierPlan((f"and {hidden} more tiers",), (), math.nan)] if hidden > 0 else []
    return [*tiers[:_MOST_TIERS], *more]


def _rate(value: float) -> str:
    return "" if math.isnan(value) else number(value)


def _listed(frontends: tuple[str, ...]) -> str:
    return listed(frontends) or "–"


def _moment(seconds: float) -> str:
    return duration(seconds) if seconds else "0 s"


def _accuracy(path: FluidPath) -> Text:
    return Text(
        f"Estimated error {number(path.error, 2)} jobs over all backends and steps (tolerance "
        f"{path.tolerance:g} of the jobs in the system); {path.steps} steps, "
        f"{path.solves} level flows",
        style="dim",
    )
