"""Capacity slack: distance of a load from the capacity region's boundary, and the bottleneck."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError, UsageError
from isocline.flow.maxflow import max_flow
from isocline.flow.problem import Edges, require_supply
from isocline.flow.silent_sources import speaking
from isocline.model.graph import CompatibilityGraph, IndexArray

FloatArray = npt.NDArray[np.float64]

# Each step's bottleneck is tighter than the last by more than this, or it is the last.
_TIGHTER = 1e-13

# The steps visit breakpoints of a concave function with as many pieces as sources; below 20 in
# practice.
_MOST_STEPS = 1000
_MOST_ROUNDS = 100_000


@final
@dataclass(frozen=True, eq=False)
class CapacityScale:
    """The largest s such that s * supply can be carried; the bottleneck proves it.

    scale = capacity of `sinks` / supply of `sources`, and `sinks` are all neighbours of `sources`.
    With scale <= 1 they prove that the supply is infeasible. Both are empty where scale is inf.
    """

    scale: float
    sources: IndexArray
    sinks: IndexArray


def neighbourhood(graph: CompatibilityGraph, sources: IndexArray) -> IndexArray:
    """All sinks of a set of sources, sorted."""
    chosen = np.zeros(graph.sources, dtype=np.bool_)
    chosen[sources] = True
    # `np.unique` would import numpy.ma, which takes 8 ms.
    used = np.zeros(graph.sinks, np.bool_)
    used[graph.sink[chosen[graph.source]]] = True
    return np.flatnonzero(used)


def capacity_scale(
    graph: CompatibilityGraph, supply: FloatArray, capacity: FloatArray
) -> CapacityScale:
    """Largest s with s * supply within capacity, by Newton's method on minimum cuts.

    Start from the s at which all sources together fill all their sinks; a maximum flow at s either
    carries everything, or its minimum cut is a set of sources that needs a smaller s (Dinkelbach,
    Management Science 13(7), 1967). Each step is exact, and few are needed.

    Args:
        graph: The compatibility graph.
        supply: (S,) >= 0, not all 0, jobs/s.
        capacity: (T,) > 0, jobs/s; inf is allowed.

    Raises:
        UsageError: A supply or capacity is out of range.
    """
    supply, capacity = np.asarray(supply, np.float64), np.asarray(capacity, np.float64)
    require_supply(graph, supply)
    if capacity.shape != (graph.sinks,) or not (capacity > 0).all():
        raise UsageError(
            f"capacity must hold {graph.sinks} numbers above 0, one for each sink; "
            f"got shape {capacity.shape}"
        )
    part = speaking(graph, supply)
    if part is not None:
        found = capacity_scale(part.graph, supply[part.sources], capacity)
        return CapacityScale(found.scale, part.sources[found.sources], found.sinks)
    # A source with an unbounded sink is in no bottleneck.
    endless = np.maximum.reduceat(capacity[graph.sink], graph.first[:-1]) == np.inf
    bottleneck = np.flatnonzero(~endless)
    if not bottleneck.size:
        return CapacityScale(np.inf, bottleneck, np.empty(0, np.int64))
    sinks = neighbourhood(graph, bottleneck)
    group = np.full(graph.sources + graph.sinks, -1, dtype=np.int32)
    group[bottleneck] = 0
    group[graph.sources + sinks] = 0
    finite = np.where(np.isfinite(capacity), capacity, 0.0)
    scale = _ratio(supply, capacity, bottleneck, sinks)
    flow = scale * np.repeat(supply / np.diff(graph.first), np.diff(graph.first))
    for _ in range(_MOST_STEPS):
        cut, _, rounds = max_flow(
            Edges.of(graph), scale * supply, finite, group, flow, 0.0, _MOST_ROUNDS
        )
        if rounds < 0:
            break
        tighter = np.flatnonzero(cut[: graph.sources])
        if not tighter.size:
            return CapacityScale(scale, bottleneck, sinks)
        around = neighbourhood(graph, tighter)
        smaller = _ratio(supply, capacity, tighter, around)
        if not smaller < scale * (1.0 - _TIGHTER):
            return CapacityScale(scale, bottleneck, sinks)
        flow *= smaller / scale
        scale, bottleneck, sinks = smaller, tighter, around
    raise NumericalError(f"capacity scale: no end after {_MOST_STEPS} steps")


def _ratio(
    supply: FloatArray, capacity: FloatArray, sources: IndexArray, sinks: IndexArray
) -> float:
    return math.fsum(capacity[sinks]) / math.fsum(supply[sources])
