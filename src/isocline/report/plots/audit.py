"""Picture of an audit: the parts of the mean latency, and what other policies would have given."""

from typing import TYPE_CHECKING

import numpy as np

from isocline.audit.result import Audit
from isocline.report.plots.lettering import SMALL
from isocline.report.plots.style import (
    footnote,
    heading,
    house,
    key,
    looks_of,
    name_rows,
    new_figure,
    value_axis,
)
from isocline.report.plots.theme import on, theme
from isocline.report.tables.audit import PARTS
from isocline.report.words import number, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHARE = 0.005  # of the latency: a part below is not drawn
_LETTERED = 0.06  # of the latency: a part below has no room for its number
_BEYOND = 2.5  # times the log's latency: what is further is written, not drawn


@house()
def audit_plot(found: Audit) -> "Figure":
    """The mean latency of the log in its parts; below, a dot with its interval for each policy."""
    rows = max(len(found.policies), 1)
    figure = new_figure(height=2.5 + 0.28 * rows)
    bar, dots = figure.subplots(2, 1, height_ratios=(1.0, 0.5 + 0.45 * rows))
    scale, unit = time_unit([found.latency])
    _bar(bar, found, scale)
    bar.set_yticks([])
    bar.spines["left"].set_visible(False)
    value_axis(bar, "x", f"mean latency of the log, {unit}", [0.0, found.latency / scale])
    _dots(dots, found, scale)
    value_axis(dots, "x", f"mean latency on the same arrivals, {unit}", _shown(found, scale))
    above = ""
    if found.above is not None and found.steady:
        above = f": {found.above.value:.0f} % above the optimum"
    heading(figure, f"{found.system.name}{above}")
    footnote(
        figure,
        f"Whiskers: 95 %. Policies are simulated on the learned curves, with the arrivals and the "
        f"work of the last {found.replayed:,} requests. Dashed: the log itself.",
    )
    key(figure, bar.get_legend_handles_labels()[0])
    return figure


def _bar(axes: "Axes", found: Audit, scale: float) -> None:
    """Parts from left to right; all in one without an optimum, or where it is rough."""
    colors = theme()
    named = [("mean latency", found.latency)]
    if found.least is not None and found.steady:
        named = [("optimum", found.least.value)]
        named += [(PARTS[it.name], it.seconds.value) for it in found.parts]
    begin = 0.0
    shades = [colors.faint, *colors.palette]
    for (name, seconds), color in zip(named, shades, strict=False):
        if seconds < _SHARE * found.latency:
            continue
        axes.barh(0.0, seconds / scale, 0.7, left=begin / scale, color=color, label=name)
        if seconds > _LETTERED * found.latency:
            axes.text(
                (begin + 0.5 * seconds) / scale, 0.0, number(seconds / scale, 3), ha="center",
                va="center", fontsize=SMALL, color=on(color),
            )  # fmt: skip
        begin += seconds
    axes.set_ylim(-0.5, 0.5)


def _dots(axes: "Axes", found: Audit, scale: float) -> None:
    policies = sorted(found.policies, key=lambda it: it.latency.value)
    names = [it.policy for it in policies]
    axes.axvline(found.replayed_latency / scale, ls="--", lw=1.0, color=theme().note, zorder=1)
    for y, (it, look) in enumerate(zip(policies, looks_of(names), strict=True)):
        if it.latency.value > _BEYOND * found.replayed_latency:
            axes.annotate(
                f"{number(it.latency.value / scale, 3)} →", (1.0, y), ha="right", va="center",
                xycoords=("axes fraction", "data"), fontsize=SMALL, color=theme().note,
            )  # fmt: skip
            continue
        axes.errorbar(it.latency.value / scale, y, xerr=it.latency.half_width / scale, fmt="o",
                      color=look["color"], ms=3.5, capsize=3, elinewidth=1)  # fmt: skip
    axes.set_ylim(len(policies) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    name_rows(axes, names)


def _shown(found: Audit, scale: float) -> list[float]:
    """Values that the lower axis has to hold."""
    ends = [found.replayed_latency]
    for it in found.policies:
        if it.latency.value <= _BEYOND * found.replayed_latency:
            ends += [it.latency.value, *filter(np.isfinite, (it.latency.low, it.latency.high))]
    return [value / scale for value in ends]
