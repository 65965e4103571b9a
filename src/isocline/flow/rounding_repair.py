"""Rounding repair: supply left unsent at thousands of nodes goes to the sink that lacks it."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner
from isocline.flow.maxflow import GroupArray

if TYPE_CHECKING:
    from isocline.flow.problem import Edges

FloatArray = npt.NDArray[np.float64]


@compiled
def repair_rounding(
    edges: "Edges",
    capacity: FloatArray,
    group: GroupArray,
    flow: FloatArray,
    excess: FloatArray,
    short: float,
    give: float,
) -> None:
    """Fill sinks that miss more than `short` of their capacity from sinks near them, in place.

    Each other sink of the group gives at most the share `give` of its capacity, along paths of the
    residual graph found by a search that starts at the short sink and ends when it is full.

    Args:
        edges: The graph.
        capacity: (T,) float64, jobs/s, what each sink should take in; read-only.
        group: (S + T,) int32, group of each node, sources first, below 0 for none; read-only.
        flow: (E,) float64, jobs/s, changed in place.
        excess: (S + T,) float64, jobs/s, what each node holds too much, negative for a sink's room;
            that of the sinks is kept up.
        short: See above.
        give: See above.
    """
    sources = edges.first.size - 1
    parent = np.full(group.size, -1, dtype=np.int64)
    queue = np.empty(group.size, dtype=np.int32)
    for start in range(sources, group.size):
        if group[start] < 0 or not excess[start] < -short * capacity[start - sources]:
            continue
        queue[0] = start
        parent[start] = start  # any edge number: only the search's root is never followed
        head, last = 0, 1
        while head < last and excess[start] < 0.0:
            node = queue[head]
            head += 1
            if node < sources:
                low, high = edges.first[node], edges.first[node + 1]
            else:
                low, high = edges.sink_first[node - sources], edges.sink_first[node - sources + 1]
                if node != start:
                    _fetch(edges, capacity, flow, excess, parent, start, node, give)
            for i in range(low, high):
                e = i if node < sources else edges.edge_into[i]
                other = sources + edges.sink[e] if node < sources else edges.source[e]
                passable = node >= sources or flow[e] > 0.0
                if passable and parent[other] < 0 and group[other] == group[start]:
                    parent[other] = e
                    queue[last] = other
                    last += 1
        for i in range(last):
            parent[queue[i]] = -1


@inner
def _fetch(
    edges: "Edges",
    capacity: FloatArray,
    flow: FloatArray,
    excess: FloatArray,
    parent: npt.NDArray[np.int64],
    start: int,
    giver: int,
    give: float,
) -> None:
    """Move what `giver` can spare along the search tree to `start`."""
    sources = edges.first.size - 1
    amount = min(-excess[start], give * capacity[giver - sources] + excess[giver])
    node = np.int64(giver)
    while node != start:
        e = parent[node]
        if node >= sources:
            amount = min(amount, flow[e])
        node = np.int64(edges.source[e]) if node >= sources else np.int64(sources + edges.sink[e])
    if amount <= 0.0:
        return
    excess[giver] -= amount
    excess[start] += amount
    node = np.int64(giver)
    while node != start:
        e = parent[node]
        if node >= sources:
            flow[e] -= amount
            node = np.int64(edges.source[e])
        else:
            flow[e] += amount
            node = np.int64(sources + edges.sink[e])
