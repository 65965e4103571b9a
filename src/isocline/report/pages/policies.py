"""Sections on simulated policies: over load, at the file's load, and distributions of latencies."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from isocline.pages import Markup, element, joined
from isocline.report.conditions import cluster_conditions, cluster_time_unit, conditions
from isocline.report.pages.findings import Policies
from isocline.report.pages.frame import Section, bullets
from isocline.report.pages.pictures import figure_of, picture
from isocline.report.pages.tables import html_of
from isocline.report.plots.cluster import cluster_plot
from isocline.report.plots.cluster import load_plot as cluster_load_plot
from isocline.report.plots.distribution import latencies_plot
from isocline.report.plots.latency import latency_plot
from isocline.report.plots.policies import policies_plot
from isocline.report.tables import cluster as cluster_tables
from isocline.report.tables import comparison as routing_tables
from isocline.report.tables.policies import routing_policies, scheduling_policies
from isocline.report.words import estimate, listed, number, time_unit
from isocline.simulate.common.results import PolicyComparison
from isocline.simulate.routing.results import Comparison, Sweep
from isocline.simulate.scheduling.results import ClusterComparison, ClusterSweep

_FEWEST = 2  # loads needed for a picture over load
_SAME = 0.02  # ratios of latencies closer to 1 are not worth a sentence


def best_in_words(found: Policies[Any]) -> str | None:
    """Sentence on the best policy at the file's load, and its lead; None if unknown."""
    own = found.own
    if own is None:
        return None
    known = [p for p in own.results if p.mean_latency is not None]
    if len(known) < 2:
        return None
    best = min(known, key=lambda p: p.mean_latency.value)
    alike = [
        p.policy for p in known if p.mean_latency.low <= best.mean_latency.high and p is not best
    ]
    worst = max(known, key=lambda p: p.mean_latency.value)
    scale, unit = _unit(own, [best.mean_latency.value])
    said = f"Of the policies simulated at this load, {best.policy} is best with a mean of "
    said += f"{estimate(best.mean_latency, scale)} {unit}"
    if best.ratio_to_bound is not None:
        said += f", {number(best.ratio_to_bound.value, 3)} times the lower bound"
    if alike:
        said += f"; {listed(alike)} cannot be told from it"
    ratio = worst.mean_latency.value / best.mean_latency.value
    if ratio > 1.0 + _SAME and worst.policy not in alike:
        said += f". {worst.policy} takes {number(ratio, 3)} times as long"
    return f"{said}."


def policy_sections(found: Policies[Any]) -> list[Section | None]:
    """Sections on policies over load, at the file's load, and on distributions of latencies."""
    return [_over_load(found), _at_own_load(found.own), _distribution(found)]


def _over_load(found: Policies[Any]) -> Section | None:
    left_out = joined(*(element("p", why, class_="callout") for why in found.left_out))
    if not found.all:
        return Section("policies", "Policies over load", left_out) if left_out else None
    first = found.all[0]
    parts: list[object] = []
    if isinstance(first, Comparison):
        sweep = Sweep(tuple(found.all))
        tables: Sequence[Any] = routing_tables.loads_tables(sweep)
        said = routing_tables.at_loads(sweep.comparisons, routing_tables.warnings)
        draw, small = (lambda: latency_plot(sweep)), conditions(*sweep.comparisons)
    else:
        cluster_sweep = ClusterSweep(tuple(found.all))
        tables = [cluster_tables.cluster_loads_table(cluster_sweep)]
        said = routing_tables.at_loads(cluster_sweep.comparisons, cluster_tables.warnings)
        draw = lambda: cluster_load_plot(cluster_sweep)  # noqa: E731 - either of two
        small = cluster_conditions(*cluster_sweep.comparisons)
    if len(found.all) >= _FEWEST:
        drawn = picture(draw, f"Means of policies over load. {_over_load_in_words(found)}")
        parts.append(figure_of(drawn, "Mean over replications, with 95 % intervals."))
    else:
        parts.append(element("p", element("small", small, class_="conditions")))
    parts += map(html_of, [*tables, *said])
    parts.append(_described(first))
    hint = (
        "Simulated with the same arrivals for every policy. The dashed line, where there is one, "
        "is the bound: no policy is below it. A line ends where its policy stops being stable."
    )
    return Section("policies", "Policies over load", joined(*parts, left_out), hint)


