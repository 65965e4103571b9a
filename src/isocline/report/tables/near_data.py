"""Tables of a cluster's plan."""

import math
from collections.abc import Sequence

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from isocline.plural import counted
from isocline.report.near_data_groups import Group, groups, helps_between, servers_in_words
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import number, percent
from isocline.theory.scheduling.plan_records import NearDataPlan, Replicate

_MOST_HELPS = 12  # lines on who helps whom
_MOST_ADVICE = 3  # proposals shown; further ones usually resemble them
_MOST_POOLS = 6


def near_data_report(plan: NearDataPlan) -> RenderableType:
    """Report of `isocline plan` on a cluster."""
    made = groups(plan)
    parts = [
        cluster_text(plan),
        servers_table(made),
        helps_text(plan, made),
        advice_text(plan),
        bounds_text(plan),
        pools_text(plan),
        _source(plan),
    ]
    return Lines(*(line for part in parts if part is not None for line in (part, Text())))


def cluster_text(plan: NearDataPlan) -> Text:
    """Load, bottleneck and help, in a few lines."""
    cluster, stable = plan.cluster, plan.status == "stable"
    text = Text.assemble(
        (f"{cluster.name}: {plan.status}", "bold" if stable else "bold red"),
        f"  {number(cluster.arrival_rate)} tasks/s on {counted(cluster.size, 'server')}\n",
    )
    scale = number(plan.capacity_scale)
    tight = servers_in_words(plan.bottleneck)
    everybody = len(plan.bottleneck) == cluster.size
    end = "all servers would be busy" if everybody else f"{tight} would need more help than is left"
    if stable:
        text.append(
            f"Load {number(1.0 / plan.capacity_scale, 3)}: the arrivals may grow up to {scale} "
            f"times; then {end} (the bottleneck)\n"
        )
    else:
        wanted, offered = _wanted(plan), _offered(plan)
        text.append(
            f"Load {number(1.0 / plan.capacity_scale, 3)}: queues grow without end under any "
            f"policy. All arrivals times {scale} would be the limit; the bottleneck: {tight}\n"
        )
        if wanted > offered:
            text.append(
                f"Overloaded servers need {number(wanted)} tasks/s of remote service, the others "
                f"can give {number(offered)}\n"
            )
    if plan.beneficiaries:
        text.append(f"Local servers cannot serve {plan.remote_share:.1%} of the tasks")
    else:
        text.append("Local servers can serve all tasks: nobody needs remote service")
    return text


def _wanted(plan: NearDataPlan) -> float:
    return math.fsum(max(load - plan.cluster.rates.local, 0.0) for load in plan.loads)


def _offered(plan: NearDataPlan) -> float:
    """Greatest remote service that helpers could give, tasks/s: in the rack, if racks count."""
    local, near, _ = plan.cluster.rates.levels
    return math.fsum(near * max(1.0 - load / local, 0.0) for load in plan.loads)


def servers_table(made: Sequence[Group]) -> Table:
    """Table of groups of alike servers."""
    columns: list[Column[Group]] = [
        names("part", "role"),
        Column("servers", "servers", servers_in_words, left=True),
        Column("count", lambda group: len(group.servers), number),
        Column("load", "load", number),
        Column("load / local rate", "utilisation", percent),
        Column("gives", "gives", _or_none),
        Column("gets", "receives", _or_none),
    ]
    return table("Servers by load, tasks/s of each", columns, made, most=MOST_ROWS)


def _or_none(rate: float) -> str:
    return number(rate) if rate else "–"


def helps_text(plan: NearDataPlan, made: Sequence[Group]) -> Text | None:
    """Lines on who helps whom, and by how much; None if nobody helps."""
    found = helps_between(plan, made)
    if not found:
        return None
    lines = [
        f"{servers_in_words(made[entry.helper].servers)} serve{_s(made[entry.helper])} "
        f"{number(entry.rate)} tasks/s for {servers_in_words(made[entry.beneficiary].servers)}, "
        + ("in the same rack" if entry.level == "rack" else "remotely")
        for entry in found[:_MOST_HELPS]
    ]
    if len(found) > _MOST_HELPS:
        lines.append(f"and {len(found) - _MOST_HELPS} more; --json has all")
    return Text.assemble(("Who helps whom\n", "bold"), "\n".join(lines))


def _s(group: Group) -> str:
    return "s" if len(group.servers) == 1 else ""


def advice_text(plan: NearDataPlan) -> Text | None:
    """Additional replicas that raise the capacity most; None if there are none."""
    if not plan.replicate:
        return None
    lines = [_advice(entry) for entry in plan.replicate[:_MOST_ADVICE]]
    return Text.assemble(("What to replicate (each line by itself)\n", "bold"), "\n".join(lines))


def _advice(entry: Replicate) -> str:
    data = f"data on {servers_in_words(entry.servers)}"
    if entry.server is None:
        what = f"copy {entry.share:.1%} of the {data} to {servers_in_words(entry.onto)}, too"
    else:
        what = f"copy the {data} to {entry.server}, too"
    return (
        f"{what}: the arrivals may grow {number(entry.capacity_scale)} times "
        f"(+{number(entry.gain)} tasks/s)"
    )


def bounds_text(plan: NearDataPlan) -> Text:
    """Bounds on queues near the boundary, or the reason why there are none."""
    found, heading = plan.bounds, ("Queues near the boundary\n", "bold")
    if found is None:
        return Text.assemble(heading, f"No bounds: {plan.bounds_missing}")
    whose = "the overloaded servers" if found.queues == "beneficiaries" else "all servers"
    lower, upper = found.theorems
    return Text.assemble(
        heading,
        f"Mean number of tasks at {whose}, {found.clock} clock: at least {number(found.lower)} "
        f"under any policy (Theorem {lower}); local tasks first comes to {number(found.leading)} "
        f"as ε = {number(found.epsilon)} falls to 0 (Theorem {upper})",
    )


def pools_text(plan: NearDataPlan) -> Text | None:
    """Pools of servers, if there are several and the load is even; otherwise None."""
    if len(plan.pools) < 2 or plan.beneficiaries:
        return None
    tight = sorted(plan.pools, key=lambda pool: pool.epsilon / len(pool.servers))[:_MOST_POOLS]
    lines = [
        f"{servers_in_words(pool.servers)}: {number(pool.rate)} tasks/s, room for "
        f"{number(pool.epsilon)} more"
        for pool in tight
    ]
    more = f", the fullest {_MOST_POOLS}" if len(plan.pools) > _MOST_POOLS else ""
    title = f"{counted(len(plan.pools), 'pool')} that no type of task connects{more}\n"
    return Text.assemble((title, "bold"), "\n".join(lines))


def _source(plan: NearDataPlan) -> Text:
    proof = plan.certificate
    return Text(
        f"Computed from {plan.basis}. Certificate: conservation residual "
        f"{proof.conservation:.1e}, slope gap {proof.slope_gap:.1e}",
        style="dim",
    )
