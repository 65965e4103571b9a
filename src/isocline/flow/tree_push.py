"""Tree push: excess and room cancel along a forest of edges that carry much, without a search.

Where a start is nearly right, nearly every node holds a little too much or lacks a little, and
there is as much of the one as of the other. Union and find, in the order of the edges, chooses a
forest of edges that carry more than such amounts. Then each tree is taken apart leaf by leaf: a
leaf passes what it holds too much, or lacks, to the one node that it is still joined to, as far as
the edge between them carries that. So it all meets at the last node of each tree, where nothing
but rounding is left if the tree spans a group whose supply and capacity are equal. Both passes
take the nodes in the order of memory, where a search would jump through the graph.

A leaf is found by the number of its tree edges, and its last edge by the exclusive or of their
numbers, from which edges that are gone have been taken out again.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner
from isocline.flow.union_find import root_of

if TYPE_CHECKING:
    from isocline.flow.problem import Edges

FloatArray = npt.NDArray[np.float64]
NodeArray = npt.NDArray[np.int32]
EdgeArray = npt.NDArray[np.int64]


@compiled
def push_along_trees(
    edges: "Edges",
    group: NodeArray,
    flow: FloatArray,
    excess: FloatArray,
    amount: float,
    parent: NodeArray,
    joined: NodeArray,
    link: EdgeArray,
) -> int:
    """Cancel excess and room along trees of edges that carry more than `amount`.

    A source whose edge carries too little may be left with less than nothing: it has then sent
    more than its supply.

    Args:
        edges: The graph.
        group: (S + T,) int32, group of each node, sources first, below 0 for none; read-only.
        flow: (E,) float64, jobs/s, at least 0, changed in place.
        excess: (S + T,) float64, jobs/s, what each node holds too much, negative for a sink's room;
            changed in place.
        amount: jobs/s.
        parent: (S + T,) int32, scratch: of union and find.
        joined: (S + T,) int32, scratch: number of tree edges left at each node.
        link: (S + T,) int64, scratch: exclusive or of the numbers of these edges.

    Returns:
        The number of tree edges.
    """
    count = _join(edges, group, flow, amount, parent, joined, link)
    sources = edges.first.size - 1
    for start in range(group.size):
        node = np.int64(start)
        while joined[node] == 1:
            e = link[node]
            sink = np.int64(sources + edges.sink[e])
            if node == sink:
                other = np.int64(edges.source[e])
                part = min(excess[node], flow[e])
                flow[e] -= part
            else:
                other = sink
                part = max(excess[node], -flow[e])
                flow[e] += part
            excess[other] += part
            excess[node] -= part
            joined[node] = 0
            joined[other] -= 1
            link[other] ^= e
            node = other
    return count


@inner
def _join(
    edges: "Edges",
    group: NodeArray,
    flow: FloatArray,
    amount: float,
    parent: NodeArray,
    joined: NodeArray,
    link: EdgeArray,
) -> int:
    """Choose the edges of the forest: those that join two trees; their number."""
    sources = edges.first.size - 1
    for node in range(group.size):
        parent[node] = node
        joined[node] = 0
        link[node] = 0
    count = 0
    for f in range(sources):
        if group[f] < 0:
            continue
        root = root_of(parent, f)
        for e in range(edges.first[f], edges.first[f + 1]):
            if not flow[e] > amount:
                continue
            b = np.int64(sources + edges.sink[e])
            if group[b] != group[f]:
                continue
            other = root_of(parent, b)
            if other == root:
                continue
            parent[max(root, other)] = min(root, other)
            root = min(root, other)
            joined[f] += 1
            joined[b] += 1
            link[f] ^= e
            link[b] ^= e
            count += 1
    return count
