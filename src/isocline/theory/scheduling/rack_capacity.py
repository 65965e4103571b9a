"""Capacity with three levels of distance: local alpha, rack beta, remote gamma.

The near-data paper leaves the intermediate rate out (Section 1.1). With it the sum of local work is
no longer all that counts: spare time is worth more in a rack that holds the data of overloaded
servers. So the capacity is a linear program (`rack_program`).

Two capacities with two levels bracket it: with gamma in place of beta, and with beta in place of
gamma. Where they agree, as under an even load, they are the answer, without a program.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError, UsageError
from isocline.model.cluster import Rates
from isocline.model.graph import CompatibilityGraph
from isocline.plural import counted
from isocline.theory.scheduling.capacity_region import balanced_load, boundary
from isocline.theory.scheduling.rack_program import (
    MOST_SECONDS,
    RackProgram,
    Sinks,
    distinct_sets,
)

FloatArray = npt.NDArray[np.float64]

# Capacities with two levels this close (relative) are one: the certificate of the level flow.
_SAME = 1e-12
# What is reached and what the prices prove may differ by this, relative. Measured: 1e-11.
_GAP = 1e-8


@final
@dataclass(frozen=True, eq=False)
class RackCapacity:
    """The boundary of the capacity region with three levels, along the arrival rates."""

    scale: float  # the largest s such that s lambda can be served
    bound: float  # no larger s can be: the proof, from prices of servers' time
    by_program: bool  # whether a linear program was needed


def rack_capacity(
    graph: CompatibilityGraph,
    rates: npt.ArrayLike,
    sinks: Sinks,
    speed: Rates,
    most_seconds: float = MOST_SECONDS,
) -> RackCapacity:
    """The largest s such that s lambda can be served with three levels of distance.

    Args:
        graph: Types (sources) and their local servers, or groups of servers that are alike (sinks).
        rates: (L,) arrival rate of each type, tasks/s, above 0.
        sinks: Sizes and racks of the servers or groups.
        speed: alpha, beta and gamma, tasks/s.
        most_seconds: Time to give the linear program.

    Raises:
        UsageError: There is no rack rate, an arrival rate is out of range, or the linear program
            takes longer than it is given; the message then has two bounds.
        NumericalError: The linear program's result misses its certificate.
    """
    if speed.rack is None:
        raise UsageError("rack capacity: there is no rack rate; capacity_region has two levels")
    supply = np.asarray(rates, dtype=np.float64)
    balanced = balanced_load(graph, supply, sinks.sizes)
    load = np.repeat(balanced.load, sinks.sizes.astype(np.int64))
    low = boundary(load, speed.local, speed.remote).scale
    high = boundary(load, speed.local, speed.rack).scale
    if high <= low * (1.0 + _SAME):
        return RackCapacity(low, high, by_program=False)
    program = RackProgram(*merged(graph, supply), sinks, speed)
    try:
        scale, bound = program.largest_scale(most_seconds)
    except TimeoutError as error:
        raise UsageError(
            "rack capacity: the linear program of three levels, for "
            f"{counted(graph.sources, 'type')} and {counted(graph.sinks, 'server')} or groups of "
            f"them, is not solved within {most_seconds:g} s; the load may grow by a factor that "
            f"lies between {low:.6g} and {high:.6g}; give fewer servers or types, or leave the "
            "rack rate out"
        ) from error
    if not abs(bound - scale) <= _GAP * scale:
        raise NumericalError(
            f"rack capacity: {scale!r} is reached and {bound!r} proven; please report it"
        )
    return RackCapacity(scale, bound, by_program=True)


def merged(graph: CompatibilityGraph, rates: FloatArray) -> tuple[CompatibilityGraph, FloatArray]:
    """Merge types so that every set of servers is one type."""
    sets, kind = distinct_sets(graph)
    if sets.sources == graph.sources:
        return graph, rates
    return sets, np.bincount(kind, rates, sets.sources).astype(np.float64)
