"""Wave push: every excess moves towards the nearest room, the farthest first."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner

if TYPE_CHECKING:
    from isocline.flow.problem import Edges

FloatArray = npt.NDArray[np.float64]
NodeArray = npt.NDArray[np.int32]


@compiled
def push_wave(
    edges: "Edges",
    group: NodeArray,
    flow: FloatArray,
    excess: FloatArray,
    distance: NodeArray,
    queue: NodeArray,
    full: int,
) -> int:
    """Search backwards from the sinks with room, then push, farthest node first.

    Stops once all `full` nodes with excess are met; returns how many were.

    Args:
        edges: The graph.
        group: (S + T,) int32, group of each node, sources first, below 0 for none; read-only.
        flow: (E,) float64, jobs/s, changed in place.
        excess: (S + T,) float64, jobs/s, what each node holds too much, negative for a sink's room;
            changed in place.
        distance: (S + T,) int32, written: steps from each node to room, -1 where none was met.
        queue: (S + T,) int32, written: the nodes met, in order.
        full: How many nodes have an excess.
    """
    sources = edges.first.size - 1
    last, met = _search(edges, group, flow, excess, distance, queue, full)
    for i in range(last - 1, -1, -1):
        node = queue[i]
        if excess[node] > 0.0:
            if node < sources:
                _send(edges, group, flow, excess, distance, node)
            else:
                _return(edges, group, flow, excess, distance, node)
    return met


@inner
def _search(
    edges: "Edges",
    group: NodeArray,
    flow: FloatArray,
    excess: FloatArray,
    distance: NodeArray,
    queue: NodeArray,
    full: int,
) -> tuple[int, int]:
    """Breadth first from the sinks with room, backwards; the nodes and the excesses met."""
    sources = edges.first.size - 1
    distance[:] = -1
    last, met = 0, 0
    for node in range(sources, group.size):
        if excess[node] < 0.0:
            distance[node] = 0
            queue[last] = node
            last += 1
    head = 0
    while head < last and met < full:
        node = queue[head]
        head += 1
        if node < sources:
            low, high = edges.first[node], edges.first[node + 1]
        else:
            low, high = edges.sink_first[node - sources], edges.sink_first[node - sources + 1]
        for i in range(low, high):
            if node < sources:
                before = np.int64(sources + edges.sink[i])
                if not flow[i] > 0.0:
                    continue
            else:
                before = np.int64(edges.source_into[i])
            if distance[before] < 0 and group[before] == group[node]:
                distance[before] = distance[node] + 1
                queue[last] = before
                last += 1
                met += excess[before] > 0.0
    return last, met


@inner
def _send(
    edges: "Edges",
    group: NodeArray,
    flow: FloatArray,
    excess: FloatArray,
    distance: NodeArray,
    node: int,
) -> None:
    """Push a source's excess to its sinks one step nearer: into room first, the rest evenly."""
    sources = edges.first.size - 1
    nearer = distance[node] - 1
    open_edges = 0
    for e in range(edges.first[node], edges.first[node + 1]):
        sink = sources + edges.sink[e]
        if distance[sink] != nearer or group[sink] != group[node]:
            continue
        open_edges += 1
        room = min(excess[node], -excess[sink])
        if room > 0.0:
            flow[e] += room
            excess[sink] += room
            excess[node] -= room
    if nearer == 0:
        return  # the rest waits here: a full sink would only send it back
    for e in range(edges.first[node], edges.first[node + 1]):
        sink = sources + edges.sink[e]
        if distance[sink] == nearer and group[sink] == group[node]:
            part = excess[node] / open_edges
            flow[e] += part
            excess[sink] += part
            excess[node] -= part
            open_edges -= 1


@inner
def _return(
    edges: "Edges",
    group: NodeArray,
    flow: FloatArray,
    excess: FloatArray,
    distance: NodeArray,
    node: int,
) -> None:
    """Push a sink's excess back to sources one step nearer to room elsewhere."""
    b = node - (edges.first.size - 1)
    for i in range(edges.sink_first[b], edges.sink_first[b + 1]):
        f = edges.source_into[i]
        e = edges.edge_into[i]
        if distance[f] == distance[node] - 1 and group[f] == group[node] and flow[e] > 0.0:
            back = min(excess[node], flow[e])
            flow[e] -= back
            excess[f] += back
            excess[node] -= back
            if excess[node] <= 0.0:
                return
