"""Under which conditions a figure was measured: said below every table and every picture."""

import math
from collections.abc import Iterable, Sequence

from isocline.report.words import duration, number
from isocline.simulate.routing.results import Comparison


def conditions(*comparisons: Comparison) -> str:
    """One paragraph: what came, how long, what was discarded, seed, bound.

    Of several comparisons, those of a sweep, it gives ranges; their table has load and bound.
    """
    first = comparisons[0]
    alone = len(comparisons) == 1
    bound = f", {number(first.lower_bound)} jobs, {duration(first.lower_bound_latency, 4)}"
    interrupted = any(c.interrupted for c in comparisons)
    return (
        f"{'Interrupted: these replications were finished. ' if interrupted else ''}"
        f"Arrivals: {first.source}{f'; load {number(first.load, 3)}' if alone else ''}. "
        f"{range_of(c.replications for c in comparisons)} replications of "
        f"{range_of(c.horizon for c in comparisons)} s, {_discarded(comparisons)}; "
        f"seed {first.seed}. {_scale(first)}{_delay(first)}"
        f"{_unfinished(first)}"
        f"{_bound(comparisons, bound if alone else '')}"
        "±: 95 % Student-t intervals over replications."
    )


def _scale(c: Comparison) -> str:
    return "" if c.scale == 1.0 else f"Scale {c.scale:g}: a job counts 1/{c.scale:g}. "


def _delay(c: Comparison) -> str:
    if c.delay is None:
        return ""
    travel, report, every = c.delay.travel, c.delay.report, c.delay.every
    said = [
        f"jobs travel {duration(travel)}, which the bound has, too" if travel else "",
        f"news is {duration(report)} on its way" if report else "",
        f"backends report every {duration(every)}" if every else "",
        "frontends count their own jobs since" if c.delay.own else "",
    ]
    return f"Delays: {'; '.join(filter(None, said)) or 'none'}. "


def _unfinished(c: Comparison) -> str:
    served = c.patience is not None or any(p.lost is not None for p in c.policies)
    said = ["Latencies are of completed jobs. "] if served else []
    if c.deadline is not None:
        said.append(f"Late: completed more than {duration(c.deadline)} after arrival. ")
    return "".join(said)


def range_of(values: Iterable[float]) -> str:
    """The least and the largest, or one number where all are the same."""
    listed = list(values)
    low, high = f"{min(listed):.6g}", f"{max(listed):.6g}"
    return low if low == high else f"{low} to {high}"


def _bound(comparisons: Sequence[Comparison], value: str) -> str:
    if comparisons[0].patience is not None:
        return "No bound: jobs give up, so that every load is stable and latencies can be short. "
    if math.isnan(comparisons[0].lower_bound):
        return "No bound: the fleet changes. "
    ends = [c.finished_by for c in comparisons if c.finished_by is not None]
    by = f" for all that have served these jobs by {range_of(ends)} s" if ends else ""
    return f"Bound: the fluid optimum{by}{value}. "


def replays(c: Comparison) -> bool:
    """Whether a trace brings the jobs."""
    return c.source.startswith("trace")


def _discarded(comparisons: Sequence[Comparison]) -> str:
    first = comparisons[0]
    if all(c.warmup == 0 for c in comparisons):
        given_trace = ", so that intervals hold given this trace" if replays(first) else ""
        return f"nothing discarded{given_trace}"
    warmup = range_of(c.warmup for c in comparisons)
    return f"of each the first {warmup} s discarded ({first.warmup_rule})"
