"""Level-flow problem: a graph, supplies of its sources, and prices of its sinks."""

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.flow.prices import Prices
from isocline.model.graph import CompatibilityGraph, IndexArray, IntArray

FloatArray = npt.NDArray[np.float64]


class Edges(NamedTuple):
    """A compatibility graph as kernels read it: S sources, T sinks, E edges.

    Made by `of`; no kernel writes to it.
    """

    first: IndexArray  # (S + 1,) int64, edges of source f: first[f] .. first[f + 1]
    sink: IntArray  # (E,) int32, number of the sink
    source: IntArray  # (E,) int32, number of the source
    sink_first: IndexArray  # (T + 1,) int64, edges into b: edge_into[sink_first[b] .. [b + 1]]
    edge_into: IndexArray  # (E,) int64, number of the edge
    source_into: IntArray  # (E,) int32, its source

    @classmethod
    def of(cls, graph: CompatibilityGraph) -> "Edges":
        """The arrays of a graph, without a copy."""
        return cls(
            graph.first,
            graph.sink,
            graph.source,
            graph.sink_first,
            graph.edge_into,
            graph.source_into,
        )

    @classmethod
    def unsigned(cls, graph: CompatibilityGraph) -> "Edges":
        """`of`, with sinks as uint32: kernels need not check these for one counted from the end."""
        return cls.of(graph)._replace(sink=graph.sink.view(np.uint32))


@final
@dataclass(frozen=True, eq=False)
class LevelFlowProblem:
    """Spread each source's supply over its sinks so that it sees one price, and none lower.

    Find y >= 0 on the edges with sum_b y_fb = supply_f such that y_fb > 0 implies
    p_b(a_b) = min over the neighbours j of f of p_j(a_j), where a_b = sum_f y_fb. It minimises
    sum_b of the integral of p_b up to a_b; the a_b are unique. It exists iff for every set P of
    sources sum_P supply < the capacity of all neighbours of P (Hall's condition, GMSR paper,
    Section 3, with continuous prices).

    Raises:
        UsageError: Shapes differ, or a supply is not a finite number >= 0, or all are 0.
    """

    graph: CompatibilityGraph
    supply: FloatArray  # (S,) float64, jobs/s; read-only
    prices: Prices  # of T sinks

    def __post_init__(self) -> None:
        supply = np.array(self.supply, dtype=np.float64)
        supply.setflags(write=False)
        object.__setattr__(self, "supply", supply)
        require_supply(self.graph, supply)
        if self.prices.sinks != self.graph.sinks:
            raise UsageError(
                f"prices of {self.prices.sinks} sinks; the graph has {self.graph.sinks}: "
                "give one price for each sink"
            )


def require_supply(graph: CompatibilityGraph, supply: FloatArray) -> None:
    """Raise UsageError unless `supply` holds a finite number >= 0 per source, and not all are 0."""
    if supply.shape != (graph.sources,):
        raise UsageError(
            f"supply has shape {supply.shape}; the graph has {graph.sources} sources: "
            "give one number for each"
        )
    good = np.isfinite(supply) & (supply >= 0)
    if not good.all():
        at = int(np.argmin(good))
        raise UsageError(f"source {at}: supply is {supply[at]}; give a finite number, 0 or more")
    if supply.size and not supply.any():
        raise UsageError("every supply is 0; give at least one source a supply above 0")
