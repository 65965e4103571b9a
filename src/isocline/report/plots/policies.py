"""Picture of one comparison: a dot with its interval for each policy, and the bound."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from isocline.report.conditions import conditions
from isocline.report.plots.latency import Panel, service_panels
from isocline.report.plots.lettering import SMALL, width
from isocline.report.plots.style import (
    footnote,
    heading,
    house,
    is_narrow,
    mark_bound,
    name_rows,
    new_figure,
    policy_looks,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.words import number, time_unit
from isocline.simulate.routing.results import Comparison, PolicyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 8.0  # points from the axes to the values


@house()
def policies_plot(comparison: Comparison) -> "Figure":
    """Mean latency on the left and, if measured, the 99th percentile on the right.

    The fates of jobs are above, if not all are served in time.
    """
    policies = comparison.policies
    panels = [*service_panels([comparison]), _of_times("mean latency", "mean_latency", comparison)]
    if any(p.p99 for p in policies):
        panels.append(_of_times("99th percentile", "p99", comparison))
    columns = 1 if is_narrow() else min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = new_figure(height=0.7 + rows * (1.4 + 0.26 * len(policies)))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    grid[0, 0].set_ylim(len(policies) - 0.5, -0.9)  # the first on top, with room for "bound"
    for axes, panel in zip(grid.ravel(), panels, strict=False):
        bound = comparison.lower_bound_latency if panel.field == "mean_latency" else math.nan
        _dots(axes, panel._replace(bound=comparison.bound_name), policies, bound)
    for axes in grid.ravel()[len(panels) :]:
        axes.remove()
    for row in grid[:, 0]:
        name_rows(row, [p.policy for p in policies])
    served = len(panels) > 2
    what = "jobs served, and latency, under each policy" if served else "latency of each policy"
    heading(figure, f"{comparison.system}: {what}")
    footnote(figure, conditions(comparison))
    return figure


def _of_times(title: str, field: str, comparison: Comparison) -> Panel:
    found = [getattr(p, field) for p in comparison.policies]
    scale, unit = time_unit([e.value for e in found if e is not None])
    return Panel(f"{title}, {unit}", field, scale)


def _dots(axes: "Axes", panel: Panel, policies: Sequence[PolicyResult], bound: float) -> None:
    """Draw a dot with interval for each policy, and values in a column beside the axes."""
    estimates = [panel.estimate(p) for p in policies]
    known = [e.value for e in estimates if e is not None]
    scale = panel.scale
    for y, (estimate, look) in enumerate(zip(estimates, policy_looks(policies), strict=True)):
        if estimate is not None:
            axes.errorbar(estimate.value / scale, y, xerr=estimate.half_width / scale, fmt="o",
                          color=look["color"], ms=3.5, capsize=3, elinewidth=1)  # fmt: skip
    bounded = not math.isnan(bound)
    axes.margins(x=0.1)
    if bounded:
        axes.update_datalim([(bound / scale, 0.0)], updatey=False)
    shown = [bound, *known] if bounded else known
    value_axis(axes, "x", panel.label, [value / scale for value in shown])
    if bounded:
        mark_bound(axes, bound / scale, panel.bound)
    if not shown:
        axes.set_xticks([])
    _values(axes, [
        number(e.value / scale) if e is not None else p.status if p.status != "stable" else "–"
        for p, e in zip(policies, estimates, strict=True)
    ])  # fmt: skip
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _values(axes: "Axes", texts: Sequence[str]) -> None:
    """Write a column to the right of the axes, where it covers nothing."""
    end = _GAP + 72.0 * max(map(width, texts))
    for y, text in enumerate(texts):
        axes.annotate(
            text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(end, 0), ha="right",
            textcoords="offset points", va="center", fontsize=SMALL, annotation_clip=False,
            color=theme().ink if text[:1].isdigit() else theme().note,
        )  # fmt: skip
