"""Candidate edges of a frontend: health, drain, ejection and limits come before any policy."""

import math
from itertools import pairwise
from typing import NamedTuple, final

import numpy as np

from isocline.model.curves import Curve, TableCurve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.routing.contract import IntArray

NO_LIMIT = np.iinfo(np.int32).max


def peak_of(curve: Curve) -> int:
    """Workload past which one more job adds nothing, as far as was measured; NO_LIMIT if none.

    Only measured curves have one: 8 of 19 published LLM serving curves fall beyond it.
    """
    if not isinstance(curve, TableCurve):
        return NO_LIMIT
    return min(max(math.floor(float(curve.knots[-1, 0])), 1), NO_LIMIT)


class Open(NamedTuple):
    """Open edges of a frontend, from `low` to `high`; their backends, shared with all readers."""

    edges: IntArray
    backends: list[int]
    low: int
    high: int


@final
class Candidates:
    """Open edges of each frontend, rebuilt only after a change."""

    def __init__(self, graph: CompatibilityGraph):
        backends = graph.sinks
        self.frontends_of = [
            graph.source[graph.edge_into[graph.sink_first[b] : graph.sink_first[b + 1]]].tolist()
            for b in range(backends)
        ]  # the frontends that may use each backend
        self.up = [True] * backends
        self.draining = [False] * backends
        self.ejected = [False] * backends
        self.full = [False] * backends
        self._sink: list[int] = graph.sink.tolist()
        first = graph.first.tolist()
        self._edges = [np.arange(low, high, dtype=np.int32) for low, high in pairwise(first)]
        self._sinks: list[list[int]] = [graph.neighbours(f).tolist() for f in range(graph.sources)]
        self._open: list[Open | None] = [None] * graph.sources

    def of(self, frontend: int, tried: tuple[int, ...] = ()) -> Open:
        """Return the open edges, in order; to backends not tried yet, if there are any."""
        found = self._open[frontend]
        if found is None:
            found = self._open[frontend] = self._rebuilt(frontend)
        if tried:
            fresh = self.untried(frontend, tried)
            return fresh if fresh.backends else found
        return found

    def untried(self, frontend: int, tried: tuple[int, ...]) -> Open:
        """Return the open edges to backends not tried yet, in order; possibly none."""
        edges = self.of(frontend).edges.tolist()
        fresh = [edge for edge in edges if self._sink[edge] not in tried]
        return self._made(np.array(fresh, np.int32))

    def backends_of(self, frontend: int) -> list[int]:
        """Return all backends of a frontend, open or not."""
        return self._sinks[frontend]

    def set(self, flags: list[bool], backend: int, value: bool) -> bool:
        """Set `up`, `draining`, `ejected` or `full`; returns whether that changed it."""
        if flags[backend] == value:
            return False
        flags[backend] = value
        for frontend in self.frontends_of[backend]:
            self._open[frontend] = None
        return True

    def in_service(self, backend: int) -> bool:
        """Whether a backend is up and not draining."""
        return self.up[backend] and not self.draining[backend]

    def usable(self, backend: int) -> bool:
        """Whether a backend is in service and not ejected; it may be full."""
        return self.in_service(backend) and not self.ejected[backend]

    def any_usable(self, frontend: int) -> bool:
        """Whether any backend could take a request of this frontend once it has room."""
        return any(map(self.usable, self._sinks[frontend]))

    def _rebuilt(self, frontend: int) -> Open:
        open_now = [self.usable(b) and not self.full[b] for b in self._sinks[frontend]]
        edges = self._edges[frontend]
        return self._made(edges if all(open_now) else edges[np.array(open_now)])

    def _made(self, edges: IntArray) -> Open:
        numbers = edges.tolist()
        backends = [self._sink[edge] for edge in numbers]
        return Open(edges, backends, min(numbers, default=0), max(numbers, default=-1))
