"""Tables of a trajectory of the fluid."""

import math

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import duration, listed, number
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.plan_records import TierPlan

_MOST_TIERS = 8  # tiers shown per change
_LINES = 12  # states shown: enough for both phases of Theorem 3


def fluid_report(path: FluidPath, name: str) -> RenderableType:
    """Report of `isocline fluid`."""
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
        return text.append(_without_end(path))
    off = float(np.abs(path.workloads[-1] - path.equilibrium).sum())
    return text.append(
        f"The equilibrium has {number(float(path.equilibrium.sum()))}; workloads are "
        f"{number(off, 2)} jobs away from it in all"
    )


def _without_end(path: FluidPath) -> str:
    """Sentences for a load that cannot be served."""
    known = path.overload
    if known is None:
        return "The load cannot be served: the workloads grow without end."
    growing = [backend.name for backend in known.backends if backend.status == "growing"]
    said = f"The load cannot be served: workloads grow without end at {listed(growing)}"
    if known.arrivals > known.throughput:
        said += f", in the long run by {number(known.arrivals - known.throughput)} jobs/s in all"
    if not path.resting:
        return f"{said}."
    at = dict(zip(path.backends, path.workloads[-1].tolist(), strict=True))
    off = math.fsum(abs(at[name] - jobs) for name, jobs in path.resting.items())
    return (
        f"{said}.\nThe others come to rest; workloads there are {number(off, 2)} jobs away from it "
        "in all"
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
    rest = path.resting
    columns: list[Column[int]] = [
        names("backend", lambda b: path.backends[b]),
        Column("jobs at the start", lambda b: path.workloads[0, b], number),
        Column("at the end", lambda b: path.workloads[-1, b], number),
        Column("equilibrium", lambda b: rest.get(path.backends[b], math.inf), number),
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
    """First few tiers, and a row that counts the others."""
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
