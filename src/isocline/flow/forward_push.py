"""Forward push: every excess fills the room that it can reach, through a tree of its own."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner

if TYPE_CHECKING:
    from isocline.flow.problem import Edges

FloatArray = npt.NDArray[np.float64]
NodeArray = npt.NDArray[np.int32]
ParentArray = npt.NDArray[np.int64]

_NOT_REACHED, _ROOT = -2, -1  # else a node's parent is the edge that leads to it


@compiled
def push_forward(
    edges: "Edges",
    group: NodeArray,
    flow: FloatArray,
    excess: FloatArray,
    queue: NodeArray,
    demand: FloatArray,
    parent: ParentArray,
    wanted: float,
) -> tuple[float, int]:
    """Search forwards from the excesses and let each fill what room its search tree can carry.

    Where much excess meets a long row of small rooms, one spreading fills them all; waves would
    fill them one by one.

    Args:
        edges: The graph.
        group: (S + T,) int32, group of each node, sources first, below 0 for none; read-only.
        flow: (E,) float64, jobs/s, changed in place.
        excess: (S + T,) float64, jobs/s, what each node holds too much, negative for a sink's room;
            changed in place.
        queue: (S + T,) int32, written: the nodes reached, in order.
        demand: (S + T,) float64, jobs/s, written: what the tree of each node looked at can take in.
        parent: (S + T,) int64, written: the edge that leads to each node, -1 at the excesses, -2
            where none does.
        wanted: jobs/s; the search ends once it has found so much room.

    Returns:
        The room found, jobs/s, and the number of nodes reached.
    """
    found, seen, last = _search(edges, group, flow, excess, queue, demand, parent, wanted)
    if found > 0.0:
        _gather(edges, flow, queue, demand, parent, seen)
        _hand_down(edges, flow, excess, queue, demand, parent, seen)
    return found, last


@inner
def _search(
    edges: "Edges",
    group: NodeArray,
    flow: FloatArray,
    excess: FloatArray,
    queue: NodeArray,
    demand: FloatArray,
    parent: ParentArray,
    wanted: float,
) -> tuple[float, int, int]:
    """Breadth first; the room found, the nodes looked at and the nodes reached."""
    sources = edges.first.size - 1
    last = 0
    for node in range(group.size):
        parent[node] = _NOT_REACHED
        if excess[node] > 0.0:
            parent[node] = _ROOT
            queue[last] = node
            last += 1
    head, found = 0, 0.0
    while head < last and found < wanted:
        node = queue[head]
        head += 1
        demand[node] = max(-excess[node], 0.0)
        found += demand[node]
        if node < sources:
            low, high = edges.first[node], edges.first[node + 1]
        else:
            low, high = edges.sink_first[node - sources], edges.sink_first[node - sources + 1]
        for i in range(low, high):
            if node < sources:
                e, after = i, np.int64(sources + edges.sink[i])
            else:
                e, after = edges.edge_into[i], np.int64(edges.source_into[i])
            if parent[after] != _NOT_REACHED or group[after] != group[node]:
                continue
            if node < sources or flow[e] > 0.0:
                parent[after] = e
                queue[last] = after
                last += 1
    return found, head, last


@inner
def _gather(
    edges: "Edges",
    flow: FloatArray,
    queue: NodeArray,
    demand: FloatArray,
    parent: ParentArray,
    seen: int,
) -> None:
    """Leaves first, add up what the tree below each node can take in."""
    sources = edges.first.size - 1
    for i in range(seen - 1, -1, -1):
        node = queue[i]
        e = parent[node]
        if e >= 0 and node < sources:
            demand[node] = min(demand[node], flow[e])
            demand[sources + edges.sink[e]] += demand[node]
        elif e >= 0:
            demand[edges.source[e]] += demand[node]


@inner
def _hand_down(
    edges: "Edges",
    flow: FloatArray,
    excess: FloatArray,
    queue: NodeArray,
    demand: FloatArray,
    parent: ParentArray,
    seen: int,
) -> None:
    """Roots first, give each node what it can take in of what its parent has too much."""
    sources = edges.first.size - 1
    for i in range(seen):
        node = queue[i]
        e = parent[node]
        if e < 0 or demand[node] == 0.0:
            continue
        above = np.int64(edges.source[e]) if node >= sources else np.int64(sources + edges.sink[e])
        part = min(excess[above], demand[node])
        if part > 0.0:
            flow[e] += part if node >= sources else -part
            excess[above] -= part
            excess[node] += part
