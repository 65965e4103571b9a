"""Scheduling policies side by side: one table per comparison, and one for a sweep over loads."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.cautions import cautions, trace_overload_in_words
from isocline.report.cluster_conditions import cluster_conditions, cluster_time_unit
from isocline.report.tables.style import table
from isocline.report.words import estimate, listed, number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.scheduling.results import (
    LEVELS,
    ClusterComparison,
    ClusterSweep,
    SchedulingResult,
)


def cluster_report(comparison: ClusterComparison) -> RenderableType:
    """What `isocline simulate` prints of a cluster: times, places, jobs if there are any."""
    tables = [_latencies(comparison)]
    if any(policy.status != "unstable" for policy in comparison.policies):
        tables.append(_places(comparison))
    if any(policy.jobs for policy in comparison.policies):
        tables.append(_jobs(comparison))
    spaced = [part for one in tables for part in (one, Text())]
    said = [Text(line, style="red") for line in warnings(comparison)]
    return Group(*spaced, *said, Text(cluster_conditions(comparison), style="dim"))


def cluster_sweep_report(sweep: ClusterSweep) -> RenderableType:
    """Mean completion time of each policy at each load, the bound, and under which conditions."""
    first = sweep.comparisons[0]
    bounds = [one.lower_bound_latency for one in sweep.comparisons]
    scale, unit = cluster_time_unit(bounds, first)
    made = table(
        f"{first.system}: mean completion time in {unit} at load",
        [("policy", "left"), *((number(one.load, 3), "right") for one in sweep.comparisons)],
    )
    for i, policy in enumerate(first.policies):
        made.add_row(policy.policy, *(_mean(one.policies[i], scale) for one in sweep.comparisons))
    made.add_row("bound", *(number(bound / scale) for bound in bounds), style="dim")
    said = [
        Text(f"At load {number(one.load, 3)}: {line}", style="red")
        for one in sweep.comparisons
        for line in warnings(one)
    ]
    return Group(made, Text(), *said, Text(cluster_conditions(*sweep.comparisons), style="dim"))


def warnings(comparison: ClusterComparison) -> list[str]:
    """Sentences on overload, policies without a steady state, and figures that are in doubt."""
    if comparison.status == "infeasible":
        return [
            f"No policy is stable: the load is {number(comparison.load, 3)} times what all servers "
            "together can serve; `isocline plan` says which servers are overloaded"
        ]
    beyond = comparison.status == "overloaded"
    return [
        *([trace_overload_in_words(comparison.load)] if beyond else []),
        *(
            f"{p.policy} is unstable: tasks {_at(p, comparison)}grow without end"
            for p in comparison.policies
            if p.status == "unstable"
        ),
        *cautions(
            comparison.policies,
            comparison.replications,
            "tasks",
            percentiles=comparison.percentiles,
            replays=comparison.trace,
        ),
    ]


def _at(policy: SchedulingResult, comparison: ClusterComparison) -> str:
    if not policy.overloaded:  # they may wait in a queue that is nobody's
        return ""
    if len(policy.overloaded) == len(comparison.servers):
        return "at all servers "
    numbered = all(name.isdecimal() for name in policy.overloaded)
    if numbered and len(policy.overloaded) > 1:
        return f"at {len(policy.overloaded)} of {len(comparison.servers)} servers "
    return f"at {'server ' if numbered else ''}{listed(policy.overloaded)} "


def _latencies(comparison: ClusterComparison) -> Table:
    means = [p.mean_latency for p in comparison.policies]
    scale, unit = cluster_time_unit(
        [*(e and e.value for e in means), comparison.lower_bound_latency], comparison
    )
    first = comparison.policies[0].policy
    made = table(
        f"{comparison.system}: tasks",
        [
            ("policy", "left"),
            (f"completion, {unit}", "right"),
            (f"p50, {unit}", "right"),
            (f"p95, {unit}", "right"),
            (f"p99, {unit}", "right"),
            ("tasks", "right"),
            ("× bound", "right"),
            (f"× {first}", "right"),
        ],
    )
    made.columns[0].no_wrap = True
    best = min((e.value for e in means if e is not None), default=None)
    for p in comparison.policies:
        made.add_row(
            p.policy,
            _mean(p, scale),
            *(number(e and e.value / scale) for e in (p.p50, p.p95)),
            estimate(p.p99, scale),
            number(p.mean_tasks and p.mean_tasks.value),
            estimate(p.ratio_to_bound),
            estimate(p.ratio),
            style="bold" if p.mean_latency and p.mean_latency.value == best else None,
        )
    return made


def _places(comparison: ClusterComparison) -> Table:
    """Where tasks ran, how idle servers were, and how uneven queues."""
    racks = any(p.rack_share and p.rack_share.value > 0 for p in comparison.policies)
    levels = LEVELS if racks else ("local", "remote")
    by_server = any(p.idle_by_server.size for p in comparison.policies)
    shares = (*levels, "idle", *(["idle by server"] if by_server else []))
    made = table(
        "where they ran",
        [
            ("policy", "left"),
            *((f"{share}, %", "right") for share in shares),
            ("|Q⊥|, tasks", "right"),
        ],
    )
    made.columns[0].no_wrap = True
    for p in comparison.policies:
        known = [*(getattr(p, f"{level}_share") for level in levels), p.idle_share]
        cells = [*(estimate(share, 0.01) for share in known), *([_spread(p)] if by_server else [])]
        made.add_row(p.policy, *cells, estimate(p.perpendicular))
    return made


def _jobs(comparison: ClusterComparison) -> Table:
    """Jobs of a trace, each until its last task has ended."""
    known = [p.jobs.mean.value for p in comparison.policies if p.jobs]
    scale, unit = cluster_time_unit(known, comparison)
    quantiles = ("p50", "p95", "p99")
    columns = [(f"{name}, {unit}", "right") for name in ("latency", *quantiles)]
    made = table("jobs, until the last task has ended", [("policy", "left"), ("jobs", "right")])
    for header, _ in columns:
        made.add_column(header, justify="right")
    for p in comparison.policies:
        if p.jobs is None:
            continue
        cells: list[Estimate | None] = [getattr(p.jobs, name) for name in quantiles]
        made.add_row(
            p.policy,
            number(p.jobs.completed, 7),
            estimate(p.jobs.mean, scale),
            *(estimate(cell, scale) for cell in cells),
        )
    return made


def _spread(policy: SchedulingResult) -> str:
    idle = policy.idle_by_server
    if not idle.size or policy.status == "unstable":
        return "–"
    return f"{number(100 * idle.min(), 3)} … {number(100 * idle.max(), 3)}"


def _mean(policy: SchedulingResult, scale: float) -> str:
    return "unstable" if policy.status == "unstable" else estimate(policy.mean_latency, scale)
