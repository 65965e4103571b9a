"""Greatest throughput: how much of a supply can be carried, and the part that holds it back.

A maximum flow carries that much, and a minimum cut proves that no flow carries more. Of all minimum
cuts the widest is found: it has every source that cannot reach a sink with room, so that each set
of the other sources brings less than the sinks outside the cut can take.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled
from isocline.errors import NumericalError
from isocline.flow.maxflow import FlagArray, max_flow
from isocline.flow.problem import Edges
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]

_MOST_ROUNDS = 100_000

# Less than this share of a sink's capacity is no room, and no flow that could give way to another:
# it may be what rounding left of a sum. A supply that near the boundary may be taken either way.
_NOTHING = 1e-12

# What the two sides of the proof may differ by: all sinks of the cut, each short of `_NOTHING`.
_PROVED = 1e-11


@final
@dataclass(frozen=True, eq=False)
class Throughput:
    """The most that can be carried, proved from both sides."""

    flow: FloatArray  # (E,) jobs/s, within every source's supply and every sink's capacity
    sources: FlagArray  # (S,) those of the widest minimum cut
    sinks: FlagArray  # (T,) all their neighbours, which are full
    carried: float  # jobs/s, by the flow
    cut: float  # jobs/s that no flow exceeds: see `cut_of`


def greatest_throughput(
    graph: CompatibilityGraph, supply: FloatArray, capacity: FloatArray
) -> Throughput:
    """Carry as much as possible of a supply.

    Args:
        graph: The compatibility graph: S sources, T sinks, E edges.
        supply: (S,) >= 0, jobs/s.
        capacity: (T,) > 0, finite, jobs/s.

    Raises:
        NumericalError: Flow and cut differ by more than rounding, which no known input causes.
    """
    edges = Edges.of(graph)
    group = np.zeros(graph.sources + graph.sinks, dtype=np.int32)
    degree = np.diff(graph.first)
    flow = np.repeat(supply / degree, degree)
    _, _, rounds = max_flow(
        edges, supply.copy(), capacity.copy(), group, flow, 0.0, _MOST_ROUNDS
    )  # copies, as kernels are compiled for arrays that can be written
    if rounds < 0:
        raise NumericalError(f"maximum flow: no end after {_MOST_ROUNDS} rounds")
    inflow = np.bincount(graph.sink, flow, graph.sinks)
    # What no sink has room for is left at the sinks of the cut.
    flow *= (capacity / np.maximum(inflow, capacity))[graph.sink]
    roomy = inflow < (1.0 - _NOTHING) * capacity
    movable = flow > _NOTHING * capacity[graph.sink]
    reaching = _reaching(edges, roomy, movable)
    sources = ~reaching[: graph.sources]
    sinks = np.zeros(graph.sinks, dtype=np.bool_)
    sinks[graph.sink[sources[graph.source]]] = True
    carried, cut = math.fsum(flow), cut_of(supply, capacity, sources, sinks)
    if not abs(cut - carried) <= _PROVED * cut:
        raise NumericalError(
            f"maximum flow: {carried!r} jobs/s are carried, and the cut is {cut!r}; please report"
        )
    return Throughput(flow, sources, sinks, carried, cut)


def cut_of(supply: FloatArray, capacity: FloatArray, sources: FlagArray, sinks: FlagArray) -> float:
    """Value of a cut, jobs/s: the supply of the sources outside, the capacity of the sinks inside.

    Args:
        supply: (S,) jobs/s.
        capacity: (T,) jobs/s.
        sources: (S,) those inside.
        sinks: (T,) those inside, all neighbours of the sources among them.
    """
    return math.fsum(supply[~sources]) + math.fsum(capacity[sinks])


@compiled
def _reaching(edges: Edges, roomy: FlagArray, movable: FlagArray) -> FlagArray:
    """(S + T,) bool, sources first: from where flow can be sent on to a sink with room.

    Args:
        edges: The graph.
        roomy: (T,) bool, sinks with room; read-only.
        movable: (E,) bool, edges that carry flow, which may be sent elsewhere; read-only.
    """
    sources = edges.first.size - 1
    found = np.zeros(sources + roomy.size, dtype=np.bool_)
    queue = np.empty(roomy.size, dtype=np.int64)
    last = 0
    for b in range(roomy.size):
        if roomy[b]:
            found[sources + b] = True
            queue[last] = b
            last += 1
    head = 0
    while head < last:
        b = queue[head]
        head += 1
        for i in range(edges.sink_first[b], edges.sink_first[b + 1]):
            f = edges.source_into[i]
            if found[f]:
                continue
            found[f] = True
            for e in range(edges.first[f], edges.first[f + 1]):
                other = edges.sink[e]
                if movable[e] and not found[sources + other]:
                    found[sources + other] = True
                    queue[last] = other
                    last += 1
    return found
