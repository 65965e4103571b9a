"""Cautions below a table of policies: doubtful figures, and their remedies."""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from isocline.report.words import listed, number
from isocline.simulate.common.percentiles import LEAST_FOR_PERCENTILES
from isocline.simulate.routing.estimates import LARGEST_GAP
from isocline.simulate.routing.overload import spans_in_words

if TYPE_CHECKING:
    from isocline.simulate.routing.results import PolicyResult
    from isocline.simulate.scheduling.results import SchedulingResult

    _Result = PolicyResult | SchedulingResult

# If a larger share is never served, a longer run does not help.
_HARDLY_ANY = 0.9


def cautions(
    results: "Sequence[_Result]",
    replications: int,
    what: str,
    *,
    percentiles: bool = True,
    replays: bool = False,
    unserved: Mapping[str, float] = MappingProxyType({}),
) -> list[str]:
    """Sentences on figures that are doubtful or missing, one per reason.

    Args:
        results: Results of several policies.
        replications: Number of replications of each.
        what: Noun for what is counted: "jobs" or "tasks".
        percentiles: Whether percentiles were requested.
        replays: Whether arrivals are from a trace, which cannot be made longer.
        unserved: Share that is never served, by policy, where there is any.
    """
    timed = [p for p in results if p.status != "unstable" and not math.isnan(p.littles_law)]
    said = _little(timed, what)
    if percentiles:
        hopeless = {name: share for name, share in unserved.items() if share > _HARDLY_ANY}
        longer = "trace" if replays else "--horizon"
        said += _percentiles(timed, replications, what, longer, hopeless)
    return said


def trace_overload_in_words(load: float) -> str:
    """Meaning of the figures if a trace exceeds the capacity."""
    return (
        f"Beyond capacity: the load of the trace is {number(load, 3)} times what can be served. "
        "Queues grow as long as it lasts; a longer trace would give larger figures"
    )


def passing_overload_in_words(spans: Sequence[tuple[float, float]]) -> str:
    """Meaning of the figures if the load exceeds the capacity during parts of a run."""
    return (
        f"Beyond capacity {spans_in_words(spans)}: arrivals exceed what can be served. Queues "
        "grow meanwhile, so these figures depend on how long that lasts"
    )


def _little(timed: "Iterable[_Result]", what: str) -> list[str]:
    return [
        f"{p.policy} misses Little's law by {p.littles_law:.1%}: {what} that are there at the "
        f"ends of the measured part weigh too much; {_whole(p)}"
        for p in timed
        if p.littles_law > LARGEST_GAP
    ]


def _whole(result: "_Result") -> str:
    """Remedy: a run without jobs at its ends, or in which they matter less."""
    if result.finished is None:
        return "give a longer --horizon, or a shorter --warmup"
    return "begin with an empty system and measure all of the run: leave out --start and --warmup"


def _percentiles(
    timed: "Iterable[_Result]",
    replications: int,
    what: str,
    longer: str,
    hopeless: Mapping[str, float],
) -> list[str]:
    missing = [p for p in timed if p.p99 is None]
    enough = LEAST_FOR_PERCENTILES * replications
    few = [p for p in missing if p.completed < enough]
    far = [p.policy for p in missing if p.completed >= enough]
    said = []
    if few:
        said.append(
            f"No percentiles of {listed(p.policy for p in few)}: they need "
            f"{number(LEAST_FOR_PERCENTILES)} completed {what} a replication; "
            f"{_more(few, longer, hopeless)}"
        )
    if far:
        said.append(
            f"No percentiles of {listed(far)}: times lie outside 1e-30 to 1e30 s; give rates in "
            "another unit of time"
        )
    return said


def _more(few: "Sequence[_Result]", longer: str, hopeless: Mapping[str, float]) -> str:
    """Remedy for too few completed jobs."""
    shares = [hopeless[p.policy] for p in few if p.policy in hopeless]
    if shares:
        return (
            f"hardly any is: {min(shares):.0%} or more are never served, as more comes than can be "
            "served in time; give a lower --load, or more patience"
        )
    return f"give a longer {longer}"
