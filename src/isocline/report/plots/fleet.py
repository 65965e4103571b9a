"""Cost of the cheapest fleet against its target, and the machines that it is made of."""

from typing import TYPE_CHECKING

import numpy as np

from isocline.report.plots.style import (
    BOUND,
    footnote,
    heading,
    house,
    key,
    looks,
    new_figure,
    say_instead,
)
from isocline.report.plots.theme import theme
from isocline.report.tables.fleet import bound_in_words, lost_in_words
from isocline.report.words import number, time_unit
from isocline.simulate.routing.fleet_results import CheapestFleet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_TYPES = 7  # that bars tell apart; others are one
_HATCHES = ("", "///")  # of types beyond the palette


@house()
def fleet_picture(fleet: CheapestFleet) -> "Figure":
    """Cost over the limit above, with the lower bound; the cost of each type below."""
    figure = new_figure(height=5.0)
    heading(figure, f"{fleet.problem.name}: cost of the cheapest fleet")
    if not fleet.frontier:
        say_instead(figure.subplots(), "no other targets were asked for")
        footnote(figure, _words(fleet))
        return figure
    is_load = fleet.target.quantity == "load"
    limits = [point.limit for point in fleet.frontier]
    scale, unit = (0.01, "%") if is_load else time_unit(limits)
    label = "load" if is_load else "mean latency"
    above, below = figure.subplots(2, 1, height_ratios=(3, 2), sharex=True)
    _costs(above, fleet)
    _types(below, fleet)
    places = range(len(limits))
    below.set_xticks(places, [number(limit / scale, 3) for limit in limits])
    below.set_xlabel(
        f"{label} at most, {unit}" if is_load else f"{label} at most, {unit}, in the fluid limit"
    )
    above.set_ylabel("cost per hour")
    below.set_ylabel("by type, per hour")
    footnote(figure, _words(fleet))
    key(
        figure,
        [*above.get_legend_handles_labels()[0], *below.get_legend_handles_labels()[0]],
    )
    return figure


def _costs(axes: "Axes", fleet: CheapestFleet) -> None:
    colors = theme()
    places = np.arange(len(fleet.frontier))
    costs = [point.cost for point in fleet.frontier]
    bounds = [point.lower_bound for point in fleet.frontier]
    axes.plot(places, costs, "o-", color=colors.ink, label="cheapest fleet found")
    axes.plot(places, bounds, color=colors.note, label="no fleet costs less", **BOUND)
    at = _place_of(fleet)
    if at is not None:
        axes.plot(
            at,
            fleet.cost,
            "D",
            ms=8,
            color=colors.paper,
            mec=colors.ink,
            mew=1.6,
            label=f"holds {fleet.target}",
            zorder=3,
        )
    axes.set_ylim(0.0, 1.1 * max(*costs, fleet.cost))


def _place_of(fleet: CheapestFleet) -> float | None:
    """Place of the target on the axis of the frontier."""
    limits = np.array([point.limit for point in fleet.frontier])
    if not limits.size:
        return None
    limit = fleet.base_limit
    return float(np.interp(np.log(limit), np.log(limits), np.arange(limits.size)))


def _types(axes: "Axes", fleet: CheapestFleet) -> None:
    prices = fleet.problem.prices
    each = np.array([point.counts for point in fleet.frontier]) * prices
    order = [k for k in np.argsort(-each.sum(axis=0), kind="stable") if each[:, k].any()]
    shown, rest = order[:_MOST_TYPES], order[_MOST_TYPES:]
    types, colors = fleet.problem.types, len(theme().palette)
    # The same look in each picture of a file with these types, as long as looks suffice.
    by_place = not rest and len(types) <= colors * len(_HATCHES)
    rows = [(k if by_place else i, types[k].name, each[:, k]) for i, k in enumerate(shown)]
    if rest:
        rows.append((len(shown), f"{len(rest)} other types", each[:, rest].sum(axis=1)))
    bottom = np.zeros(each.shape[0])
    every = looks(max(at for at, _, _ in rows) + 1)
    for at, name, cost in rows:
        axes.bar(
            np.arange(cost.size),
            cost,
            0.7,
            bottom,
            color=every[at]["color"],
            hatch=_HATCHES[at // colors],
            label=name,
        )
        bottom += cost
    axes.set_ylim(0.0, 1.1 * float(bottom.max()))
    axes.grid(visible=False, axis="x")


def _words(fleet: CheapestFleet) -> str:
    cost = f"{number(fleet.cost)} per hour"
    bound = bound_in_words(fleet, f" that holds {fleet.target}", cost)
    words = f"{bound}, with any routing policy."
    if fleet.policy is not None:
        words += (
            f" The diamond holds it in simulations of {fleet.policy}; the line has no fluctuation."
        )
    if fleet.spare:
        words += f" After {lost_in_words(fleet)} lost, {fleet.spare_target} still holds."
    return words
