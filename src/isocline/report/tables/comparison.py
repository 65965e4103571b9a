"""Policies side by side: one table per comparison, and one for a sweep over loads."""

import math
from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.cautions import (
    cautions,
    passing_overload_in_words,
    trace_overload_in_words,
)
from isocline.report.conditions import conditions, replays
from isocline.report.tables.style import table
from isocline.report.words import estimate, listed, number, time_unit
from isocline.simulate.routing.results import Comparison, PolicyResult, Sweep

_SHORT, _LONG = 12, 28  # letters of a policy's name, in a table of 120 columns


def comparison_report(comparison: Comparison) -> RenderableType:
    """What `isocline simulate` prints: the policies, and under which conditions."""
    said = [Text(line, style="red") for line in warnings(comparison)]
    return Group(_policies(comparison), Text(), *said, Text(conditions(comparison), style="dim"))


def sweep_report(sweep: Sweep) -> RenderableType:
    """Mean latency of each policy at each load, the bound, and under which conditions."""
    first = sweep.comparisons[0]
    known = [p.mean_latency and p.mean_latency.value for p in sweep.results]
    bounded = not math.isnan(first.lower_bound)
    scale, unit = time_unit(
        [one.lower_bound_latency for one in sweep.comparisons] if bounded else known
    )
    made = table(
        f"{first.system}: mean latency in {unit} at load",
        [("policy", "left"), *((number(one.load, 3), "right") for one in sweep.comparisons)],
    )
    for i, policy in enumerate(first.policies):
        cells = [_latency(one.policies[i], scale) for one in sweep.comparisons]
        made.add_row(policy.policy, *cells)
    if bounded:
        bounds = [number(one.lower_bound_latency / scale) for one in sweep.comparisons]
        made.add_row("bound", *bounds, style="dim")
    said = [
        f"At load {number(one.load, 3)}: {line}"
        for one in sweep.comparisons
        for line in warnings(one)
    ]
    lines = [
        *(Text(line, style="red") for line in said),
        Text(conditions(*sweep.comparisons), style="dim"),
    ]
    return Group(made, Text(), *_not_all_served(sweep), *lines)


def _not_all_served(sweep: Sweep) -> list[RenderableType]:
    """A table for each column that says what became of jobs that were not all served in time."""
    first = sweep.comparisons[0]
    loads = [f"load {number(one.load, 3)}" for one in sweep.comparisons]
    found: list[RenderableType] = []
    for heading, cell in _service(*sweep.comparisons):
        made = table(
            f"{first.system}: {heading}", [("policy", "left"), *((load, "right") for load in loads)]
        )
        for i, policy in enumerate(first.policies):
            made.add_row(policy.policy, *(cell(one.policies[i]) for one in sweep.comparisons))
        found += [made, Text()]
    return found


def warnings(comparison: Comparison) -> list[str]:
    """Sentences on overload, policies without a steady state, and figures that are in doubt."""
    beyond = comparison.status == "overloaded"
    said = []
    if comparison.beyond_capacity:
        said.append(passing_overload_in_words(comparison.beyond_capacity))
    elif beyond:
        said.append(trace_overload_in_words(comparison.load))
    for p in comparison.policies:
        if p.status == "unstable":
            said.append(f"{p.policy} is unstable: jobs {_at(p.overloaded)}grow without end")
        elif p.status == "overloaded" and not beyond:
            said.append(
                f"{p.policy} overloads {listed(p.overloaded)}: its figures are of a trace of this "
                "length and grow with it"
            )
    return said + cautions(
        comparison.policies,
        comparison.replications,
        "jobs",
        percentiles=comparison.percentiles,
        replays=replays(comparison),
        unserved={p.policy: p.abandoned.value for p in comparison.policies if p.abandoned},
    )


def _at(backends: Sequence[str]) -> str:
    return f"at {listed(backends)} " if backends else ""  # they may wait at frontends


Column = tuple[str, Callable[[PolicyResult], str]]


def _policies(comparison: Comparison) -> Table:
    latencies = [p.mean_latency for p in comparison.policies]
    scale, unit = time_unit([*(e and e.value for e in latencies), comparison.lower_bound_latency])
    columns = [*_times(scale, unit), *_service(comparison), *_against(comparison, scale, unit)]
    made = table(
        comparison.system,
        [("policy", "left"), *((heading, "right") for heading, _ in columns)],
    )
    # Names stay whole unless that would break the numbers.
    made.columns[0].no_wrap = max(len(p.policy) for p in comparison.policies) <= _LONG
    best = min((e.value for e in latencies if e is not None), default=None)
    served = comparison.patience is None  # else the best latency may be of those that serve least
    for p in comparison.policies:
        is_best = served and p.mean_latency is not None and p.mean_latency.value == best
        cells = [cell(p) for _, cell in columns]
        made.add_row(p.policy, *cells, style="bold" if is_best else None)
    return made


def _times(scale: float, unit: str) -> list[Column]:
    return [
        (f"latency, {unit}", lambda p: _latency(p, scale)),
        (f"p50, {unit}", lambda p: number(p.p50 and p.p50.value / scale)),
        (f"p95, {unit}", lambda p: number(p.p95 and p.p95.value / scale)),
        (f"p99, {unit}", lambda p: estimate(p.p99, scale)),
        ("jobs", lambda p: number(p.mean_jobs and p.mean_jobs.value)),
    ]


def _service(*comparisons: Comparison) -> list[Column]:
    """What became of jobs that were not all served in time."""
    comparison = comparisons[0]
    columns: list[Column] = []
    if comparison.patience is not None:
        columns.append(("abandoned, %", lambda p: estimate(p.abandoned, 0.01)))
    if comparison.deadline is not None:
        columns.append(("late, %", lambda p: estimate(p.late, 0.01)))
    if comparison.patience is not None or comparison.deadline is not None:
        columns.append(("goodput, jobs/s", lambda p: estimate(p.goodput)))
    if any(p.resent is not None for one in comparisons for p in one.policies):
        columns.append(("resent", lambda p: number(p.resent)))
        columns.append(("lost", lambda p: number(p.lost)))
    return columns


def _against(comparison: Comparison, scale: float, unit: str) -> list[Column]:
    """The bound, where there is one, and the first policy."""
    first = comparison.policies[0].policy
    above = f"above {first if len(first) <= _SHORT else 'the first'}, {unit}"
    difference: Column = (above, lambda p: estimate(p.difference, scale, signed=True))
    if math.isnan(comparison.lower_bound):
        return [difference]
    return [("× bound", lambda p: estimate(p.ratio_to_bound)), difference]


def _latency(policy: PolicyResult, scale: float) -> str:
    return "unstable" if policy.status == "unstable" else estimate(policy.mean_latency, scale)
