"""Under which conditions a figure was measured: said below every table and every picture."""

from isocline.report.words import duration, number
from isocline.simulate.results import Comparison


def conditions(comparison: Comparison, sweep: bool = False) -> str:
    """One paragraph: what came, how long, what was discarded, seed, bound.

    In a sweep, all but load and bound are the same at each load, and the table has these.
    """
    c = comparison
    load = "" if sweep else f"; load {number(c.load, 3)}"
    bound = f"{number(c.lower_bound)} jobs, {duration(c.lower_bound_latency, 4)}"
    return (
        f"{'Interrupted: these replications were finished. ' if c.interrupted else ''}"
        f"Arrivals: {c.source}{load}. {c.replications} replications of {c.horizon:g} s, "
        f"{_discarded(c)}; seed {c.seed}. "
        f"Bound: the fluid optimum{'' if sweep else f', {bound}'}. "
        "±: 95 % Student-t intervals over replications."
    )


def _discarded(c: Comparison) -> str:
    given_trace = (
        ", so that intervals hold given this trace" if c.source.startswith("trace") else ""
    )
    if c.warmup == 0:
        return f"nothing discarded{given_trace}"
    return f"of each the first {c.warmup:g} s discarded ({c.warmup_rule})"
