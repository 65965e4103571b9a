"""Under which conditions a cluster was measured: said below every table and every picture."""

import re
from collections.abc import Iterable, Sequence

from isocline.plural import counted
from isocline.report.conditions import range_of
from isocline.report.words import number, time_unit
from isocline.simulate.scheduling.results import ClusterComparison

_MOST_NAMES = 8  # of policies that are read alike


def cluster_conditions(*comparisons: ClusterComparison) -> str:
    """One paragraph: what came, on which clock, how long, what was discarded, seed, bound.

    Of several comparisons, those of a sweep, it gives ranges; their table has load and bound.
    """
    first = comparisons[0]
    load = f"; load {number(first.load, 3)}" if len(comparisons) == 1 else ""
    interrupted = any(c.interrupted for c in comparisons)
    return (
        f"{'Interrupted: these replications were finished. ' if interrupted else ''}"
        f"{counted(len(first.servers), 'server')}; {first.source}{load}. "
        f"{first.clock.capitalize()} clock. "
        f"{_replications(*comparisons)}Bound: {_bound(*comparisons)}. "
        f"{_level(first)}{_readings(first)}"
        "±: 95 % Student-t intervals over replications."
    )


def cluster_time_unit(
    times: Iterable[float | None], *comparisons: ClusterComparison
) -> tuple[float, str]:
    """As `time_unit`, but slots are slots."""
    return (1.0, "slots") if comparisons[0].clock == "slotted" else time_unit(times)


def _bound(*comparisons: ClusterComparison) -> str:
    """Another bound may be the largest at another load, and its numbers are others."""
    words = [c.bound_in_words for c in comparisons]
    if len(words) > 1:
        words = [re.sub(r" \([^)]*%\)", "", one) for one in words]
    return "; or ".join(dict.fromkeys(words))


def _level(comparison: ClusterComparison) -> str:
    if comparison.level == "data":
        return "A task is local where its data is (level data; the paper's R_m: level queue). "
    return (
        "A task is local only to the server in whose queue it waited, the paper's R_m "
        "(level queue). "
    )


def _readings(comparison: ClusterComparison) -> str:
    """What each policy does where it can be read in two ways; policies that say the same, once."""
    said: dict[str, list[str]] = {}
    for policy in comparison.policies:
        if policy.reading:
            said.setdefault(policy.reading, []).append(policy.policy)
    return "".join(f"{_some(names)}: {reading}. " for reading, names in said.items())


def _some(names: Sequence[str]) -> str:
    hidden = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {hidden} more" if hidden > 0 else "")


def _replications(*comparisons: ClusterComparison) -> str:
    first = comparisons[0]
    if not any(c.replications for c in comparisons):
        return "Not run. "
    return (
        f"{range_of(c.replications for c in comparisons)} replications of "
        f"{range_of(c.horizon for c in comparisons)} {first.unit}, {_discarded(*comparisons)}; "
        f"seed {first.seed}. "
    )


def _discarded(*comparisons: ClusterComparison) -> str:
    first = comparisons[0]
    if all(c.warmup == 0 for c in comparisons):
        return "nothing discarded"
    warmup = range_of(c.warmup for c in comparisons)
    return f"of each the first {warmup} {first.unit} discarded ({first.warmup_rule})"
