"""Picture of the servers' ideal loads, and of who helps whom (near-data paper, Figure 2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isocline.report.near_data_groups import (
    Group,
    GroupHelp,
    groups,
    helps_between,
    servers_in_words,
)
from isocline.report.plots.lettering import shortened
from isocline.report.plots.style import BOUND, footnote, heading, house, new_figure
from isocline.report.plots.theme import theme
from isocline.report.words import number
from isocline.theory.scheduling.plan_records import NearDataPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NODES = 12  # groups on one side that can be read
_NAME = 1.3  # inches: the longest names of a group
_ROW = 0.42  # inches: two lines of small print
_WIDEST = 9.0  # points: the line of the largest rate


@house()
def loads_picture(plan: NearDataPlan) -> "Figure":
    """Ideal loads, without the help between servers."""
    figure = new_figure(height=3.4)
    heading(figure, f"{plan.cluster.name}: ideal loads of the servers")
    _loads(figure.subplots(), plan)
    footnote(figure, _conditions(plan))
    return figure


@house()
def near_data_picture(plan: NearDataPlan) -> "Figure":
    """Loads in descending order with alpha as a line; beside it who helps whom, if anybody does."""
    made = groups(plan)
    if plan.helps:
        rows = min(max(map(len, _sides(helps_between(plan, made)))), _MOST_NODES)
        figure = new_figure(height=max(3.4, 1.4 + _ROW * rows))
        left, right = figure.subplots(1, 2)
        _who_helps(right, plan, made)
    else:
        figure = new_figure(height=3.4)
        left = figure.subplots()
    heading(figure, f"{plan.cluster.name}: ideal loads of the servers, and who helps whom")
    _loads(left, plan)
    racks = any(entry.level == "rack" for entry in plan.helps)
    footnote(figure, _conditions(plan) + (" Dark lines: help within racks." if racks else ""))
    return figure


def _conditions(plan: NearDataPlan) -> str:
    return (
        f"{number(plan.cluster.arrival_rate)} tasks/s, "
        f"{number(1.0 / plan.capacity_scale, 3)} of the capacity. Every task at the least loaded "
        f"of its local servers; from {plan.basis}. Certificate: conservation residual "
        f"{plan.certificate.conservation:.1e}, slope gap {plan.certificate.slope_gap:.1e}."
    )


def _loads(axes: "Axes", plan: NearDataPlan) -> None:
    colors = theme()
    load = np.sort(np.array(plan.loads))[::-1]
    local = plan.cluster.rates.local
    edges, count = np.arange(load.size + 1), len(plan.beneficiaries)
    for name, part, color in (
        ("beneficiaries", slice(0, count), colors.palette[1]),
        ("helpers", slice(count, load.size), colors.palette[0]),
    ):
        if load[part].size:
            ends = edges[part.start : part.stop + 1]
            axes.stairs(load[part], ends, fill=True, color=color, alpha=0.85, label=name)
    top = 1.3 * max(float(load.max()), local)
    axes.axhline(local, color=colors.ink, **BOUND)
    axes.annotate(
        f"local rate α = {number(local, 3)}", (load.size, local), xytext=(-3, 3),
        textcoords="offset points", ha="right", fontsize=8,
    )  # fmt: skip
    axes.set_xlim(0, load.size)
    axes.set_ylim(0.0, top)
    axes.set_xlabel("servers, busiest first")
    axes.set_ylabel("load ν, tasks/s")
    axes.set_title("ideal loads")
    axes.legend(loc="upper right", ncols=2, borderaxespad=0.0)


def _sides(found: Sequence[GroupHelp]) -> list[list[int]]:
    """Groups that help and groups that are helped, largest rates first."""
    return [
        list(dict.fromkeys(entry.helper for entry in found)),
        list(dict.fromkeys(entry.beneficiary for entry in found)),
    ]


def _who_helps(axes: "Axes", plan: NearDataPlan, made: Sequence[Group]) -> None:
    colors = theme()
    found = helps_between(plan, made)
    sides = _sides(found)
    hidden = max(map(len, sides)) > _MOST_NODES
    sides = [side[:_MOST_NODES] for side in sides]
    most = max(map(len, sides))
    height = [
        {at: (row + 0.5) * most / len(side) for row, at in enumerate(sorted(side))}
        for side in sides
    ]
    widest = found[0].rate
    for entry in found:
        if entry.helper in height[0] and entry.beneficiary in height[1]:
            ends = height[0][entry.helper], height[1][entry.beneficiary]
            width = max(_WIDEST * entry.rate / widest, 0.4)
            color = colors.ink if entry.level == "rack" else colors.faint
            axes.plot((0, 1), ends, color=color, lw=width, alpha=0.7, solid_capstyle="butt")
    for x, color, word in ((0, colors.palette[0], "give"), (1, colors.palette[1], "get")):
        for at, y in height[x].items():
            group = made[at]
            rate = (group.receives if x else group.gives) * len(group.servers)
            names = shortened(servers_in_words(group.servers, 3), _NAME)
            axes.plot(x, y, "o", color=color, ms=7, zorder=3)
            axes.annotate(
                f"{names}\n{word} {number(rate, 3)} tasks/s", (x, y), xytext=(16 * x - 8, 0),
                textcoords="offset points", ha="left" if x else "right", va="center", fontsize=8,
            )  # fmt: skip
    axes.set_xlim(-1.6, 2.6)
    axes.set_ylim(most, 0.0)
    axes.set_axis_off()
    axes.set_title("who helps whom" + (", the most" if hidden else ""))
