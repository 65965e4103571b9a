"""Pictures of learned curves: observations with their counts, intervals, extrapolation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from isocline.learn import Known
from isocline.learn.known import Seen
from isocline.model.curves import Curve
from isocline.model.fleet import RoutingSystem
from isocline.report.plots.lettering import SMALL, short_names, width
from isocline.report.plots.style import (
    PANEL,
    footnote,
    heading,
    house,
    key,
    log_axis,
    new_figure,
    panels_in_rows,
)
from isocline.report.plots.theme import theme
from isocline.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 12  # panels
_WIDE = 3  # panels in a row with room for a line of text each
_LOW = 0.15  # share of a panel's height for a label below a dot


@house()
def learned_plot(system: RoutingSystem, known: Mapping[str, Known]) -> "Figure":
    """One panel per backend; the curves of `system` are the learned ones."""
    backends = system.backends[:_MOST]
    rows, columns = panels_in_rows(len(backends))
    figure = new_figure(height=1.2 + 2.3 * rows)
    heading(figure, f"{system.name}: service curves as they were learned")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    gap = "\n" if columns > _WIDE else " "
    said = [_said(it.curve, known[it.name]) for it in backends]
    room = PANEL / columns
    # Addresses differ at their ends: they are given a line of their own before they are cut.
    beside = columns <= _WIDE and all(
        width(f"{it.name}: {text}", weight="bold") <= room
        for it, text in zip(backends, said, strict=True)
    )
    between = " " if beside else "\n"
    names = short_names([it.name for it in backends], room, weight="bold")
    for axes, backend, name, text in zip(panels, backends, names, said, strict=False):
        _panel(axes, backend.curve, known[backend.name])
        axes.set_title(f"{name}:{between}{text}", fontsize=SMALL)
    for axes in panels[len(backends) :]:
        axes.remove()
    for axes in panels[: len(backends) : columns]:
        axes.set_ylabel(f"service rate, {system.work.unit}/s")
    for axes in panels[max(len(backends) - columns, 0) : len(backends)]:
        axes.set_xlabel(f"workload N,{gap}jobs (log scale)")
    hidden = len(system.backends) > _MOST
    footnote(
        figure,
        (f"The first {_MOST} of {len(system.backends)} backends; the CSV has all. " * hidden)
        + "Upright line: the largest workload seen. Numbers: completions seen with about so many "
        "jobs at the backend.",
    )
    key(figure, panels[0].get_legend_handles_labels()[0])
    figure.draw_without_rendering()  # settles where dots are
    for axes, backend in zip(panels, backends, strict=False):
        _write_counts(axes, known[backend.name])
    return figure


def _panel(axes: "Axes", curve: Curve, known: Known) -> None:
    end = float(max(known.seen, 1))
    n = np.geomspace(1.0, 3.0 * end, 200)
    rate = curve.rate(n)
    low, high = known.bounds(n)
    low, high = np.minimum(low, rate), np.maximum(high, rate)
    colors = theme()
    color = colors.palette[0]
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
    for group in _counted(known):
        size = 6.0 + 10.0 * np.log10(1.0 + group.completions)
        axes.scatter(group.jobs, group.rate, size, color=color, ec=colors.paper, lw=0.6, zorder=3)
    axes.scatter([], [], 25, color=color, ec=colors.paper, label="seen, with the completions")
    axes.axvline(end, color=colors.faint, lw=0.8, zorder=1)
    log_axis(axes, "x")
    axes.set_ylim(0.0, top)


def _counted(known: Known) -> list[Seen]:
    return [group for group in known.groups if group.completions >= 1.0]


def _write_counts(axes: "Axes", known: Known) -> None:
    """Write completions above and below the dots in turn, where there is room."""
    taken: list[Bbox] = []
    for i, group in enumerate(_counted(known)):
        low = group.rate < _LOW * axes.get_ylim()[1]  # the axis would cross what is below
        for side in (8,) if low else (8, -8) if i % 2 else (-8, 8):
            count = axes.annotate(
                _count(group.completions), (group.jobs, group.rate), xytext=(0, side),
                textcoords="offset points", ha="center", va="center", fontsize=SMALL, zorder=4,
                # Lines run beneath.
                path_effects=[withStroke(linewidth=2.0, foreground=theme().paper)],
            )  # fmt: skip
            box = count.get_window_extent()
            if not any(box.padded(2.0).overlaps(other) for other in taken):
                taken.append(box)
                break
            count.remove()


def _count(completions: float) -> str:
    return f"{completions / 1000.0:.1f}k" if completions >= 1000.0 else f"{completions:.0f}"


def _said(curve: Curve, known: Known) -> str:
    if known.seen == 0:
        return "never seen"
    low, high = known.capacity.holding(curve.supremum)
    if high is None:
        return f"peak ≥ {number(low, 3)}"
    return f"peak {number(low, 3)} to {number(high, 3)}"
