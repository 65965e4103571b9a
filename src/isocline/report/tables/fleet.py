"""Tables of the cheapest fleet for a target."""

import math

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.plural import first_of
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import duration, estimate, listed, number, percent, time_unit
from isocline.simulate.routing.fleet_results import (
    CheapestFleet,
    Condition,
    FrontierPoint,
    MachineCount,
    named_counts,
)

_NAMED = 8  # types of one fleet in a row
_EQUAL = 1e-9  # relative difference of cost and bound that is rounding


def fleet_report(fleet: CheapestFleet) -> RenderableType:
    """What `isocline fleet` prints."""
    parts: list[RenderableType] = [
        _summary(fleet),
        machines_table(fleet),
        conditions_table(fleet),
    ]
    if fleet.frontier:
        parts.append(frontier_table(fleet))
    parts.append(Text(_small_print(fleet), style="dim"))
    return Group(*(line for part in parts for line in (part, Text())))


def _summary(fleet: CheapestFleet) -> Text:
    spare = ""
    if fleet.spare:
        spare = f"; {fleet.spare_target} after {lost_in_words(fleet)} lost"
    text = Text.assemble(
        (f"{fleet.problem.name}: {number(fleet.cost)} per hour for {fleet.target}", "bold"),
        f"{spare}\n",
        bound_in_words(fleet),
    )
    if fleet.share <= 1.0 - _EQUAL:
        text.append(f" ({number(fleet.lower_bound)} per hour)")
    if fleet.policy is not None and fleet.fluid_cost is not None:
        more = fleet.cost - fleet.fluid_cost
        if more > 1e-9 * fleet.cost:
            text.append(f"; {number(more)} of it is for fluctuation")
    return text


def bound_in_words(fleet: CheapestFleet, such: str = "", this: str = "this one") -> str:
    """Return what no fleet costs less than, the share rounded down so that it holds."""
    if fleet.share > 1.0 - _EQUAL:
        share = ""
    else:
        share = f"{percent(math.floor(1000.0 * fleet.share) / 1000.0)} of "
    return f"No fleet of these types{such} is cheaper than {share}{this}"


def lost_in_words(fleet: CheapestFleet) -> str:
    """Return "any machine is", or "any 2 machines are"."""
    return "any machine is" if fleet.spare == 1 else f"any {fleet.spare} machines are"


def machines_table(fleet: CheapestFleet) -> RenderableType:
    """Machines by type."""
    columns: list[Column[MachineCount]] = [
        names("type", "type"),
        Column("machines", "machines", number),
        Column("price", "price", number),
        Column("per hour", "cost", number),
    ]
    rows = [row for row in fleet.machines if row.machines]
    return table("Machines", columns, rows, most=MOST_ROWS)


def conditions_table(fleet: CheapestFleet) -> RenderableType:
    """Demands, whole and without the machines whose loss is worst."""
    columns: list[Column[Condition]] = [
        names("demand", "demand"),
        names("lost", lambda row: listed(row.lost) or "–"),
        Column("jobs/s", "rate", number),
        Column("load", "load", percent),
        Column("least mean", "least_latency", duration),
        Column("must hold", "target", left=True),
        Column("simulated", lambda row: row, _simulated),
    ]
    return table("Demands", columns, fleet.conditions, most=MOST_ROWS)


def _simulated(row: Condition) -> str:
    if row.simulated is None:
        return "–"
    scale, unit = time_unit([row.simulated.value])
    return f"{estimate(row.simulated, scale)} {unit}"


def frontier_table(fleet: CheapestFleet) -> RenderableType:
    """Cost over the limit, in the fluid limit."""
    is_load = fleet.target.quantity == "load"
    label = "load at most" if is_load else "mean latency at most"
    columns: list[Column[FrontierPoint]] = [
        Column(label, "limit", percent if is_load else duration),
        Column("per hour", "cost", number),
        Column("at least", "lower_bound", number),
        Column("machines", lambda row: _machines(fleet, row), left=True),
    ]
    return table("Cost against target, in the fluid limit", columns, fleet.frontier)


def _machines(fleet: CheapestFleet, row: FrontierPoint) -> str:
    counts = named_counts(fleet.problem, row.counts)
    return first_of([f"{count} {name}" for name, count in counts.items()], _NAMED)


def _small_print(fleet: CheapestFleet) -> str:
    words = (
        "The lower bound holds for every fleet of these types and every routing policy. Least "
        "mean: the optimum in the fluid limit, which no policy goes below."
    )
    if fleet.target.is_percentile:
        words += (
            f" That of a {fleet.target.quantity} is loose: it only knows that this share of the "
            "jobs, be they the shortest, must be done in time; a cheaper fleet is not proved to "
            "be possible."
        )
    if fleet.policy is not None:
        words += (
            f" Simulated: {fleet.policy}, Poisson arrivals, {fleet.systems[0].sizes.type} sizes, "
            "95 % interval; it is within the target to its upper end."
        )
    elif fleet.target.quantity != "load":
        words += " Nothing was simulated: fluctuation comes on top of the least mean."
    return words
