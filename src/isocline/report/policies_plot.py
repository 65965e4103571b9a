"""One comparison at a glance: a dot with its interval for each policy, and the bound."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from isocline.report.conditions import conditions
from isocline.report.style import (
    BOUND,
    footnote,
    heading,
    house,
    new_figure,
    policy_looks,
    value_axis,
)
from isocline.report.theme import theme
from isocline.report.words import number, time_unit
from isocline.simulate.results import Comparison, Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@house()
def policies_plot(comparison: Comparison) -> "Figure":
    """Mean latency on the left; where it was measured, the 99th percentile on the right."""
    policies = comparison.policies
    panels: list[tuple[str, list[Estimate | None]]] = [
        ("mean latency", [p.mean_latency for p in policies])
    ]
    if any(p.p99 for p in policies):
        panels.append(("99th percentile", [p.p99 for p in policies]))
    figure = new_figure(height=2.1 + 0.26 * len(policies))
    colors = [look["color"] for look in policy_looks(policies)]
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    lowest = [comparison.lower_bound_latency, math.nan]
    for axes, (title, estimates), bound in zip(row, panels, lowest, strict=False):
        _dots(axes, title, estimates, colors, bound)
    scale, _ = time_unit(e and e.value for e in panels[0][1])
    if not math.isnan(comparison.lower_bound):
        bound = comparison.lower_bound_latency / scale
        row[0].axvline(bound, color=theme().ink, **BOUND)
        row[0].annotate(
            "bound", (bound, 1.0), xycoords=("data", "axes fraction"),
            xytext=(3, 0), textcoords="offset points", va="top", fontsize=8,
        )  # fmt: skip
    row[0].set_yticks(range(len(policies)), [p.policy for p in policies])
    row[0].set_ylim(len(policies) - 0.5, -0.9)  # the first on top, with room for "bound"
    heading(figure, f"{comparison.system}: latency of each policy")
    footnote(figure, conditions(comparison))
    return figure


def _dots(
    axes: "Axes",
    title: str,
    estimates: Sequence[Estimate | None],
    colors: Sequence[str],
    bound: float,
) -> None:
    """A dot with its interval, and its value beside it: dots that are close are told apart."""
    scale, unit = time_unit(e and e.value for e in estimates)
    known = [e.value for e in estimates if e is not None]
    for y, estimate in enumerate(estimates):
        if estimate is None:
            axes.annotate("unstable", (0.98, y), xycoords=("axes fraction", "data"), ha="right",
                          va="center", color=theme().note, fontsize=8)  # fmt: skip
            continue
        axes.errorbar(estimate.value / scale, y, xerr=estimate.half_width / scale, fmt="o",
                      color=colors[y], ms=3.5, capsize=3, elinewidth=1)  # fmt: skip
    shown = known if math.isnan(bound) else [bound, *known]
    value_axis(axes, "x", f"{title}, {unit}", [value / scale for value in shown])
    axes.margins(x=0.1)
    for y, estimate in enumerate(estimates):
        if estimate is not None:
            _value(axes, y, estimate, scale)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _value(axes: "Axes", y: int, estimate: Estimate, scale: float) -> None:
    """On the side of the dot that has more room."""
    low, high = estimate.low / scale, estimate.high / scale
    across = (axes.transData - axes.transAxes).transform((estimate.value / scale, y))[0]
    at, shift, side = (high, 6, "left") if across < 0.5 else (low, -6, "right")
    axes.annotate(
        number(estimate.value / scale), (at, y), xytext=(shift, 0), textcoords="offset points",
        ha=side, va="center", fontsize=8,
    )  # fmt: skip
