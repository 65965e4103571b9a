"""One comparison at a glance: a dot with its interval for each policy, and the bound."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from isocline.report.conditions import conditions
from isocline.report.plots.lettering import SMALL, width
from isocline.report.plots.style import (
    footnote,
    heading,
    house,
    mark_bound,
    name_rows,
    new_figure,
    policy_looks,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.words import number, time_unit
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.results import Comparison, PolicyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 8.0  # points from the axes to the values


@house()
def policies_plot(comparison: Comparison) -> "Figure":
    """Mean latency on the left; where it was measured, the 99th percentile on the right."""
    policies = comparison.policies
    panels: list[tuple[str, list[Estimate | None], float]] = [
        ("mean latency", [p.mean_latency for p in policies], comparison.lower_bound_latency)
    ]
    if any(p.p99 for p in policies):
        panels.append(("99th percentile", [p.p99 for p in policies], math.nan))
    figure = new_figure(height=2.1 + 0.26 * len(policies))
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    row[0].set_ylim(len(policies) - 0.5, -0.9)  # the first on top, with room for "bound"
    for axes, (title, estimates, bound) in zip(row, panels, strict=True):
        _dots(axes, title, policies, estimates, bound)
    name_rows(row[0], [p.policy for p in policies])
    heading(figure, f"{comparison.system}: latency of each policy")
    footnote(figure, conditions(comparison))
    return figure


def _dots(
    axes: "Axes",
    title: str,
    policies: Sequence[PolicyResult],
    estimates: Sequence[Estimate | None],
    bound: float,
) -> None:
    """A dot with its interval for each policy, and its value in a column beside the axes."""
    known = [e.value for e in estimates if e is not None]
    scale, unit = time_unit(known)
    for y, (estimate, look) in enumerate(zip(estimates, policy_looks(policies), strict=True)):
        if estimate is not None:
            axes.errorbar(estimate.value / scale, y, xerr=estimate.half_width / scale, fmt="o",
                          color=look["color"], ms=3.5, capsize=3, elinewidth=1)  # fmt: skip
    bounded = not math.isnan(bound)
    axes.margins(x=0.1)
    if bounded:
        axes.update_datalim([(bound / scale, 0.0)], updatey=False)
    shown = [bound, *known] if bounded else known
    value_axis(axes, "x", f"{title}, {unit}", [value / scale for value in shown])
    if bounded:
        mark_bound(axes, bound / scale)
    if not shown:
        axes.set_xticks([])
    _values(axes, [
        number(e.value / scale) if e is not None else p.status if p.status != "stable" else "–"
        for p, e in zip(policies, estimates, strict=True)
    ])  # fmt: skip
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _values(axes: "Axes", texts: Sequence[str]) -> None:
    """A column to the right of the axes, where nothing is drawn that it could lie on."""
    end = _GAP + 72.0 * max(map(width, texts))
    for y, text in enumerate(texts):
        axes.annotate(
            text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(end, 0), ha="right",
            textcoords="offset points", va="center", fontsize=SMALL, annotation_clip=False,
            color=theme().ink if text[:1].isdigit() else theme().note,
        )  # fmt: skip
