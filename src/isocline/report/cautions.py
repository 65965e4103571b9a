"""Sentences below a table of policies: what its figures do not say, and what to do about it."""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from isocline.report.words import listed, number
from isocline.simulate.estimates import LARGEST_GAP
from isocline.simulate.percentiles import LEAST_FOR_PERCENTILES
from isocline.simulate.results import Estimate


class _Result(Protocol):
    @property
    def policy(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def p99(self) -> Estimate | None: ...
    @property
    def completed(self) -> int: ...
    @property
    def littles_law(self) -> float: ...
    @property
    def finished(self) -> float | None: ...


def cautions(results: Sequence[_Result], replications: int, what: str) -> list[str]:
    """One sentence for each reason to doubt a figure, or for there being none.

    Args:
        results: Of several policies.
        replications: Of each.
        what: Is counted: "jobs", "tasks".
    """
    timed = [p for p in results if p.status != "unstable" and not math.isnan(p.littles_law)]
    return [*_little(timed, what), *_percentiles(timed, replications, what)]


def overload_in_words(load: float) -> str:
    """What figures mean where a trace brings more than can be served."""
    return (
        f"Beyond capacity: the load is {number(load, 3)} times what can be served. Queues grow "
        "while the trace lasts: these figures are of its length, and grow with it"
    )


def _little(timed: Iterable[_Result], what: str) -> list[str]:
    return [
        f"{p.policy} misses Little's law by {p.littles_law:.1%}: {what} that were there at the "
        f"ends of the measured part weigh too much; give a longer --horizon, or a shorter --warmup"
        for p in timed
        if p.littles_law > LARGEST_GAP
    ]


def _percentiles(timed: Iterable[_Result], replications: int, what: str) -> list[str]:
    missing = [p for p in timed if p.p99 is None]
    enough = LEAST_FOR_PERCENTILES * replications
    few = [p for p in missing if p.completed < enough]
    far = [p.policy for p in missing if p.completed >= enough]
    said = []
    if few:
        said.append(
            f"No percentiles of {listed(p.policy for p in few)}: they need "
            f"{number(LEAST_FOR_PERCENTILES)} {what} a replication"
            f"{'' if few[0].finished is not None else '; give a longer --horizon'}"
        )
    if far:
        said.append(
            f"No percentiles of {listed(far)}: times lie outside 1e-30 to 1e30 s; give rates in "
            "another unit of time"
        )
    return said
