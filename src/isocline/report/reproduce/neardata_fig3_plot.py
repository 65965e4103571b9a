"""The picture of Figure 3 of the near-data paper, in all readings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.report.reproduce.page import frame, panel_title
from isocline.report.style import (
    house,
    key,
    log_axis,
    looks_of,
    new_figure,
)
from isocline.report.theme import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from isocline.report.reproduce.neardata_fig3 import Curve, Reading

TICKS = (0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
BORDER = 0.75  # between the paper's two load regions, which it draws on different scales
LINES = {1.0: "-", 10.0: "--", 0.0: ":"}  # by slots per service
MARKS = {1.0: "s", 10.0: "^", 0.0: "o"}
POLICIES = {"local first": "local_first", "JSQ-MaxWeight": "jsq_maxweight"}
COUNTS = {"all": "lengths count all tasks", "waiting": "lengths count waiting tasks"}
TITLE = "local tasks first and JSQ-MaxWeight (Figure 3)"
TITLES = {"even": "even", "hot": "hot spot"}


@house()
def draw(curves: Sequence["Curve"], conditions: str) -> "Figure":
    """Completion times by traffic and rule of counting; below, the ratios."""
    figure = new_figure(height=9.4)
    frame(figure, TITLE, conditions)
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
        axes.set_xlabel("load (scale of 1 / (1 - load))")
    _regions(grid[0][0])
    for count, color in _count_colors().items():
        grid[2][0].plot([], [], color=color, label=COUNTS[count])
    for axes in grid[:2, 0]:
        log_axis(axes, "y", "mean completion\ntime × α")
    log_axis(grid[2][0], "y", "JSQ-MaxWeight\nover local first")
    low, high = grid[2][0].get_ylim()
    grid[2][0].set_ylim(low, 2.0 * high)  # room for the legend
    grid[2][0].legend(loc="upper left")
    _legend(figure, grid[0][0])
    return figure


def _policy_colors() -> dict[str, str]:
    """By the paper's names; in every picture these policies have these colours."""
    looks = looks_of(list(POLICIES.values()))
    return {name: look["color"] for name, look in zip(POLICIES, looks, strict=True)}


def _count_colors() -> dict[str, str]:
    palette = theme().palette
    return {"all": palette[3], "waiting": palette[2]}


def _loads(axes: "Axes") -> None:
    """Loads near 1 apart from one another, as completion times are."""
    axes.set_xscale(
        "function",
        functions=(lambda x: -np.log1p(-np.minimum(x, 0.9999)), lambda y: -np.expm1(-y)),
    )
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.axvline(BORDER, color=theme().faint, lw=0.8)


def _regions(axes: "Axes") -> None:
    for side, words in (("right", "low to\nmedium"), ("left", "medium\nto high")):
        gap = -4 if side == "right" else 4
        axes.annotate(words, (BORDER, 1.0), xycoords=("data", "axes fraction"), xytext=(gap, 0),
                      textcoords="offset points", ha=side, va="top", fontsize=8,
                      color=theme().note)  # fmt: skip


def _times(axes: "Axes", curves: Iterable["Curve"]) -> None:
    for curve in curves:
        for policy, color in enumerate(_policy_colors().values()):
            found = curve.completion(policy)
            axes.errorbar(
                curve.loads, [e.value for e in found], [e.half_width for e in found],
                capsize=1.5, elinewidth=0.8, **_look(curve.reading, color),
            )  # fmt: skip
    _loads(axes)


def _ratios(axes: "Axes", curves: Sequence["Curve"]) -> None:
    axes.axhline(1.0, color=theme().ink, lw=0.8)
    axes.axhline(4.0, color=theme().ink, lw=1.0, ls=(0, (4, 2)))
    axes.annotate("the paper: up to 4", (0.02, 4.0), xycoords=("axes fraction", "data"),
                  xytext=(0, 3), textcoords="offset points", fontsize=8)  # fmt: skip
    for curve in curves:
        ratios, color = curve.ratios, _count_colors()[curve.reading.count]
        axes.errorbar(
            curve.loads, [r.value for r in ratios], [r.half_width for r in ratios],
            capsize=1.5, elinewidth=0.8, **_look(curve.reading, color),
        )  # fmt: skip
    _loads(axes)


def _look(reading: "Reading", color: str) -> Mapping[str, Any]:
    return {"color": color, "ls": LINES[reading.slots], "marker": MARKS[reading.slots],
            "ms": 3, "lw": 1.1}  # fmt: skip


def _legend(figure: "Figure", axes: "Axes") -> None:
    handles = [axes.plot([], [], color=c, label=name)[0] for name, c in _policy_colors().items()]
    for slots, words in ((1.0, "slots, α = 1"), (10.0, "slots, α = 0.1"), (0.0, "continuous")):
        handles += axes.plot([], [], color=theme().ink, ls=LINES[slots], marker=MARKS[slots], ms=3,
                             lw=1.1, label=words)  # fmt: skip
    key(figure, handles)
