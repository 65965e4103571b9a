"""Conditions under which figures were measured: small print of every table and picture."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from isocline.plural import counted, first_of
from isocline.report.words import duration, number, time_unit
from isocline.simulate.routing.results import Comparison

if TYPE_CHECKING:
    from isocline.simulate.scheduling.results import ClusterComparison

INTERVALS = "±: 95 % Student-t intervals over replications."
_INTERRUPTED = "Interrupted: these replications were finished. "
_MOST_NAMES = 8  # names of policies with the same reading


def conditions(*comparisons: Comparison, over_time: bool = False) -> str:
    """Paragraph on arrivals, length, warm-up, seed and bound.

    For several comparisons, of a sweep, it gives ranges; their table has loads and bounds.

    Args:
        comparisons: Comparisons in the table or picture.
        over_time: Whether it shows numbers over time, without latencies and intervals.
    """
    first = comparisons[0]
    alone = len(comparisons) == 1
    bound = f", {number(first.lower_bound)} jobs, {duration(first.lower_bound_latency, 4)}"
    interrupted = any(c.interrupted for c in comparisons)
    given_trace = ", so that intervals hold given this trace" if replays(first) else ""
    return (
        f"{_INTERRUPTED if interrupted else ''}"
        f"Arrivals: {first.source}{f'; load {number(first.load, 3)}' if alone else ''}. "
        f"{_replications(comparisons, 's', '' if over_time else given_trace)}"
        f"{_scale(first)}{_delay(first)}{_caches(first)}{_models(first)}"
        f"{'' if over_time else _unfinished(first)}"
        f"{_bound(comparisons, bound if alone else '')}"
        f"{'' if over_time else INTERVALS}"
    ).rstrip()


def cluster_conditions(*comparisons: "ClusterComparison", over_time: bool = False) -> str:
    """Like `conditions`, for clusters: with the clock, and each policy's reading of the paper."""
    first = comparisons[0]
    load = f"; load {number(first.load, 3)}" if len(comparisons) == 1 else ""
    interrupted = any(c.interrupted for c in comparisons)
    run = any(c.replications for c in comparisons)
    return (
        f"{_INTERRUPTED if interrupted else ''}"
        f"{counted(len(first.servers), 'server')}; {first.source}{load}. "
        f"{first.clock.capitalize()} clock. "
        f"{_replications(comparisons, first.unit) if run else 'Not run. '}"
        f"{'' if over_time else f'Bound: {_cluster_bound(*comparisons)}. '}"
        f"{_level(first)}{_readings(first)}"
        f"{'' if over_time else INTERVALS}"
    ).rstrip()


def cluster_time_unit(
    times: Iterable[float | None], *comparisons: "ClusterComparison"
) -> tuple[float, str]:
    """Like `time_unit`, except that slots stay slots."""
    return (1.0, "slots") if comparisons[0].clock == "slotted" else time_unit(times)


def replays(c: Comparison) -> bool:
    """Whether the jobs are from a trace."""
    return c.source.startswith("trace")


def range_of(values: Iterable[float]) -> str:
    """Smallest and largest value, or one number if all are equal."""
    known = list(values)
    low, high = f"{min(known):.6g}", f"{max(known):.6g}"
    return low if low == high else f"{low} to {high}"


def _replications(
    comparisons: "Sequence[Comparison] | Sequence[ClusterComparison]", unit: str, given: str = ""
) -> str:
    first = comparisons[0]
    warmup = range_of(c.warmup for c in comparisons)
    discarded = (
        f"nothing discarded{given}"
        if all(c.warmup == 0 for c in comparisons)
        else f"of each the first {warmup} {unit} discarded ({first.warmup_rule})"
    )
    return (
        f"{range_of(c.replications for c in comparisons)} replications of "
        f"{range_of(c.horizon for c in comparisons)} {unit}, {discarded}; seed {first.seed}. "
    )


