"""Picture of the tiers and the TierGraph of a state, as in Figures 3 and 4 of the GMSR paper."""

from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.report.plots.lettering import short_names
from isocline.report.plots.style import footnote, heading, house, new_figure
from isocline.report.plots.theme import theme
from isocline.report.words import number
from isocline.theory.routing.structure import Structure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_ENDS = 24  # backends, or frontends, of a graph that can be read
_ROW = 0.27  # inches
_NAME = 1.3  # inches: the longest name beside a graph
_WINDING = 0.382  # of the width, times the square of the row: no three rows are collinear

Place = tuple[float, float]


@house()
def structure_picture(record: Structure) -> "Figure":
    """Best edges solid and the others dashed; beside it the TierGraph, highest rate on top.

    With more than 24 backends or frontends, only the TierGraph is drawn.
    """
    backends = sum(len(tier.backends) for tier in record.tiers)
    frontends = sum(len(tier.frontends) for tier in record.tiers)
    small = max(backends, frontends) <= _MOST_ENDS
    rows = max(backends, frontends) if small else min(len(record.tiers), _MOST_ENDS)
    figure = new_figure(height=1.6 + _ROW * max(rows, 4))
    heading(figure, f"{record.system}: tiers at these workloads, and the TierGraph")
    if small:
        left, right = figure.subplots(1, 2)
        _graph(left, record)
    else:
        right = figure.subplots()
    _tier_graph(right, record)
    footnote(
        figure,
        "Solid: a backend of the frontend's greatest marginal rate; dashed: other connections. "
        "An arc leads to a tier that a frontend of the first could use, but for its lower marginal "
        "rate (jobs/s per job, beside the tier).",
    )
    return figure


def _color(tier: int) -> str:
    palette = theme().palette
    return palette[tier % len(palette)]


def _graph(axes: "Axes", record: Structure) -> None:
    of_backend: dict[str, int] = {}
    of_frontend: dict[str, int] = {}
    for i, tier in enumerate(record.tiers):
        of_backend |= dict.fromkeys(tier.backends, i)
        of_frontend |= dict.fromkeys(tier.frontends, i)
    # Both sides in the order of tiers, the shorter one spread over the height of the longer.
    most = max(len(of_backend), len(of_frontend))
    height = {
        side: dict(zip(names, np.linspace(0.0, most - 1.0, len(names)).tolist(), strict=True))
        if len(names) > 1
        else dict.fromkeys(names, 0.5 * (most - 1.0))
        for side, names in (("f", of_frontend), ("b", of_backend))
    }
    best = set(record.best_edges)
    for f, b in record.edges:
        solid = (f, b) in best
        look: dict[str, Any] = (
            {"color": _color(of_frontend[f]), "lw": 1.3}
            if solid
            else {"color": theme().faint, "lw": 0.7, "ls": (0, (3, 2))}
        )
        axes.plot([0, 1], [height["f"][f], height["b"][b]], zorder=1 + solid, **look)
    for x, side, of in ((0.0, "f", of_frontend), (1.0, "b", of_backend)):
        shown = short_names(list(of), _NAME)
        for (name, i), words in zip(of.items(), shown, strict=True):
            y = height[side][name]
            axes.plot(x, y, "o" if side == "f" else "s", color=_color(i), ms=6, zorder=3)
            axes.annotate(
                words, (x, y), xytext=(-7 if side == "f" else 7, 0), textcoords="offset points",
                ha="right" if side == "f" else "left", va="center", fontsize=8,
            )  # fmt: skip
    axes.set_xlim(-0.5, 1.5)
    axes.set_ylim(most - 0.5, -0.5)
    axes.set_axis_off()
    axes.set_title("frontends and backends")


def _tier_graph(axes: "Axes", record: Structure) -> None:
    """Draw the TierGraph, with tiers of equal marginal rate side by side."""
    rates = sorted({tier.marginal_rate for tier in record.tiers}, reverse=True)
    at: dict[int, Place] = {}
    for row, rate in enumerate(rates):
        here = [i for i, tier in enumerate(record.tiers) if tier.marginal_rate == rate]
        # Long graphs are curved, so that arcs past a row do not cross its tiers.
        shift = _WINDING * row**2 if len(rates) > 3 else 0.0
        at |= {i: (((k + 0.5) / len(here) + shift) % 1.0, float(row)) for k, i in enumerate(here)}
    arrow = {"arrowstyle": "-|>", "color": theme().ink, "lw": 0.9, "shrinkA": 9, "shrinkB": 9}
    for i, j in record.arcs:
        axes.annotate("", at[j], at[i], arrowprops=arrow)
    for i, tier in enumerate(record.tiers):
        axes.plot(*at[i], "o", ms=15, mfc=theme().paper, mec=_color(i), mew=1.6, zorder=3)
        axes.annotate(f"v{i + 1}", at[i], ha="center", va="center", fontsize=8, zorder=4)
        crowded = sum(other.marginal_rate == tier.marginal_rate for other in record.tiers) > 2
        beside = {"xytext": (0, -14), "ha": "center"} if crowded else {"xytext": (11, 0)}
        axes.annotate(number(tier.marginal_rate, 3), at[i], va="center", fontsize=8,
                      textcoords="offset points", zorder=4, **beside,
                      bbox={"fc": theme().paper, "ec": "none", "pad": 0.5})  # fmt: skip
    axes.set_xlim(-0.05, 1.3)
    axes.set_ylim(len(rates) - 0.5, -0.5)
    axes.set_axis_off()
    axes.set_title("TierGraph")
