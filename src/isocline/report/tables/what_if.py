"""Tables of a system before and after a change, side by side: plans, and policies simulated."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.plural import stem_of
from isocline.report.conditions import cluster_conditions, cluster_time_unit, conditions
from isocline.report.near_data_groups import servers_in_words
from isocline.report.tables.cluster import warnings as cluster_warnings
from isocline.report.tables.comparison import mean_or_unstable, small, value
from isocline.report.tables.comparison import warnings as routing_warnings
from isocline.report.tables.near_data import cluster_text
from isocline.report.tables.plan import prices, proof_text
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import duration, estimate, listed, number, percent, time_unit
from isocline.simulate.common.comparison_change import ComparisonChange, PolicyChange
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.results import Comparison
from isocline.simulate.scheduling.results import ClusterComparison
from isocline.theory.planning import PlanChange
from isocline.theory.routing.plan_records import Plan
from isocline.theory.scheduling.plan_records import NearDataPlan

T = TypeVar("T")

_ROUNDING = 1e-9  # share of a figure that two solutions of one problem may differ by
# As the small print goes on.
_PAIRED = (
    " Changes are after minus before, in pairs of replications with the same random numbers, and "
    "so the same jobs at frontends of the same rates."
)
_MOST_NAMES = 3  # that are listed one by one


class Line(NamedTuple):
    """One figure, before and after."""

    label: str
    before: str
    after: str
    change: str = ""


class Pair(NamedTuple):
    """Backends that are alike, or a frontend, before and after; None where there is none."""

    name: str
    before: Any
    after: Any
    state: str = ""  # "new" or "gone"


def plan_change_report(change: PlanChange) -> RenderableType:
    """What `isocline plan --add ...` prints."""
    before, after = change.before, change.after
    if isinstance(before, NearDataPlan) and isinstance(after, NearDataPlan):
        parts: list[RenderableType] = [_summary(change, list(_cluster_lines(before, after)))]
        parts += [cluster_text(after)] if after.status != "stable" else []
        return _spaced(parts)
    assert isinstance(before, Plan)
    assert isinstance(after, Plan)
    summary = _summary(change, list(_routing_lines(before, after)))
    if after.status != "optimal":
        return _spaced([summary, proof_text(after)])
    return _spaced([summary, _backends(before, after), _frontends(before, after)])


def _spaced(parts: Iterable[RenderableType]) -> RenderableType:
    return Group(*(line for part in parts for line in (part, Text())))


def _summary(change: PlanChange, lines: Sequence[Line]) -> Table:
    columns: list[Column[Line]] = [
        names("", "label"),
        Column("before", "before"),
        Column("after", "after"),
        Column("change", "change"),
    ]
    return table(f"{change.system_name}: {change.changes.in_words}", columns, lines)


def _routing_lines(before: Plan, after: Plan) -> Iterator[Line]:
    arrivals = [float(plan.system.rates.sum()) for plan in (before, after)]
    if "infeasible" in (before.status, after.status):
        yield Line("status", before.status, after.status)
    yield _numbers("mean latency", before.mean_latency, after.mean_latency, duration)
    yield _numbers("jobs in the system", before.total_jobs, after.total_jobs)
    if before.prefix_caches and after.prefix_caches:
        cached = before.prefix_caches.mean_latency, after.prefix_caches.mean_latency
        yield _numbers("mean latency, prefixes cached", cached[0], cached[1], duration)
    if before.zones and after.zones:
        far = before.zones.mean_latency, after.zones.mean_latency
        yield _numbers("mean latency, distances of zones included", far[0], far[1], duration)
    yield _numbers("arrivals, jobs/s", arrivals[0], arrivals[1])
    capacity = [
        rate * plan.capacity_scale for rate, plan in zip(arrivals, (before, after), strict=True)
    ]
    yield _numbers("most arrivals at this mix, jobs/s", capacity[0], capacity[1])
    yield _numbers("load", 1.0 / before.capacity_scale, 1.0 / after.capacity_scale)
    yield Line("bottleneck", _tight(before), _tight(after))
    yield Line("tiers", *(str(len(plan.tiers)) if plan.tiers else "–" for plan in (before, after)))


def _tight(plan: Plan) -> str:
    tight, everything = plan.bottleneck.backends, len(plan.system.backends)
    if 1 < everything == len(tight):
        return "all backends"
    return listed(tight, _MOST_NAMES) or "–"


def _cluster_lines(before: NearDataPlan, after: NearDataPlan) -> Iterator[Line]:
    plans = (before, after)
    rates = [plan.cluster.arrival_rate for plan in plans]
    yield Line("status", before.status, after.status)
    yield _numbers("servers", before.cluster.size, after.cluster.size)
    yield _numbers("arrivals, tasks/s", rates[0], rates[1])
    capacity = [rate * plan.capacity_scale for rate, plan in zip(rates, plans, strict=True)]
    yield _numbers("most arrivals at this mix, tasks/s", capacity[0], capacity[1])
    yield _numbers("load", 1.0 / before.capacity_scale, 1.0 / after.capacity_scale)
    yield _numbers("beneficiaries", len(before.beneficiaries), len(after.beneficiaries))
    yield _numbers("remote share of tasks", before.remote_share, after.remote_share, percent)
    if before.bounds and after.bounds:
        yield _numbers("least tasks present", before.bounds.lower, after.bounds.lower)
    yield Line("bottleneck", *(servers_in_words(plan.bottleneck) or "–" for plan in plans))


def _numbers(
    label: str,
    before: float | None,
    after: float | None,
    form: Callable[[Any], str] = number,
) -> Line:
    if before is None or after is None:
        return Line(label, form(before), form(after))
    return Line(label, form(before), form(after), _change(before, after, form))


def _change(before: float, after: float, form: Callable[[Any], str]) -> str:
    """Difference with its sign, and as a share where that says something."""
    found = after - before
    if abs(found) <= _ROUNDING * abs(before):
        return "0"
    sign = "+" if found > 0 else "−"
    if form is percent:  # not of the share before: 4.3% and 26.1% are 21.8 points apart
        return f"{sign}{100.0 * abs(found):.1f} points"
    share = f" ({found / before:+.1%})" if before else ""
    return f"{sign}{form(abs(found))}{share}"


def _backends(before: Plan, after: Plan) -> Table:
    """Backends at both optima; those of a kind whose figures are the same in one row."""
    there = [{backend.name for backend in plan.system.backends} for plan in (before, after)]
    tiers = [
        {name: i for i, tier in enumerate(plan.tiers, 1) for name in tier.backends}
        for plan in (before, after)
    ]
    columns: list[Column[Pair]] = [
        names("backend", "name"),
        Column("", "state", left=True),
        Column("tier", lambda pair: _both(pair, lambda row, side: tiers[side].get(row.name, "–"))),
        Column("jobs", lambda pair: _both(pair, lambda row, _: number(row.jobs))),
        Column("jobs/s", lambda pair: _both(pair, lambda row, _: number(row.rate))),
        Column("utilisation", lambda pair: _both(pair, lambda row, _: percent(row.utilisation))),
        Column(
            "marginal jobs/s per job",
            lambda pair: _both(pair, lambda row, _: number(row.marginal_rate)),
        ),
    ]
    alike: dict[Any, list[str]] = {}
    first: dict[Any, Pair] = {}
    for pair in _pairs(before.backends, after.backends, lambda backend: backend.name, there):
        key = stem_of(pair.name), pair.state, tuple(str(c.cell(pair)) for c in columns[2:])
        alike.setdefault(key, []).append(pair.name)
        first.setdefault(key, pair)
    rows = [pair._replace(name=listed(alike[key], 1)) for key, pair in first.items()]
    return table("Backends, before → after", columns, rows, most=MOST_ROWS)


def _frontends(before: Plan, after: Plan) -> Table:
    """Latencies and marginal rates of frontends at both optima."""
    there = [{frontend.name for frontend in plan.system.frontends} for plan in (before, after)]
    pairs = _pairs(prices(before), prices(after), lambda price: price.frontend, there)
    columns: list[Column[Pair]] = [
        names("frontend", "name"),
        Column("", "state", left=True),
        Column("tier", lambda pair: _both(pair, lambda row, _: row.tier)),
        Column("jobs/s", lambda pair: _both(pair, lambda row, _: number(row.rate))),
        Column("mean latency", lambda pair: _both(pair, lambda row, _: duration(row.latency))),
        Column("change", _latency_change),
        Column(
            "marginal jobs/s per job",
            lambda pair: _both(pair, lambda row, _: number(row.marginal_rate)),
        ),
    ]
    return table("Frontends, before → after", columns, pairs, most=MOST_ROWS)


def _latency_change(pair: Pair) -> str:
    if pair.before is None or pair.after is None or not pair.before.latency:
        return "–"
    return f"{pair.after.latency / pair.before.latency - 1.0:+.1%}"


def _both(pair: Pair, form: Callable[[Any, int], Any]) -> str:
    sides = (
        "–" if row is None else str(form(row, side))
        for side, row in enumerate((pair.before, pair.after))
    )
    return " → ".join(sides)


def _pairs(
    before: Sequence[T], after: Sequence[T], name: Callable[[T], str], there: Sequence[set[str]]
) -> list[Pair]:
    """Rows in the order of `after`; what is gone stands at the end.

    `there` are the names that the systems before and after have.
    """
    first = {name(row): row for row in before}
    then = {name(row): row for row in after}
    gone = [key for key in first if key not in then]
    return [
        Pair(
            key,
            first.get(key),
            then.get(key),
            "new" if key not in there[0] else "gone" if key not in there[1] else "",
        )
        for key in [*then, *gone]
    ]


def comparison_change_report(change: ComparisonChange) -> RenderableType:
    """What `isocline simulate --add ...` prints."""
    known = change.known
    first = known[0]
    if isinstance(first, Comparison):
        print_, said_of = conditions, routing_warnings
    else:
        print_, said_of = cluster_conditions, cluster_warnings  # type: ignore[assignment]
    said = [
        Text(f"{side.capitalize()}: {line}", style="red")
        for side, one in (("before", change.before), ("after", change.after))
        if one is not None
        for line in said_of(one)  # type: ignore[arg-type]
    ]
    return Group(_policies(change), Text(), *said, small(print_(*known) + _PAIRED))  # type: ignore[arg-type]


def _policies(change: ComparisonChange) -> Table:
    """Policies before and after, and the difference of their mean latencies."""
    times = [p.mean_latency and p.mean_latency.value for one in change.known for p in one.results]
    if isinstance(change.known[0], ClusterComparison):
        scale, unit = cluster_time_unit(times, change.known[0])
    else:
        scale, unit = time_unit(times)

    def sides(cell: Callable[[Any], str]) -> Callable[[PolicyChange], str]:
        return lambda row: _both(Pair(row.policy, row.before, row.after), lambda p, _: cell(p))

    columns: list[Column[PolicyChange]] = [
        names("policy", "policy"),
        Column(f"latency before, {unit}", lambda row: _latency(row.before, scale)),
        Column(f"after, {unit}", lambda row: _latency(row.after, scale)),
        Column(f"change, {unit}", lambda row: estimate(row.difference, scale, signed=True)),
        Column("change, %", lambda row: _relative(row.ratio)),
        Column(f"p99, {unit}", sides(lambda p: value(p.p99, scale))),
        Column("jobs", sides(lambda p: value(getattr(p, "mean_jobs", None) or p.mean_tasks))),
        Column("× bound", sides(lambda p: value(p.ratio_to_bound))),
    ]
    title = f"{change.known[0].system}: {change.changes.in_words}"
    return table(title, columns, change.policies)


def _latency(found: Any, scale: float) -> str:
    return "–" if found is None else mean_or_unstable(found, scale)


def _relative(ratio: Estimate | None) -> str:
    if ratio is None:
        return "–"
    return estimate(
        Estimate(ratio.value - 1.0, ratio.low - 1.0, ratio.high - 1.0), 0.01, signed=True
    )
