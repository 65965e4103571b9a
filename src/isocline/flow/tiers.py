"""Tiers: sets that share a level (GMSR paper, Definitions 2 and 3, Figures 1 to 4)."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import interpreted_if_small
from isocline.flow.groups import components
from isocline.flow.problem import Edges
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]
FlagArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]

SAME = 1e-8
"""Prices this close (relative) are one level: the slope gap that a certificate may show."""


@final
@dataclass(frozen=True)
class Tier:
    """A connected set of sources and sinks whose sinks share one price."""

    sources: tuple[int, ...]  # may be empty: a sink that no source prefers is a tier of its own
    sinks: tuple[int, ...]
    price: float  # lowest among the sinks


def tiers(graph: CompatibilityGraph, price: FloatArray, same: float = SAME) -> list[Tier]:
    """Connected components of the best-backend graph, in order of rising price.

    The best-backend graph joins each source to its cheapest sinks; with workloads that is, to the
    sinks of the greatest marginal rate.

    Args:
        graph: The compatibility graph.
        price: (T,) prices of the sinks, at an optimum or anywhere else.
        same: Prices within this factor of the lowest (less 1) count as equal to it.
    """
    seen = price[graph.sink]
    least = np.minimum.reduceat(seen, graph.first[:-1])
    best = seen <= (1.0 + same) * least[graph.source]
    found = []
    for part in connected(graph, best):
        split = int(np.searchsorted(part, graph.sources))
        sinks = part[split:] - graph.sources
        lowest = float(price[sinks].min())
        found.append(Tier(tuple(part[:split].tolist()), tuple(sinks.tolist()), lowest))
    return sorted(found, key=lambda tier: (tier.price, tier.sinks))


def connected(graph: CompatibilityGraph, usable: FlagArray) -> list[IndexArray]:
    """Connected components of sources and sinks, each in rising order, a sink b as S + b.

    By a kernel of ours: importing scipy.sparse for it took a third of the start of `isocline plan`.

    Args:
        graph: The compatibility graph: S sources, T sinks, E edges.
        usable: (E,) the edges that connect.
    """
    nodes = graph.sources + graph.sinks
    label, queue = np.zeros(nodes, dtype=np.int32), np.empty(nodes, dtype=np.int32)
    edges, cut = Edges.of(graph), np.zeros(nodes, dtype=np.bool_)
    count = interpreted_if_small(graph.edges, lambda: components(edges, label, cut, usable, queue))
    alone = np.flatnonzero(label < 0)  # sinks that no source reaches
    label[alone] = np.arange(count, count + alone.size)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label))[:-1])
