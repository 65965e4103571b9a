"""A path of the fluid in words and tables."""

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.tables.style import MOST_ROWS, table
from isocline.report.words import duration, listed, number
from isocline.theory.routing.fluid_path import FluidPath

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
    made = table("In time", [("time", "right"), ("jobs", "right"), ("V, jobs/s", "right")])
    for i in np.unique(np.linspace(0, path.times.size - 1, _LINES).astype(int)):
        made.add_row(
            duration(float(path.times[i])) if path.times[i] else "0 s",
            number(float(path.total_jobs[i])),
            number(float(path.lyapunov[i])),
        )
    return made


def _backends(path: FluidPath) -> Table:
    hidden = len(path.backends) > MOST_ROWS
    made = table(
        f"Backends (first {MOST_ROWS} of {len(path.backends)}; --json has all)"
        if hidden
        else "Backends",
        [
            ("backend", "left"),
            ("jobs at the start", "right"),
            ("at the end", "right"),
            ("equilibrium", "right"),
            ("inflow at the end, jobs/s", "right"),
        ],
    )
    rest = [None] * len(path.backends) if path.equilibrium is None else path.equilibrium.tolist()
    columns = (path.workloads[0], path.workloads[-1], rest, path.inflow[-1])
    for name, *numbers in list(zip(path.backends, *columns, strict=True))[:MOST_ROWS]:
        made.add_row(name, *(number(value) for value in numbers))
    return made


def _tiers(path: FluidPath) -> Table:
    changes = path.tiers
    hidden = len(changes) > MOST_ROWS
    made = table(
        f"Tiers (the last {MOST_ROWS} of {len(changes)} changes; --json has all)"
        if hidden
        else "Tiers, from each time on",
        [
            ("time", "right"),
            ("marginal jobs/s per job", "right"),
            ("frontends", "left"),
            ("backends", "left"),
        ],
    )
    for change in changes[-MOST_ROWS:]:
        when = duration(change.time) if change.time else "0 s"
        for tier in change.tiers[:8]:
            made.add_row(
                when, number(tier.marginal_rate), listed(tier.frontends) or "–",
                listed(tier.backends),
            )  # fmt: skip
            when = ""
        if len(change.tiers) > 8:
            made.add_row("", "", f"and {len(change.tiers) - 8} more tiers", "")
    return made


def _accuracy(path: FluidPath) -> Text:
    return Text(
        f"Estimated error {number(path.error, 2)} jobs over all backends and steps (tolerance "
        f"{path.tolerance:g} of the jobs in the system); {path.steps} steps, "
        f"{path.solves} level flows",
        style="dim",
    )
