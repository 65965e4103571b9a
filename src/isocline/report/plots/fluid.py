"""Picture of a trajectory of the fluid: workloads and V, with the times at which tiers change."""

from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.plural import stem_of
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import footnote, heading, house, log_axis, looks, new_figure
from isocline.report.plots.theme import theme
from isocline.report.words import number
from isocline.theory.routing.fluid_path import FluidPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 12  # most backends with a label each
_MARKED = 30  # most changes of tiers with a line each
_RESTING = 1e-6  # share of the largest V below which the fluid counts as at rest


@house()
def fluid_plot(path: FluidPath) -> "Figure":
    """Workloads with dashed equilibria above, the Lyapunov function below."""
    figure = new_figure(height=4.9)
    colors = theme()
    heading(figure, f"{path.system}: GMSR's fluid, jobs at each backend and V over time")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    ends = _workloads(above, path, _end(path))
    end = _end(path)
    below.plot(
        path.times[: end + 1],
        np.maximum(path.lyapunov[: end + 1], 1e-300),
        color=colors.ink,
        lw=1.2,
    )
    log_axis(below, "y", "V, jobs/s")
    below.set_xlabel("time, s")
    below.set_xlim(0, float(path.times[end]))
    if len(path.tiers) <= _MARKED:
        for change in (c for c in path.tiers[1:] if c.time <= path.times[end]):
            for axes in (above, below):
                axes.axvline(change.time, color=colors.faint, lw=0.6, ls=":")
    footnote(
        figure,
        "Fluid model of GMSR, the differential inclusion of Eq. (3). Dashed: the equilibrium, "
        f"which is the optimum of Eq. (1){_of_which(path)}. Dotted: tiers change. V = sum of "
        "|dN/dt|. "
        f"Error below {number(path.error, 2)} jobs.",
    )
    if ends:
        label_ends(above, ends)
    return figure


def _of_which(path: FluidPath) -> str:
    return "" if path.equilibrium is not None else " of the backends that come to rest"


def _end(path: FluidPath) -> int:
    """Index of the first time from which on the fluid is practically at rest."""
    moving = np.flatnonzero(path.lyapunov > _RESTING * path.lyapunov.max())
    return min(int(moving.max(initial=0)) + 1, path.times.size - 1)


def _workloads(axes: "Axes", path: FluidPath, end: int) -> list[End]:
    """Draw the lines of all backends; returns their ends with labels."""
    kinds = list(dict.fromkeys(map(stem_of, path.backends)))
    named = path.backends if len(path.backends) <= _NAMED else ()
    ends: list[End] = []
    colors = theme()
    each = looks(len(path.backends)) if named else []
    for b, name in enumerate(path.backends):
        at = b if len(path.backends) <= len(colors.palette) else kinds.index(stem_of(name))
        color = colors.palette[at] if at < len(colors.palette) else colors.faint
        look: dict[str, Any] = {"color": color}
        if named and len(kinds) > len(colors.palette):
            look = each[b] | {"marker": None}
            color = look["color"]
        jobs = path.workloads[: end + 1, b]
        axes.plot(path.times[: end + 1], jobs, lw=1.3 if named else 0.7, **look)
        if name in path.resting and named:
            axes.axhline(path.resting[name], color=color, lw=0.8, ls=(0, (4, 3)))
        if named:
            ends.append(End(float(path.times[end]), float(jobs[-1]), name, color))
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("jobs at a backend")
    return ends
