"""Picture of a trajectory to the optimum: the gap, V, and the bound of Proposition 3."""

from typing import TYPE_CHECKING

import numpy as np

from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import BOUND, footnote, heading, house, log_axis, new_figure
from isocline.report.plots.theme import theme
from isocline.report.words import number
from isocline.theory.routing.convergence_phases import Approach, PhaseFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST = 1e-6  # share of the largest value below which nothing is shown


@house()
def approach_picture(record: Approach) -> "Figure":
    """Gap on a linear axis, for the first phase; below, everything on a logarithmic axis."""
    figure = new_figure(height=4.7)
    colors = theme()
    heading(figure, f"{record.system}: GMSR on its way to the optimum")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.4])
    above.plot(record.times, record.gap, color=colors.palette[0])
    above.set_ylabel("gap, jobs")
    above.set_ylim(bottom=0.0)
    ends = _logarithmic(below, record)
    for axes in (above, below):
        if 0.0 < record.entered < float(record.times[-1]):
            axes.axvline(record.entered, color=colors.faint, lw=0.8, ls=":")
    below.set_xlabel("time, s")
    footnote(figure, _words(record))
    label_ends(below, ends)
    return figure


def _logarithmic(axes: "Axes", record: Approach) -> list[End]:
    """Draw the lines; returns their ends with labels."""
    colors = theme()
    shown = record.bound > _LEAST * np.max(record.bound[np.isfinite(record.bound)])
    end = int(np.flatnonzero(shown)[-1])
    drawn = (
        ("bound V/κ", record.bound, {"color": colors.ink} | BOUND),
        ("gap |ΣN − ΣN*|", record.gap, {"color": colors.palette[0]}),
        ("V, jobs/s", record.lyapunov, {"color": colors.palette[1]}),
    )
    for _, values, look in drawn:
        axes.plot(record.times[: end + 1], np.maximum(values[: end + 1], 1e-300), **look)
    axes.set_ylim(bottom=_LEAST * float(record.gap.max()))
    axes.set_xlim(float(record.times[0]), float(record.times[end]))
    log_axis(axes, "y", "jobs; jobs/s")
    last = float(record.times[end])
    return [End(last, float(values[end]), name, look["color"]) for name, values, look in drawn]


def _words(record: Approach) -> str:
    said = ["GMSR's fluid (Theorem 3). V/κ with the largest κ that holds at N (Proposition 3)."]
    if record.entered > 0.0:
        said.append("Dotted: the path enters K.")
    if record.linear:
        said.append(
            f"Before that the total changes by {number(record.linear.slope, 3)} jobs/s"
            f"{_fit(record.linear)};"
        )
    if record.exponential:
        said.append(
            f"inside, V falls at {number(-record.exponential.slope, 3)} /s"
            f"{_fit(record.exponential)}, κ of the proof being {number(record.kappa, 3)} and the "
            f"largest {number(record.kappa_largest, 3)} /s."
        )
    return " ".join(said)


def _fit(fit: PhaseFit) -> str:
    return f" (R² {fit.r_squared:.3f})"
