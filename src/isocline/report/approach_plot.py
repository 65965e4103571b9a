"""One path on its way to the optimum: the gap, V, and the bound of Proposition 3."""

from typing import TYPE_CHECKING

import numpy as np

from isocline.report.style import (
    FAINT,
    INK,
    PALETTE,
    footnote,
    house,
    label_ends,
    log_axis,
    new_figure,
)
from isocline.report.words import number
from isocline.theory.approach import Approach, Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST = 1e-6  # of the largest value: below there is nothing more to be seen


@house()
def approach_picture(record: Approach) -> "Figure":
    """The gap on a linear axis to show the first phase, everything on a logarithmic one below."""
    figure = new_figure(height=4.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.4])
    above.plot(record.times, record.gap, color=PALETTE[0])
    above.set_ylabel("gap, jobs")
    above.set_ylim(bottom=0.0)
    ends = _logarithmic(below, record)
    for axes in (above, below):
        if 0.0 < record.entered < float(record.times[-1]):
            axes.axvline(record.entered, color=FAINT, lw=0.8, ls=":")
    below.set_xlabel("time, s")
    footnote(figure, _words(record))
    label_ends(below, ends)
    return figure


def _logarithmic(axes: "Axes", record: Approach) -> list[tuple[float, float, str, object]]:
    """Draw; what to write at the ends of the lines."""
    shown = record.bound > _LEAST * np.max(record.bound[np.isfinite(record.bound)])
    end = int(np.flatnonzero(shown)[-1])
    drawn = (
        ("bound V/κ", record.bound, {"color": INK, "ls": (0, (4, 2)), "lw": 1.1}),
        ("gap |ΣN − ΣN*|", record.gap, {"color": PALETTE[0]}),
        ("V, jobs/s", record.lyapunov, {"color": PALETTE[1]}),
    )
    for _, values, look in drawn:
        axes.plot(record.times[: end + 1], np.maximum(values[: end + 1], 1e-300), **look)
    axes.set_ylim(bottom=_LEAST * float(record.gap.max()))
    axes.set_xlim(float(record.times[0]), float(record.times[end]))
    log_axis(axes, "y")
    axes.set_ylabel("jobs; jobs/s")
    last = float(record.times[end])
    return [(last, float(values[end]), name, look["color"]) for name, values, look in drawn]


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


def _fit(fit: Fit) -> str:
    return f" (R² {fit.r_squared:.3f})"
