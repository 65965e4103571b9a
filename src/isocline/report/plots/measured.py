"""Picture of a measured curve: points as dots, interval, curve, peak, and what was cut."""

from typing import TYPE_CHECKING

import numpy as np

from isocline.measurements import MeasuredCurve, MeasuredPoint
from isocline.plural import counted
from isocline.report.plots.lettering import SMALL
from isocline.report.plots.style import footnote, heading, house, key, log_axis, new_figure
from isocline.report.plots.theme import theme
from isocline.report.words import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STEPS = 300
_ROOM = 1.25  # of the highest rate, for intervals and the label of the peak


@house()
def measured_plot(curve: MeasuredCurve) -> "Figure":
    """Workload on a logarithmic axis; the rate from 0."""
    figure = new_figure(height=4.0)
    heading(figure, f"{curve.name}: service curve as it was measured")
    footnote(figure, _small_print(curve))
    axes = figure.subplots()
    color = theme().palette[0]
    first, last = curve.points[0].workload, curve.points[-1].workload
    n = np.geomspace(min(first, 1.0, last / 1.5), last, _STEPS)
    low, high = curve.bounds(n)
    rates = curve.curve.rate(n)
    top = _ROOM * max(float(rates.max()), *(point.rate for point in curve.points))
    axes.fill_between(
        n, low, np.minimum(high, 2.0 * top), color=color, alpha=0.15, lw=0, label="95 % interval"
    )
    axes.plot(n, rates, color=color, label="curve")
    _dots(axes, curve.kept, "o", "measured")
    _dots(axes, [cut.point for cut in curve.cut], "x", "measured, cut")
    log_axis(axes, "x", "workload N, jobs")
    axes.set(ylabel=f"service rate, {curve.unit}/s", ylim=(0.0, top))
    if curve.peak is not None:
        _mark(axes, curve.peak.workload, curve.peak.rate, f"peak {number(curve.peak.rate)}")
    key(figure, axes.get_legend_handles_labels()[0])
    return figure


def _dots(axes: "Axes", points: "Sequence[MeasuredPoint]", marker: str, label: str) -> None:
    if not points:
        return
    color = theme().palette[1]
    n, rate = ([getattr(point, name) for point in points] for name in ("workload", "rate"))
    # 95 % of a normal law, where the error is known.
    error = [1.96 * point.spread * point.rate if point.counted else 0.0 for point in points]
    axes.errorbar(n, rate, error, fmt="none", ecolor=color, elinewidth=0.8, zorder=3)
    axes.plot(n, rate, marker, color=color, ms=4.5, zorder=4, label=label)


def _mark(axes: "Axes", workload: float, rate: float, words: str) -> None:
    axes.axvline(workload, color=theme().faint, lw=0.8, zorder=1)
    axes.annotate(
        words, (workload, rate), xytext=(-4, 12), ha="right", va="bottom",
        textcoords="offset points", fontsize=SMALL,
    )  # fmt: skip


def _small_print(curve: MeasuredCurve) -> str:
    held = curve.held_out
    said = [f"{counted(len(curve.points), 'workload')} measured."]
    if any(point.counted for point in curve.points):
        said.append("Upright lines: 95 % by the counts of each point.")
    if curve.peak is None:
        said.append("The rate still rises at the last point; beyond, the curve stays level.")
    if held:
        said.append(
            f"Each point with others on both sides, predicted by those: {curve.within(0.1)} of "
            f"{len(held)} within 10 %."
        )
    return " ".join(said)
