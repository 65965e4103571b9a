"""Pictures of service curves and their marginal rates and, with a plan, the planned workloads.

In an optimal plan, the backends of a tier have the same marginal rate: their dots lie on a level
line of the right panel, the isocline that gives the project its name.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from isocline.model.curves import Curve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.plural import counted
from isocline.report.plots.style import (
    footnote,
    heading,
    house,
    is_narrow,
    key,
    log_axis,
    looks,
    new_figure,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.tables.curves import knee_of
from isocline.report.words import duration, listed, number
from isocline.theory.routing.plan_records import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CURVES = 12  # distinct curves; more lines are unreadable


@house()
def curve_plot(system: RoutingSystem) -> "Figure":
    """Curves as given in the file, with measured points as dots and dropped ones as crosses."""
    groups = _distinct(system, [backend.curve for backend in system.backends])
    shown, unit = _most(groups), system.work.unit
    said = [_counts(system, groups), _learned_from(shown)]
    if system.work.mean != 1.0:
        said.append(f"One job is {number(system.work.mean)} {unit} on average.")
    title = f"{system.name}: service curves"
    return _draw(title, " ".join(filter(None, said)), shown, f"{unit}/s", jobs={})


@house()
def plan_picture(plan: Plan) -> "Figure":
    """Curves in jobs/s, with the workload of each backend in an optimal plan."""
    system = plan.system
    jobs = {backend.name: backend.jobs for backend in plan.backends}
    title = f"{system.name}: where the optimal plan runs each backend"
    groups = _distinct(system, system.curves)
    said = f"{_counts(system, groups)} {_optimum(plan)}"
    levels = [tier.marginal_rate for tier in plan.tiers]
    return _draw(title, said, _most(groups), "jobs/s", jobs, levels)


def _distinct(system: RoutingSystem, curves: Sequence[Curve]) -> dict[Curve, list[str]]:
    """Names of backends by distinct curve."""
    groups: dict[Curve, list[str]] = {}
    for backend, curve in zip(system.backends, curves, strict=True):
        groups.setdefault(curve, []).append(backend.name)
    return groups


def _most(groups: Mapping[Curve, list[str]]) -> dict[Curve, list[str]]:
    """The first few."""
    return dict(list(groups.items())[:_MOST_CURVES])


def _counts(system: RoutingSystem, groups: Mapping[Curve, list[str]]) -> str:
    backends, frontends = len(system.backends), len(system.frontends)
    hidden = len(groups) - _MOST_CURVES
    return (
        f"{counted(backends, 'backend')}, {counted(frontends, 'frontend')}, "
        f"{number(float(system.rates.sum()))} jobs/s"
        + (f"; the first {_MOST_CURVES} of {len(groups)} different curves." if hidden > 0 else ".")
    )


def _learned_from(groups: Mapping[Curve, list[str]]) -> str:
    tables = [curve for curve in groups if isinstance(curve, TableCurve)]
    said = "Dots: measured points" if tables else ""
    if any(curve.dropped for curve in tables):
        said += "; crosses: those left out, so that the curve rises and is concave"
    return said and f"{said}."


def _optimum(plan: Plan) -> str:
    """Sentences on the meaning of the dots, the load, and the plan's certificate."""
    proof = plan.certificate
    if proof is None or plan.total_jobs is None:
        return "No plan: the load cannot be served."
    return (
        f"Load {number(1.0 / plan.capacity_scale, 3)} of what can be served; in the optimum of "
        f"Eq. (1), the dots, {number(plan.total_jobs)} jobs in the system and a mean latency of "
        f"{duration(plan.mean_latency, 4)}. Level lines: the marginal rate of each tier. "
        f"Certificate: conservation residual {proof.conservation:.1e}, slope gap "
        f"{proof.slope_gap:.1e}."
    )


def _draw(
    title: str,
    said: str,
    groups: Mapping[Curve, list[str]],
    unit: str,
    jobs: Mapping[str, float],
    levels: Sequence[float] = (),
) -> "Figure":
    rows, columns = (2, 1) if is_narrow() else (1, 2)
    figure = new_figure(height=4.1 if rows == 1 else 6.6)
    heading(figure, title)
    footnote(figure, said)
    colors = theme()
    rate, marginal = figure.subplots(rows, columns, gridspec_kw={"wspace": 0.08})
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
    for level in levels:
        marginal.axhline(level, color=colors.faint, lw=0.8, zorder=1)
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
    # Marginal rates fall to 0; values below a tenth of the relevant ones are cut off.
    marginal.set_ylim(max(lowest / 10.0, highest * 1e-5), highest * 1.5)