def _described(first: PolicyComparison[Any]) -> Markup | None:
    """One line on each of the package's policies."""
    near_data = isinstance(first, ClusterComparison)
    known = {
        it.policy: it.summary for it in (scheduling_policies() if near_data else routing_policies())
    }
    found = [(p.policy, known.get(p.policy.partition(":")[0])) for p in first.results]
    lines = [joined(element("strong", name), f": {summary}") for name, summary in found if summary]
    return joined(element("h3", "What these policies do"), bullets(lines)) if lines else None


def _over_load_in_words(found: Policies[Any]) -> str:
    """Results at the highest load, in words."""
    last = found.all[-1]
    said = [
        f"{p.policy} {number(p.mean_latency.value)}" if p.mean_latency else f"{p.policy} {p.status}"
        for p in last.results
    ]
    return f"At load {number(last.load, 3)}: {', '.join(said)}."


def _at_own_load(own: "Comparison | ClusterComparison | None") -> Section | None:
    if own is None:
        return None
    tables: list[Any]
    if isinstance(own, ClusterComparison):
        tables = [cluster_tables.latencies_table(own), *_places(own)]
        said = cluster_tables.warnings(own)
        drawn = picture(lambda: cluster_plot(own), _figures_in_words(own))
        caption = (
            "Completion times, the mean as a dot and the 99th percentile as a bar; and how near "
            "their data tasks ran."
        )
    else:
        tables = [routing_tables.policies_table(own)]
        said = routing_tables.warnings(own)
        drawn = picture(lambda: policies_plot(own), _figures_in_words(own))
        caption = "Mean latency and, beside it, the latency that one job in a hundred exceeds."
    warned = joined(*(element("p", line, class_="warning") for line in said))
    content = joined(*map(html_of, tables), warned, figure_of(drawn, caption))
    hint = f"At the load of the file, {number(own.load, 3)} of what can be served."
    return Section("comparison", "Policies at this load", content, hint)


def _places(own: ClusterComparison) -> list[Any]:
    if all(policy.status == "unstable" for policy in own.policies):
        return []
    jobs = [cluster_tables.jobs_table(own)] if any(p.jobs for p in own.policies) else []
    return [cluster_tables.places_table(own), *jobs]


def _figures_in_words(own: "Comparison | ClusterComparison") -> str:
    said = [
        f"{p.policy}: mean {number(p.mean_latency.value)}" for p in own.results if p.mean_latency
    ]
    return "; ".join(said) or "No policy is stable."


def _unit(found: PolicyComparison[Any], times: Sequence[float]) -> tuple[float, str]:
    """Unit that suits these times: slots, or a part of a second."""
    if isinstance(found, ClusterComparison):
        return cluster_time_unit(times, found)
    return time_unit(times)


def _distribution(found: Policies[Any]) -> Section | None:
    own = found.own if found.own is not None else (found.all[-1] if found.all else None)
    if own is None or not any(p.latency_curve for p in own.results):
        return None
    scale, unit = _unit(own, [p.p95.value for p in own.results if p.p95])
    tails = [
        f"{p.policy}: half within {number(p.p50.value / scale)} {unit}, 99 % within "
        f"{number(p.p99.value / scale)} {unit}"
        for p in own.results
        if p.p50 and p.p99
    ]
    drawn = picture(lambda: latencies_plot(own), "; ".join(tails))
    hint = (
        f"At load {number(own.load, 3)}. To the right the slowest: at 99 % one in a hundred takes "
        "longer. A line that is lower is better; where lines cross, one policy is better on "
        "average and another in its tail."
    )
    # The conditions are the same as in the previous section.
    content = figure_of(replace(drawn, small=""), "Quantiles of all replications together.")
    return Section("latencies", "Distribution of latencies", content, hint)
