"""Maximum flow on a bipartite graph with real supplies and capacities, and its minimum cut.

Edges carry any amount; sources and sinks are limited. A preflow is repaired by three moves,
after Goldberg and Tarjan (J. ACM 35(4), 1988) and Tarjan's waves (Oper. Res. Lett. 2(6), 1984):

    wave    search backwards from the sinks with room, which gives exact distances in the residual
            graph; then every node, farthest first, pushes its excess one step nearer
    spread  search forwards from the excesses; then each fills the room its search tree can carry
    trees   no search: excess and room cancel along a forest of edges that carry more than that

A wave merges many excesses on their way to one room, a spread divides one excess over many rooms.
On a long path each move carries flow over any distance, so that a ring of n nodes takes about log n
moves where augmenting paths, or waves alone, take n. Trees come first where there is as much room
as excess, as in a group whose sinks have to be filled: over a start that is nearly right they do in
one pass what takes the others many.

An excess counts if it exceeds `ROUNDING` of its own node's supply or capacity. That is relative to
the node and not to the total, so that supplies 12 orders of magnitude apart keep their digits.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner
from isocline.flow.forward_push import push_forward
from isocline.flow.tree_push import push_along_trees
from isocline.flow.wave_push import push_wave

if TYPE_CHECKING:
    from isocline.flow.problem import Edges

FloatArray = npt.NDArray[np.float64]
GroupArray = npt.NDArray[np.int32]
FlagArray = npt.NDArray[np.bool_]

# A node's own sum of a few flows is this exact, one of n flows sqrt(n) times less: rounding
# is a random walk. What its excess is beyond that is pushed on. Up to 65536 = 256^2 flows, so
# that a sink is right to 2.6e-13, within a certificate's 1e-12.
ROUNDING = 1e-15
_MOST_TERMS = 65536


@compiled
def max_flow(
    edges: "Edges",
    supply: FloatArray,
    capacity: FloatArray,
    group: GroupArray,
    flow: FloatArray,
    slack: float,
    most_rounds: int,
) -> tuple[FlagArray, FloatArray, int]:
    """Repair `flow` in place until no source or sink that holds too much can reach room.

    Args:
        edges: The graph.
        supply: (S,) float64, jobs/s, what each source has to send; read-only.
        capacity: (T,) float64, jobs/s, what each sink can take; read-only.
        group: (S + T,) int32, group of each node, sources first; only edges inside a group exist,
            and nodes of a group below 0 are left alone. Read-only.
        flow: (E,) float64, jobs/s: a start, any nonnegative numbers; the maximum flow on return.
        slack: Share of its capacity by which a sink may be overfull.
        most_rounds: Where to give up.

    Returns:
        (S + T,) bool flags: the source side of the minimal minimum cut, empty where everything was
        sent (a group with a flagged node cannot send all; its flagged sources and their neighbours
        in the group, which are the flagged sinks, are the proof); (S + T,) float64, jobs/s, what
        each node holds too much, negative for a sink's room; and the number of rounds, or -1.
    """
    nodes = supply.size + capacity.size
    excess, demand = np.empty(nodes), np.empty(nodes)
    distance, queue = np.empty(nodes, dtype=np.int32), np.empty(nodes, dtype=np.int32)
    parent = np.empty(nodes, dtype=np.int64)
    cut = np.zeros(nodes, dtype=np.bool_)
    reach, left_before, gentle, left_at_trees = 2.0, np.inf, False, np.inf
    for round_ in range(most_rounds):
        full, roomy, left, room = _excesses(edges, supply, capacity, group, flow, slack, excess)
        if full == 0:
            return cut, excess, round_
        if left < 0.5 * left_at_trees and roomy > 0 and room < 2.0 * left:
            left_at_trees = left
            # What the branches of a tree hold too much in sum is a random walk over their nodes.
            amount = left / math.sqrt(full)
            push_along_trees(edges, group, flow, excess, amount, distance, queue, parent)
            continue
        if left > 0.5 * left_before:
            reach *= 4.0  # thin arcs: search farther for more room
        # A wave that brings a large excess to a minute room stirs up rounding that looks like new
        # room, without end; spreading moves no more than the room can take.
        gentle = left > 0.9 * left_before and not gentle
        left_before = left
        # A search costs what it visits: start it where there are fewer nodes to start from.
        met = 0
        if roomy < 4 * full and not gentle:
            met = push_wave(edges, group, flow, excess, distance, queue, full)
        if met > 0 and 4 * roomy < full:
            continue
        found, reached = push_forward(
            edges, group, flow, excess, queue, demand, parent, reach * left
        )
        if found == 0.0 and met == 0:  # after a wave, look at the flow itself first
            for i in range(reached):
                cut[queue[i]] = True
            return cut, excess, round_ + 1
    return cut, excess, -1


@inner
def _excesses(
    edges: "Edges",
    supply: FloatArray,
    capacity: FloatArray,
    group: GroupArray,
    flow: FloatArray,
    slack: float,
    excess: FloatArray,
) -> tuple[int, int, float, float]:
    """Excess of every node from the flow itself, so that rounding does not pile up.

    A sink's room is a negative excess; what may be rounding is none.

    Returns:
        The number of nodes with excess, that of sinks with room, the total excess and room.
    """
    sources = supply.size
    full, total = _source_excesses(edges, supply, capacity, group, flow, excess)
    roomy, room = 0, 0.0
    for b in range(capacity.size):
        over = excess[sources + b] - slack * capacity[b]
        terms = min(edges.sink_first[b + 1] - edges.sink_first[b], _MOST_TERMS)
        exact = ROUNDING * math.sqrt(terms) * capacity[b]
        if group[sources + b] < 0 or abs(over) <= exact:
            excess[sources + b] = 0.0
            continue
        excess[sources + b] = over
        if over > 0.0:
            full += 1
            total += over
        else:
            roomy += 1
            room -= over
    return full, roomy, total, room


@inner
def _source_excesses(
    edges: "Edges",
    supply: FloatArray,
    capacity: FloatArray,
    group: GroupArray,
    flow: FloatArray,
    excess: FloatArray,
) -> tuple[int, float]:
    """Excess of the sources, count and total; on the way, inflow less capacity of the sinks."""
    sources = supply.size
    # Not `excess[sources:] = -capacity`: for 2 s numba would compile how the error for shapes that
    # differ is put into words.
    for b in range(capacity.size):
        excess[sources + b] = -capacity[b]
    full, total = 0, 0.0
    for f in range(sources):
        excess[f] = 0.0
        if group[f] < 0:
            continue
        sent = 0.0
        for e in range(edges.first[f], edges.first[f + 1]):
            sent += flow[e]
        left = supply[f] - sent
        if left < 0.0:  # sent too much: a start from elsewhere, or rounding
            for e in range(edges.first[f], edges.first[f + 1]):
                flow[e] *= supply[f] / sent
        elif left > ROUNDING * supply[f]:
            excess[f] = left
            full += 1
            total += left
        for e in range(edges.first[f], edges.first[f + 1]):
            if flow[e] > 0.0:
                excess[sources + edges.sink[e]] += flow[e]
    return full, total
