"""The compatibility graph: which source may send to which sink.

Routing: sources are frontends, sinks are backends. Near-data: sources are task types, sinks are
servers. Immutable; compressed sparse rows inside, so a kernel walks the neighbours of a source
(`first`, `sink`) or of a sink (`sink_first`, `edge_into`, `source`) without allocating.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import in_one_line
from isocline.errors import GraphError
from isocline.record import brief

IntArray = npt.NDArray[np.int32]
_ENDS = 2
IndexArray = npt.NDArray[np.int64]


def _frozen(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    array.setflags(write=False)
    return array


def _pairs(edges: object) -> npt.NDArray[np.int64]:
    """(E, 2) source and sink of each edge."""
    given: Any = edges
    if not isinstance(edges, np.ndarray):
        given = list(given) if isinstance(edges, Iterable) else None
        if given == []:
            given = np.zeros((0, 2), np.int64)
    try:
        pairs = np.asarray(given)
    except ValueError:  # rows of several lengths
        pairs = np.zeros(0)
    if pairs.dtype.kind not in "iu" or pairs.ndim != 2 or pairs.shape[1] != _ENDS:
        raise GraphError(f"edges {in_one_line(edges)}: give pairs of whole numbers, (source, sink)")
    return pairs.astype(np.int64)


@final
@dataclass(frozen=True, eq=False)
class CompatibilityGraph:
    """Bipartite graph of S sources, T sinks and E edges, numbered source by source.

    Edge e belongs to the source f with first[f] <= e < first[f + 1] and ends at sink[e]; within a
    source the edges are sorted by sink. Build one with `from_edges` or `from_neighbours`.
    """

    __repr__ = brief

    first: IndexArray  # (S + 1,) int64, numbers of edges
    sink: IntArray  # (E,) int32, number of the sink, in [0, T)
    sinks: int  # T

    @classmethod
    def from_edges(
        cls,
        sources: int,
        sinks: int,
        edges: npt.ArrayLike | Iterable[tuple[int, int]],
        *,
        isolated: bool = False,
    ) -> Self:
        """Build from (source, sink) pairs in any order, shape (E, 2).

        With `isolated` a source may have no edge, as a frontend whose backends are yet to be found;
        planners and simulators need one for each.

        Raises:
            GraphError: A number is out of range, an edge is repeated, or a source has no edge.
        """
        pairs = _pairs(edges)
        source, sink = pairs[:, 0], pairs[:, 1]
        for name, ends, count in (("source", source, sources), ("sink", sink, sinks)):
            wrong = ends[(ends < 0) | (ends >= count)]
            if wrong.size:
                raise GraphError(f"{name} {wrong[0]} does not exist; there are {count}, from 0")
        key = np.sort(source * sinks + sink)  # one number for each pair sorts fastest
        source, sink = np.divmod(key, sinks) if key.size else (source, sink)
        repeated = key[1:] == key[:-1]
        if repeated.any():
            at = int(np.argmax(repeated))
            raise GraphError(f"edge ({source[at]}, {sink[at]}) is given twice; give each once")
        degree = np.bincount(source, minlength=sources)
        if sources and degree.min() == 0 and not isolated:
            raise GraphError(f"source {int(np.argmin(degree))} has no sink; connect it to one")
        first = np.concatenate(([0], np.cumsum(degree))).astype(np.int64)
        graph = cls(first, sink.astype(np.int32), sinks)
        _frozen(graph.first)
        _frozen(graph.sink)
        return graph

    @classmethod
    def from_neighbours(
        cls, sinks: int, neighbours: Sequence[Iterable[int]], *, isolated: bool = False
    ) -> Self:
        """Build from the list of sinks of each source; raises as `from_edges` does."""
        rows = [list(row) for row in neighbours]
        ends = [b for row in rows for b in row]
        pairs: Any = np.asarray(ends) if ends else np.zeros(0, np.int64)
        if pairs.ndim == 1 and pairs.dtype.kind in "iu":
            source = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
            pairs = np.column_stack((source, pairs))
        else:  # refused there
            pairs = [(f, b) for f, row in enumerate(rows) for b in row]
        return cls.from_edges(len(neighbours), sinks, pairs, isolated=isolated)

    @property
    def sources(self) -> int:
        """S."""
        return self.first.size - 1

    @property
    def edges(self) -> int:
        """E."""
        return self.sink.size

    @cached_property
    def source(self) -> IntArray:
        """(E,) int32: the source of each edge."""
        ends = np.repeat(np.arange(self.sources, dtype=np.int32), np.diff(self.first))
        return _frozen(ends)  # type: ignore[return-value]

    @cached_property
    def sink_first(self) -> IndexArray:
        """(T + 1,) int64: the edges into sink b are edge_into[sink_first[b]:sink_first[b + 1]]."""
        degree = np.bincount(self.sink, minlength=self.sinks)
        return _frozen(np.concatenate(([0], np.cumsum(degree))).astype(np.int64))  # type: ignore[return-value]

    @cached_property
    def edge_into(self) -> IndexArray:
        """(E,) int64: edge numbers, grouped by sink."""
        edge = np.arange(self.edges)
        return _frozen(np.sort(self.sink * np.int64(self.edges) + edge) % max(self.edges, 1))  # type: ignore[return-value]

    @cached_property
    def source_into(self) -> IntArray:
        """(E,) int32: the source of each of `edge_into`."""
        return _frozen(self.source[self.edge_into])  # type: ignore[return-value]

    def neighbours(self, source: int) -> IntArray:
        """The sinks of one source, sorted."""
        return self.sink[self.first[source] : self.first[source + 1]]

    def has_edge(self, source: int, sink: int) -> bool:
        """Whether `source` may send to `sink`."""
        row = self.neighbours(source)
        at = int(np.searchsorted(row, sink))
        return at < row.size and int(row[at]) == sink

    def with_edge(self, source: int, sink: int) -> "CompatibilityGraph":
        """A new graph with one more edge, made of this one's arrays.

        Raises:
            GraphError: An end does not exist, or the edge is there.
        """
        if not (0 <= source < self.sources and 0 <= sink < self.sinks) or (
            self.has_edge(source, sink)
        ):
            pairs = np.column_stack((self.source, self.sink)).astype(np.int64)
            edges = np.vstack((pairs, [[source, sink]]))
            return CompatibilityGraph.from_edges(self.sources, self.sinks, edges)
        at = int(self.first[source] + np.searchsorted(self.neighbours(source), sink))
        begin, end = self.sink_first[sink : sink + 2]
        place = begin + np.searchsorted(self.edge_into[begin:end], at)
        into = self.edge_into + (self.edge_into >= at)
        graph = CompatibilityGraph(
            self.first + (np.arange(self.sources + 1) > source),
            np.insert(self.sink, at, np.int32(sink)),
            self.sinks,
        )
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "first": graph.first,
            "sink": graph.sink,
            "source": np.insert(self.source, at, np.int32(source)),
            "sink_first": self.sink_first + (np.arange(self.sinks + 1) > sink),
            "edge_into": np.insert(into, place, at),
        }
        vars(graph).update({name: _frozen(array) for name, array in arrays.items()})
        return graph
