"""Tables of routing policies side by side: for a comparison, and for a sweep over loads."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.cautions import cautions, passing_overload_in_words, trace_overload_in_words
from isocline.report.conditions import conditions, replays
from isocline.report.tables.style import Column, names, table
from isocline.report.words import estimate, listed, number, time_unit
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.results import Comparison, PolicyResult, Sweep

if TYPE_CHECKING:
    from isocline.simulate.scheduling.results import ClusterComparison

C = TypeVar("C", Comparison, "ClusterComparison")

_SHORT, _LONG = 12, 28  # letters of a policy's name, in a table of 120 columns


def comparison_report(comparison: Comparison) -> RenderableType:
    """Report of `isocline simulate`: the policies and the conditions."""
    said = [Text(line, style="red") for line in warnings(comparison)]
    checks = [small(line) for line in mean_field_lines(comparison)]
    return Group(policies_table(comparison), Text(), *said, small(conditions(comparison)), *checks)


def sweep_report(sweep: Sweep) -> RenderableType:
    """Mean latency of each policy at each load, the bound, and the conditions."""
    comparisons = sweep.comparisons
    spaced = [part for one in loads_tables(sweep) for part in (one, Text())]
    beyond = [Text(one.in_words, style="red") for one in sweep.infeasible]
    said = [*at_loads(comparisons, warnings), *beyond]
    return Group(*spaced, *said, small(conditions(*comparisons)))


def loads_tables(sweep: Sweep) -> list[Table]:
    """Mean latency at each load and, if not all jobs are served in time, their fates."""
    comparisons = sweep.comparisons
    first = comparisons[0]
    bounds = [one.lower_bound_latency for one in comparisons if not math.isnan(one.lower_bound)]
    known = [p.mean_latency and p.mean_latency.value for p in sweep.results]
    scale, unit = time_unit(bounds or known)
    made = over_loads(
        f"{first.system}: mean latency in {unit} at load",
        comparisons,
        lambda p: mean_or_unstable(p, scale),
    )
    if bounds:
        made.add_row(sweep.bound_name, *(number(bound / scale) for bound in bounds), style="dim")
    # One table per column on the fates of jobs.
    unserved = [
        over_loads(
            f"{first.system}: {column.label}", comparisons, column.cell, label="load {}".format
        )
        for column in _service(*comparisons)
    ]
    return [made, *unserved]


def over_loads(
    title: str,
    comparisons: Sequence[C],
    cell: Callable[[Any], RenderableType],
    label: Callable[[str], str] = str,
) -> Table:
    """Table with a row for each policy and a column for each load."""
    columns: list[Column[int]] = [
        names("policy", lambda i: comparisons[0].results[i].policy),
        *(
            Column(label(number(one.load, 3)), lambda i, one=one: one.results[i], cell)  # type: ignore[misc]
            for one in comparisons
        ),
    ]
    return table(title, columns, range(len(comparisons[0].results)))


def at_loads(comparisons: Sequence[C], said: Callable[[C], list[str]]) -> list[Text]:
    """Warnings of all comparisons, with their loads."""
    return [
        Text(f"At load {number(one.load, 3)}: {line}", style="red")
        for one in comparisons
        for line in said(one)
    ]


def small(text: str) -> Text:
    """Small print below tables."""
    return Text(text, style="dim")


def mean_or_unstable(result: Any, scale: float) -> str:
    """Mean latency of one policy."""
    return "unstable" if result.status == "unstable" else estimate(result.mean_latency, scale)


def value(found: Estimate | None, scale: float = 1.0) -> str:
    """An estimate without its interval, for narrow columns."""
    return number(found and found.value / scale)


def warnings(comparison: Comparison) -> list[str]:
    """Sentences on overload, policies without a steady state, and doubtful figures."""
    beyond = comparison.status == "overloaded"
    said = []
    if comparison.beyond_capacity:
        said.append(passing_overload_in_words(comparison.beyond_capacity))
    elif beyond:
        said.append(trace_overload_in_words(comparison.least_load))
    for p in comparison.policies:
        if p.status == "unstable":
            said.append(f"{p.policy} is unstable: jobs {_at(p.overloaded)}grow without end")
        elif p.status == "overloaded" and not beyond:
            said.append(
                f"{p.policy} overloads {listed(p.overloaded)}: its figures are of a "
                f"{'trace' if replays(comparison) else 'run'} of this length and grow with it"
            )
    return said + cautions(
        comparison.policies,
        comparison.replications,
        "jobs",
        percentiles=comparison.percentiles,
        replays=replays(comparison),
        unserved={p.policy: p.abandoned.value for p in comparison.policies if p.abandoned},
    )


def mean_field_lines(comparison: Comparison) -> list[str]:
    """Sentences with the mean latencies that theory has, beside the simulated ones."""
    found = []
    for p in comparison.policies:
        if p.mean_field is None or p.mean_latency is None:
            continue
        if not p.mean_field.is_close:
            found.append(f"{p.policy}: too few backends at this load")
            continue
        scale, unit = time_unit([p.mean_latency.value])
        mean = number(p.mean_field.mean_latency / scale, 5)
        off = 100.0 * (p.mean_latency.value / p.mean_field.mean_latency - 1.0)
        term = number(100.0 * p.mean_field.last_term / p.mean_field.mean_latency, 2)
        found.append(f"{p.policy} {mean} {unit}, simulated {off:+.2f} % (last term {term} %)")
    return [f"Refined mean field, without simulation: {'; '.join(found)}."] if found else []


def _at(backends: Sequence[str]) -> str:
    return f"at {listed(backends)} " if backends else ""  # they may wait at frontends


def policies_table(comparison: Comparison) -> Table:
    """Latencies of policies, fates of jobs, and the bound."""
    latencies = [p.mean_latency for p in comparison.policies]
    scale, unit = time_unit([*(e and e.value for e in latencies), comparison.lower_bound_latency])
    best = min((e.value for e in latencies if e is not None), default=None)
    served = comparison.patience is None  # else the one that serves least may look best

    def style(p: PolicyResult) -> str | None:
        is_best = served and p.mean_latency is not None and p.mean_latency.value == best
        return "bold" if is_best else None

    columns = [
        names("policy", "policy"),
        Column(f"latency, {unit}", lambda p: mean_or_unstable(p, scale)),
        Column(f"p50, {unit}", lambda p: value(p.p50, scale)),
        Column(f"p95, {unit}", lambda p: value(p.p95, scale)),
        Column(f"p99, {unit}", lambda p: estimate(p.p99, scale)),
        Column("jobs", "mean_jobs", value),
        *_service(comparison),
        *_caches(comparison),
        *_models(comparison),
        *_against(comparison, scale, unit),
    ]
    # Names are not broken unless the numbers would be.
    whole = max(len(p.policy) for p in comparison.policies) <= _LONG
    return table(comparison.system, columns, comparison.policies, whole=whole, style=style)


def _service(*comparisons: Comparison) -> list[Column[PolicyResult]]:
    """Columns on the fates of jobs, if not all are served in time."""
    first = comparisons[0]
    columns: list[Column[PolicyResult]] = []
    if first.patience is not None:
        columns.append(Column("abandoned, %", lambda p: estimate(p.abandoned, 0.01)))
    if first.deadline is not None:
        columns.append(Column("late, %", lambda p: estimate(p.late, 0.01)))
    if first.patience is not None or first.deadline is not None:
        columns.append(Column("goodput, jobs/s", "goodput", estimate))
    if any(p.resent is not None for one in comparisons for p in one.policies):
        columns += [Column("resent", "resent", number), Column("lost", "lost", number)]
    return columns


def _caches(comparison: Comparison) -> list[Column[PolicyResult]]:
    """Columns on the effect of prefix caches."""
    if comparison.caches is None:
        return []
    return [
        Column("work, %", lambda p: value(p.relative_work, 0.01)),
        Column("hits, %", lambda p: value(p.hit_rate, 0.01)),
    ]


def _models(comparison: Comparison) -> list[Column[PolicyResult]]:
    """Columns on loads of models."""
    if comparison.eviction is None:
        return []
    return [
        Column("cold, %", lambda p: value(p.cold, 0.01)),
        Column("loads, %", lambda p: value(p.loads, 0.01)),
    ]


def _against(comparison: Comparison, scale: float, unit: str) -> list[Column[PolicyResult]]:
    """Columns that compare with the bound, if there is one, and with the first policy."""
    first = comparison.policies[0].policy
    above = f"above {first if len(first) <= _SHORT else 'the first'}, {unit}"
    columns: list[Column[PolicyResult]] = []
    if not math.isnan(comparison.lower_bound):
        columns.append(Column("× bound", "ratio_to_bound", estimate))
    return [*columns, Column(above, lambda p: estimate(p.difference, scale, signed=True))]
