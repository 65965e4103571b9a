"""Policies side by side: one table per comparison, and one for a sweep over loads."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.report.cautions import cautions, overload_in_words
from isocline.report.conditions import conditions
from isocline.report.table_style import table
from isocline.report.words import estimate, listed, number, time_unit
from isocline.simulate.results import Comparison, PolicyResult, Sweep

_SHORT, _LONG = 12, 28  # letters of a policy's name, in a table of 120 columns


def comparison_report(comparison: Comparison) -> RenderableType:
    """What `isocline simulate` prints: the policies, and under which conditions."""
    said = [Text(line, style="red") for line in warnings(comparison)]
    return Group(_policies(comparison), Text(), *said, Text(conditions(comparison), style="dim"))


def sweep_report(sweep: Sweep) -> RenderableType:
    """Mean latency of each policy at each load, the bound, and under which conditions."""
    first = sweep.comparisons[0]
    scale, unit = time_unit(one.lower_bound_latency for one in sweep.comparisons)
    made = table(
        f"{first.system}: mean latency in {unit} at load",
        [("policy", "left"), *((number(one.load, 3), "right") for one in sweep.comparisons)],
    )
    for i, policy in enumerate(first.policies):
        cells = [_latency(one.policies[i], scale) for one in sweep.comparisons]
        made.add_row(policy.policy, *cells)
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
    return Group(made, Text(), *lines)


def warnings(comparison: Comparison) -> list[str]:
    """Sentences on overload, policies without a steady state, and figures that are in doubt."""
    beyond = comparison.status == "overloaded"
    said = [overload_in_words(comparison.load)] if beyond else []
    for p in comparison.policies:
        if p.status == "unstable":
            said.append(f"{p.policy} is unstable: jobs {_at(p.overloaded)}grow without end")
        elif p.status == "overloaded" and not beyond:
            said.append(
                f"{p.policy} overloads {listed(p.overloaded)}: its figures are of a trace of this "
                "length and grow with it"
            )
    return said + cautions(comparison.policies, comparison.replications, "jobs")


def _at(backends: Sequence[str]) -> str:
    return f"at {listed(backends)} " if backends else ""  # they may wait at frontends


def _policies(comparison: Comparison) -> Table:
    first = comparison.policies[0].policy
    latencies = [p.mean_latency for p in comparison.policies]
    scale, unit = time_unit([*(e and e.value for e in latencies), comparison.lower_bound_latency])
    made = table(
        comparison.system,
        [
            ("policy", "left"),
            (f"latency, {unit}", "right"),
            (f"p50, {unit}", "right"),
            (f"p95, {unit}", "right"),
            (f"p99, {unit}", "right"),
            ("jobs", "right"),
            ("× bound", "right"),
            (f"above {first if len(first) <= _SHORT else 'the first'}, {unit}", "right"),
        ],
    )
    # Names stay whole unless that would break the numbers.
    made.columns[0].no_wrap = max(len(p.policy) for p in comparison.policies) <= _LONG
    best = min((e.value for e in latencies if e is not None), default=None)
    for p in comparison.policies:
        is_best = p.mean_latency is not None and p.mean_latency.value == best
        made.add_row(
            p.policy,
            _latency(p, scale),
            number(p.p50 and p.p50.value / scale),
            number(p.p95 and p.p95.value / scale),
            estimate(p.p99, scale),
            number(p.mean_jobs and p.mean_jobs.value),
            estimate(p.ratio_to_bound),
            estimate(p.difference, scale, signed=True),
            style="bold" if is_best else None,
        )
    return made


def _latency(policy: PolicyResult, scale: float) -> str:
    return "unstable" if policy.status == "unstable" else estimate(policy.mean_latency, scale)
