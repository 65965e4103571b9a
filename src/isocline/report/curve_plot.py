"""Service curves and their marginal rates; with a plan, the points at which it runs them.

In an optimal plan the backends of a tier have one marginal rate: their dots lie on a level line of
the right panel, the isocline that gives the project its name.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.model.curves import Curve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.report.curves_table import knee_of
from isocline.report.style import (
    heading,
    house,
    key,
    log_axis,
    looks,
    new_figure,
    value_axis,
)
from isocline.report.theme import theme
from isocline.report.words import listed
from isocline.theory.records import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CURVES = 12  # distinct ones; more lines than that say nothing


@house()
def curve_plot(system: RoutingSystem) -> "Figure":
    """The curves as the file gives them; measured points as dots, dropped ones as crosses."""
    groups = _distinct(system, [backend.curve for backend in system.backends])
    return _draw(f"{system.name}: service curves", groups, f"{system.work.unit}/s", jobs={})


@house()
def plan_plot(plan: Mapping[str, Any], system: RoutingSystem) -> "Figure":
    """The curves in jobs/s with the workload that an optimal plan gives each backend."""
    jobs = {entry["name"]: entry["jobs"] for entry in plan["backends"]}
    title = f"{system.name}: where the optimal plan runs each backend"
    return _draw(title, _distinct(system, system.curves), "jobs/s", jobs, plan["tiers"])


def plan_picture(plan: Plan) -> "Figure":
    """`plan_plot` of a record, for `Plan.plot()`."""
    return plan_plot(plan.to_dict(), plan.system)


def _distinct(system: RoutingSystem, curves: Sequence[Curve]) -> dict[Curve, list[str]]:
    """The first few distinct curves with the names of their backends."""
    groups: dict[Curve, list[str]] = {}
    for backend, curve in zip(system.backends, curves, strict=True):
        groups.setdefault(curve, []).append(backend.name)
    return dict(list(groups.items())[:_MOST_CURVES])


def _draw(
    title: str,
    groups: Mapping[Curve, list[str]],
    unit: str,
    jobs: Mapping[str, float],
    tiers: Sequence[Mapping[str, Any]] = (),
) -> "Figure":
    figure = new_figure(height=3.8)
    heading(figure, title)
    colors = theme()
    rate, marginal = figure.subplots(1, 2, gridspec_kw={"wspace": 0.08})
    n = _workloads(groups, jobs)
    for (curve, names), look in zip(groups.items(), looks(len(groups)), strict=True):
        line = look | {"marker": None}
        rate.plot(n, curve.rate(n), label=listed(names, 1), **line)
        marginal.plot(n, curve.marginal(n), **line)
        if isinstance(curve, TableCurve) and not jobs:
            _measured(rate, curve, look["color"])
        at = np.array([jobs[name] for name in names if name in jobs])
        at = at[at > n[0]]
        for axes, function in ((rate, curve.rate), (marginal, curve.marginal)):
            axes.plot(at, function(at), "o", color=look["color"], mec=colors.paper, ms=6, zorder=3)
    for tier in tiers:
        marginal.axhline(tier["marginal_rate"], color=colors.faint, lw=0.8, zorder=1)
    _dress(rate, marginal, groups, unit)
    key(figure, rate.get_legend_handles_labels()[0])
    return figure


def _workloads(groups: Mapping[Curve, list[str]], jobs: Mapping[str, float]) -> np.ndarray:
    knees = [knee_of(curve) for curve in groups]
    most = max(4.0 * max(knees), 1.3 * max(jobs.values(), default=0.0))
    return np.geomspace(min(knees) / 10.0, most, 400)


def _measured(axes: "Axes", curve: TableCurve, color: object) -> None:
    for points, marker in ((curve.kept, "o"), (curve.dropped, "x")):
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=color, ms=4)


def _dress(rate: "Axes", marginal: "Axes", groups: Mapping[Curve, list[str]], unit: str) -> None:
    peaks = [curve.supremum for curve in groups]
    lowest = min(float(curve.marginal(2.0 * knee_of(curve))) for curve in groups)
    highest = max(float(curve.marginal(0.0)) for curve in groups)
    for axes in (rate, marginal):
        log_axis(axes, "x", "workload N, jobs")
    value_axis(rate, "y", f"service rate, {unit}", peaks)
    log_axis(marginal, "y", f"marginal rate, {unit} per job")
    # A marginal rate falls to 0; below a tenth of what matters there is nothing to see.
    marginal.set_ylim(max(lowest / 10.0, highest * 1e-5), highest * 1.5)
