"""Learned curves as they were seen: dots with their counts, intervals, and what is extrapolated."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patheffects import withStroke

from isocline.learn import Known
from isocline.model.curves import Curve
from isocline.model.fleet import RoutingSystem
from isocline.report.style import FAINT, PALETTE, footnote, house, log_axis, new_figure
from isocline.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 12  # panels
_COLUMNS = 3
_LOW = 0.15  # share of a panel's height that a label below a dot takes


@house()
def learned_plot(system: RoutingSystem, known: Mapping[str, Known]) -> "Figure":
    """A panel for each backend; the curves of `system` are those that were learned."""
    backends = system.backends[:_MOST]
    columns = min(len(backends), _COLUMNS)
    rows = -(-len(backends) // columns)
    figure = new_figure(height=0.5 + 2.3 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, backend in zip(panels, backends, strict=False):
        _panel(axes, backend.name, backend.curve, known[backend.name])
    for axes in panels[len(backends) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel(f"service rate, {system.work.unit}/s")
    for axes in panels[max(len(backends) - columns, 0) : len(backends)]:
        axes.set_xlabel("workload N, jobs")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    if len(system.backends) > _MOST:
        footnote(figure, f"The first {_MOST} of {len(system.backends)} backends; the CSV has all.")
    return figure


def _panel(axes: "Axes", name: str, curve: Curve, known: Known) -> None:
    end = float(max(known.seen, 1))
    n = np.geomspace(1.0, 3.0 * end, 200)
    rate = curve.rate(n)
    low, high = known.bounds(n)
    low, high = np.minimum(low, rate), np.maximum(high, rate)
    color = PALETTE[0]
    within, beyond = n <= end, n >= end
    top = 1.1 * max(
        float(curve.rate(end)),
        float(low[-1]),
        min(float(high[-1]), 2.5 * float(curve.rate(end))),
        max((group.rate for group in known.groups if group.completions >= 5), default=0.0),
    )
    shown = np.minimum(high, 2.0 * top)
    axes.fill_between(n, low, shown, color=color, alpha=0.15, lw=0, label="95 % interval")
    axes.plot(n[within], rate[within], color=color, label="as seen")
    axes.plot(n[beyond], rate[beyond], "--", color=color, lw=1.2, label="extrapolated")
    for i, group in enumerate(it for it in known.groups if it.completions >= 1.0):
        size = 6.0 + 10.0 * np.log10(1.0 + group.completions)
        axes.scatter(group.jobs, group.rate, size, color=color, ec="white", lw=0.6, zorder=3)
        axes.annotate(
            _count(group.completions),
            (group.jobs, group.rate),
            # Neighbours' labels would overlap, and the axis cross those below low dots.
            xytext=(0, 8 if i % 2 or group.rate < _LOW * top else -8),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=6,
            zorder=4,
            path_effects=[withStroke(linewidth=2.0, foreground="white")],  # lines run beneath
        )
    axes.scatter([], [], 25, color=color, ec="white", label="seen, with the completions")
    axes.axvline(end, color=FAINT, lw=0.8, zorder=1)
    log_axis(axes, "x")
    axes.set_ylim(0.0, top)
    axes.set_title(f"{name}: {_said(curve, known)}", fontsize=8)


def _count(completions: float) -> str:
    return f"{completions / 1000.0:.1f}k" if completions >= 1000.0 else f"{completions:.0f}"


def _said(curve: Curve, known: Known) -> str:
    if known.seen == 0:
        return "never seen"
    low, high = known.capacity.holding(curve.supremum)
    if high is None:
        return f"peak ≥ {number(low, 3)}"
    return f"peak {number(low, 3)} to {number(high, 3)}"
