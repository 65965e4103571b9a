"""The picture of Figure 3 of the near-data paper, in all readings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.report.reproduce.page import GREY, panel_title, small_print
from isocline.report.style import FAINT, INK, PALETTE, house, log_axis, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from isocline.report.reproduce.neardata_fig3 import Curve, Reading

TICKS = (0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
BORDER = 0.75  # between the paper's two load regions, which it draws on different scales
LINES = {1.0: "-", 10.0: "--", 0.0: ":"}  # by slots per service
MARKS = {1.0: "s", 10.0: "^", 0.0: "o"}
POLICIES = {"local first": PALETTE[0], "JSQ-MaxWeight": PALETTE[1]}
COUNT_COLORS = {"all": PALETTE[3], "waiting": PALETTE[2]}
COUNTS = {"all": "lengths count all tasks", "waiting": "lengths count waiting tasks"}
TITLES = {"even": "even", "hot": "hot spot"}


@house()
def draw(curves: Sequence["Curve"], conditions: str) -> "Figure":
    """Completion times by traffic and rule of counting; below, the ratios."""
    figure = new_figure(height=9.0)
    grid = figure.subplots(3, 2, sharex=True, sharey="row", height_ratios=[1.0, 1.0, 1.3])
    for i, traffic in enumerate(TITLES):
        for j, (count, words) in enumerate(COUNTS.items()):
            axes = grid[i][j]
            chosen = [c for c in curves if c.traffic == traffic and c.reading.count == count]
            _times(axes, chosen)
            panel_title(axes, "abcd"[2 * i + j], f"{TITLES[traffic]}; {words}")
    for j, traffic in enumerate(TITLES):
        axes = grid[2][j]
        _ratios(axes, [c for c in curves if c.traffic == traffic])
        panel_title(axes, "ef"[j], f"{TITLES[traffic]}: ratio of the two")
        axes.set_xlabel("load")
    _regions(grid[0][0])
    for count, color in COUNT_COLORS.items():
        grid[2][0].plot([], [], color=color, label=COUNTS[count])
    grid[2][0].legend(loc="upper left")
    for axes in grid[:2, 0]:
        axes.set_ylabel("mean completion time × α")
    grid[2][0].set_ylabel("JSQ-MaxWeight over local first")
    for axes in grid[:, 0]:
        log_axis(axes, "y")
    _legend(figure, grid[0][0])
    small_print(figure, conditions)
    return figure


def _loads(axes: "Axes") -> None:
    """Loads near 1 apart from one another, as completion times are."""
    axes.set_xscale(
        "function",
        functions=(lambda x: -np.log1p(-np.minimum(x, 0.9999)), lambda y: -np.expm1(-y)),
    )
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.axvline(BORDER, color=FAINT, lw=0.8)


def _regions(axes: "Axes") -> None:
    for side, words in (("right", "low to\nmedium "), ("left", " medium\n to high")):
        axes.annotate(words, (BORDER, 1.0), xycoords=("data", "axes fraction"), ha=side, va="top",
                      fontsize=7, color=GREY)  # fmt: skip


def _times(axes: "Axes", curves: Iterable["Curve"]) -> None:
    for curve in curves:
        for policy, color in enumerate(POLICIES.values()):
            found = curve.completion(policy)
            axes.errorbar(
                curve.loads, [e.value for e in found], [e.half_width for e in found],
                capsize=1.5, elinewidth=0.8, **_look(curve.reading, color),
            )  # fmt: skip
    _loads(axes)


def _ratios(axes: "Axes", curves: Sequence["Curve"]) -> None:
    axes.axhline(1.0, color=INK, lw=0.8)
    axes.axhline(4.0, color=INK, lw=1.0, ls=(0, (4, 2)))
    axes.annotate("the paper: up to 4", (0.02, 4.0), xycoords=("axes fraction", "data"),
                  xytext=(0, 3), textcoords="offset points", fontsize=8)  # fmt: skip
    for curve in curves:
        ratios, color = curve.ratios, COUNT_COLORS[curve.reading.count]
        axes.errorbar(
            curve.loads, [r.value for r in ratios], [r.half_width for r in ratios],
            capsize=1.5, elinewidth=0.8, **_look(curve.reading, color),
        )  # fmt: skip
    _loads(axes)


def _look(reading: "Reading", color: str) -> Mapping[str, Any]:
    return {"color": color, "ls": LINES[reading.slots], "marker": MARKS[reading.slots],
            "ms": 3, "lw": 1.1}  # fmt: skip


def _legend(figure: "Figure", axes: "Axes") -> None:
    handles = [axes.plot([], [], color=c, label=name)[0] for name, c in POLICIES.items()]
    for slots, words in ((1.0, "slots, α = 1"), (10.0, "slots, α = 0.1"), (0.0, "continuous")):
        handles += axes.plot([], [], color=INK, ls=LINES[slots], marker=MARKS[slots], ms=3, lw=1.1,
                             label=words)  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
