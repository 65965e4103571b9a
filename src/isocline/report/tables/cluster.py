"""Tables of scheduling policies side by side: for a comparison, and for a sweep over loads."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.cautions import cautions, trace_overload_in_words
from isocline.report.conditions import cluster_conditions, cluster_time_unit
from isocline.report.tables.comparison import at_loads, mean_or_unstable, over_loads, small, value
from isocline.report.tables.style import Column, names, table
from isocline.report.words import estimate, listed, number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.scheduling.results import (
    LEVELS,
    ClusterComparison,
    ClusterSweep,
    JobLatency,
    SchedulingResult,
)


def cluster_report(comparison: ClusterComparison) -> RenderableType:
    """Report of `isocline simulate` on a cluster: times, places, and jobs if there are any."""
    tables = [latencies_table(comparison)]
    if any(policy.status != "unstable" for policy in comparison.policies):
        tables.append(places_table(comparison))
    if any(policy.jobs for policy in comparison.policies):
        tables.append(jobs_table(comparison))
    spaced = [part for one in tables for part in (one, Text())]
    said = [Text(line, style="red") for line in warnings(comparison)]
    return Group(*spaced, *said, small(cluster_conditions(comparison)))


def cluster_sweep_report(sweep: ClusterSweep) -> RenderableType:
    """Mean completion time of each policy at each load, the bound, and the conditions."""
    said = at_loads(sweep.comparisons, warnings)
    small_print = small(cluster_conditions(*sweep.comparisons))
    return Group(cluster_loads_table(sweep), Text(), *said, small_print)


def cluster_loads_table(sweep: ClusterSweep) -> Table:
    """Mean completion time of each policy at each load, and the bound."""
    first = sweep.comparisons[0]
    bounds = [one.lower_bound_latency for one in sweep.comparisons]
    scale, unit = cluster_time_unit(bounds, first)
    made = over_loads(
        f"{first.system}: mean completion time in {unit} at load",
        sweep.comparisons,
        lambda p: mean_or_unstable(p, scale),
    )
    made.add_row("bound", *(number(bound / scale) for bound in bounds), style="dim")
    return made


def warnings(comparison: ClusterComparison) -> list[str]:
    """Sentences on overload, policies without a steady state, and doubtful figures."""
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
    if not policy.overloaded:  # they may wait in a queue that is common to all servers
        return ""
    if len(policy.overloaded) == len(comparison.servers):
        return "at all servers "
    numbered = all(name.isdecimal() for name in policy.overloaded)
    if numbered and len(policy.overloaded) > 1:
        return f"at {len(policy.overloaded)} of {len(comparison.servers)} servers "
    return f"at {'server ' if numbered else ''}{listed(policy.overloaded)} "


def latencies_table(comparison: ClusterComparison) -> Table:
    """Completion times of tasks, beside the bound and the first policy."""
    means = [p.mean_latency for p in comparison.policies]
    scale, unit = cluster_time_unit(
        [*(e and e.value for e in means), comparison.lower_bound_latency], comparison
    )
    first = comparison.policies[0].policy
    best = min((e.value for e in means if e is not None), default=None)
    columns: list[Column[SchedulingResult]] = [
        names("policy", "policy"),
        Column(f"completion, {unit}", lambda p: mean_or_unstable(p, scale)),
        Column(f"p50, {unit}", lambda p: value(p.p50, scale)),
        Column(f"p95, {unit}", lambda p: value(p.p95, scale)),
        Column(f"p99, {unit}", lambda p: estimate(p.p99, scale)),
        Column("tasks", "mean_tasks", value),
        Column("× bound", "ratio_to_bound", estimate),
        Column(f"× {first}", "ratio", estimate),
    ]
    return table(
        f"{comparison.system}: tasks",
        columns,
        comparison.policies,
        whole=True,
        style=lambda p: "bold" if p.mean_latency and p.mean_latency.value == best else None,
    )


def places_table(comparison: ClusterComparison) -> Table:
    """Share of tasks by locality level, and idle time of servers."""
    racks = any(p.rack_share and p.rack_share.value > 0 for p in comparison.policies)
    levels = LEVELS if racks else ("local", "remote")
    by_server = any(p.idle_by_server.size for p in comparison.policies)
    columns: list[Column[SchedulingResult]] = [
        names("policy", "policy"),
        *(Column(f"{level}, %", f"{level}_share", _percent) for level in (*levels, "idle")),
        *([Column[SchedulingResult]("idle by server, %", _spread)] if by_server else []),
        Column("|Q⊥|, tasks", "perpendicular", estimate),
    ]
    return table("where they ran", columns, comparison.policies, whole=True)


def _percent(share: Estimate | None) -> str:
    return estimate(share, 0.01)


def jobs_table(comparison: ClusterComparison) -> Table:
    """Latencies of a trace's jobs, until the end of their last task."""
    known = [(p.policy, p.jobs) for p in comparison.policies if p.jobs]
    scale, unit = cluster_time_unit([jobs.mean.value for _, jobs in known], comparison)
    columns: list[Column[tuple[str, JobLatency]]] = [
        names("policy", lambda row: row[0]),
        Column("jobs", lambda row: number(row[1].completed, 7)),
        Column(f"latency, {unit}", lambda row: estimate(row[1].mean, scale)),
        Column(f"p50, {unit}", lambda row: estimate(row[1].p50, scale)),
        Column(f"p95, {unit}", lambda row: estimate(row[1].p95, scale)),
        Column(f"p99, {unit}", lambda row: estimate(row[1].p99, scale)),
    ]
    runs = comparison.replications
    return table(f"jobs in {runs} replications, until the last task has ended", columns, known)


def _spread(policy: SchedulingResult) -> str:
    idle = policy.idle_by_server
    if not idle.size or policy.status == "unstable":
        return "–"
    return f"{number(100 * idle.min(), 3)} … {number(100 * idle.max(), 3)}"
