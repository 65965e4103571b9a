"""Adaptive runs of a comparison of policies, lengthened and repeated until it can be reported.

Replications are added until intervals are as narrow as asked, and a length of our own choosing that
proves too short is ours to mend.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from isocline.errors import RunTooShortError, UsageError
from isocline.policies.parse import label
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.executor import OrderedExecutor
from isocline.simulate.common.steady_state import more_replications

# 4, 16, 64 times as long.
LENGTHENING, MOST_LENGTHENINGS = 4.0, 3


class _Result(Protocol):
    @property
    def mean_latency(self) -> Estimate | None: ...


class _Comparison(Protocol):
    @property
    def policies(self) -> Sequence[_Result]: ...
    @property
    def replications(self) -> int: ...


C = TypeVar("C", bound=_Comparison)
G = TypeVar("G")
P = TypeVar("P")
Round = tuple[OrderedExecutor[Any], Callable[[], C]]
"""Replications, and what judges those that are done."""


def chosen_policies(
    policies: Sequence[G], policy_of: Callable[[G], P]
) -> tuple[list[P], list[str]]:
    """Policies and their names in tables.

    Raises:
        PolicyError: As `policy_of` does of one of them.
        UsageError: There is none, or one twice, or one string in place of a list.
    """
    if isinstance(policies, str):
        raise UsageError(f"policies {policies!r}: give a list, as [{policies!r}]")
    if not isinstance(policies, Iterable):
        raise UsageError(f"policies {policies!r}: give a list, with this as its only entry")
    chosen = [policy_of(given) for given in policies]
    labels = [label(given) for given in policies]
    if not chosen or len(set(labels)) < len(labels):
        raise UsageError(f"policies {labels}: give at least one, and each once")
    return chosen, labels


def repeated(
    begin: Callable[[float], "Round[C]"],
    replications: int,
    precision: float | None,
    length_is_given: bool,
) -> C:
    """Run a comparison until it is long and precise enough.

    Args:
        begin: Told how many times the default length is to be run.
        replications: To begin with.
        precision: Relative half-width to be reached by every mean latency; None: none.
        length_is_given: So that it is not ours to change.

    Raises:
        RunTooShortError: As `begin`'s judge does, at the given or the greatest length.
    """
    for longer in range(MOST_LENGTHENINGS + 1):
        work, judge = begin(LENGTHENING**longer)
        work.extend(replications)
        try:
            result = judge()
            while (wanted := _needed(result, precision)) > work.count and not work.interrupted:
                work.extend(wanted)
                result = judge()
            return result
        except RunTooShortError:
            if length_is_given or longer == MOST_LENGTHENINGS:
                raise
    raise AssertionError("the last turn returns or raises")


def _needed(result: _Comparison, precision: float | None) -> int:
    """Replications that should reach the precision, estimated from the present intervals."""
    widths = [p.mean_latency.relative_half_width for p in result.policies if p.mean_latency]
    return more_replications(max(widths, default=0.0), result.replications, precision)