def _scale(c: Comparison) -> str:
    return "" if c.scale == 1.0 else f"Scale {c.scale:g}: a job counts 1/{c.scale:g}. "


def _delay(c: Comparison) -> str:
    if c.delay is None:
        return ""
    travel, report, every = c.delay.travel, c.delay.report, c.delay.every
    said = [
        f"jobs travel {duration(travel)}, which the bound includes" if travel else "",
        f"reports are {duration(report)} late" if report else "",
        f"backends report every {duration(every)}" if every else "",
        "frontends count their own jobs since" if c.delay.own else "",
    ]
    return f"Delays: {'; '.join(filter(None, said)) or 'none'}. "


def _caches(c: Comparison) -> str:
    if c.caches is None:
        return ""
    return (
        f"Prefix caches of {c.block_size}-token blocks: {c.caches.in_words}. Load and work are "
        "relative to work without caches, hits to prompt tokens. "
    )


def _models(c: Comparison) -> str:
    if c.eviction is None:
        return ""
    first = "that whose loss costs least" if c.eviction == "price" else "the least recently used"
    return (
        f"Models make way in memory, {first} first. Load leaves out loads of models; cold and "
        "loads are relative to the jobs that ask for one. "
    )


def _unfinished(c: Comparison) -> str:
    served = c.patience is not None or any(p.lost is not None for p in c.policies)
    said = ["Latencies are of completed jobs. "] if served else []
    if c.deadline is not None:
        said.append(f"Late: completed more than {duration(c.deadline)} after arrival. ")
    return "".join(said)


def _bound(comparisons: Sequence[Comparison], value: str) -> str:
    if comparisons[0].patience is not None:
        return "No bound: jobs give up, so that every load is stable and latencies can be short. "
    if math.isnan(comparisons[0].lower_bound):
        return "No bound: the fleet changes. "
    kinds = dict.fromkeys(c.lower_bound_kind for c in comparisons)
    words = "; or ".join(
        _kind_in_words([c for c in comparisons if c.lower_bound_kind == kind]) for kind in kinds
    )
    return f"Bound: {words}{value}. "


def _kind_in_words(comparisons: Sequence[Comparison]) -> str:
    """Description of the kind of a bound."""
    kind = comparisons[0].lower_bound_kind or "mean rate"
    if kind == "mean rate":
        ends = [c.finished_by for c in comparisons if c.finished_by is not None]
        by = f" for all that have served these jobs by {range_of(ends)} s" if ends else ""
        cached = "" if comparisons[0].caches is None else " with all that came before cached"
        return f"the fluid optimum{cached}{by}"
    gap = max((c.lower_bound_reached or 0.0) / c.lower_bound_latency for c in comparisons) - 1.0
    of = " of the fluid, all jobs of the mean size," if kind != "hindsight" else ""
    return f"the least{of} knowing the future, to within {number(100.0 * gap, 2)} %"


def _cluster_bound(*comparisons: "ClusterComparison") -> str:
    """Description of the bounds: different ones may be the largest at different loads."""
    words = [c.bound_in_words for c in comparisons]
    if len(words) > 1:
        words = [re.sub(r" \([^)]*%\)", "", one) for one in words]
    return "; or ".join(dict.fromkeys(words))


def _level(comparison: "ClusterComparison") -> str:
    if comparison.level == "data":
        return "A task is local where its data is (level data; the paper's R_m: level queue). "
    return (
        "A task is local only to the server in whose queue it waited, the paper's R_m "
        "(level queue). "
    )


def _readings(comparison: "ClusterComparison") -> str:
    """Readings of policies for which the paper can be read in two ways, each reading once."""
    said: dict[str, list[str]] = {}
    for policy in comparison.policies:
        if policy.reading:
            said.setdefault(policy.reading, []).append(policy.policy)
    return "".join(
        f"{first_of(names, _MOST_NAMES)}: {reading}. " for reading, names in said.items()
    )
