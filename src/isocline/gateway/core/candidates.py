"""Candidate edges of a frontend: health, drain, ejection and limits come before any policy."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple, final

import numpy as np

from isocline.gateway.core.share_limits import NO_SHARE_LIMIT, ShareLimits
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
    """Open edges of a frontend, from `low` to `high`; the lists are shared with all readers."""

    edges: IntArray
    numbers: list[int]  # the edges again
    backends: list[int]
    low: int
    high: int


@final
class Candidates:
    """Open edges of each frontend, rebuilt only after a change.

    Attributes:
        shares: Greatest share of a frontend's requests that each backend gets; 1: no limit.
        share_limits: Share limits of each frontend; None where no backend has one.
    """

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
        self._first = first
        self._open: list[Open | None] = [None] * graph.sources
        self.shares = [NO_SHARE_LIMIT] * backends
        self.share_limits: list[ShareLimits | None] = [None] * graph.sources
        # Of frontends with share limits: the open edges by `closed`, until a flag changes.
        self._open_by_closed: list[dict[int, Open]] = [{} for _ in range(graph.sources)]

    def of(
        self, frontend: int, tried: tuple[int, ...] = (), only: frozenset[int] | None = None
    ) -> Open:
        """Return the open edges, in order; to backends not tried yet, if there are any.

        With `only`, none but to these backends.
        """
        found = self._open[frontend]
        if found is None:
            found = self._open[frontend] = self._rebuilt(frontend)
        if only is not None:
            found = self.within(frontend, found, only)
        if tried:
            fresh = self._fresh(found, tried)
            return fresh if fresh.backends else found
        return found

    def untried(
        self, frontend: int, tried: tuple[int, ...], only: frozenset[int] | None = None
    ) -> Open:
        """Return the open edges to backends not tried yet, in order; possibly none."""
        return self._fresh(self.of(frontend, (), only), tried)

    def edge(self, frontend: int, backend: int) -> int:
        """Return the edge from a frontend to a backend, open or not; raises KeyError for none."""
        for place, sink in enumerate(self._sinks[frontend]):
            if sink == backend:
                return int(self._first[frontend]) + place
        raise KeyError(f"frontend {frontend} has no edge to backend {backend}")

    def backends_of(self, frontend: int) -> list[int]:
        """Return all backends of a frontend, open or not."""
        return self._sinks[frontend]

    def set(self, flags: list[bool], backend: int, value: bool) -> bool:
        """Set `up`, `draining`, `ejected` or `full`; returns whether that changed it."""
        if flags[backend] == value:
            return False
        flags[backend] = value
        for frontend in self.frontends_of[backend]:
            self._changed(frontend)
        return True

    def limit_share(self, backend: int, share: float) -> bool:
        """Set the greatest share of a backend; returns whether that changed it."""
        if self.shares[backend] == share:
            return False
        self.shares[backend] = share
        for frontend in self.frontends_of[backend]:
            backends = self._sinks[frontend]
            before, self.share_limits[frontend] = self.share_limits[frontend], None
            shares = [self.shares[b] for b in backends]
            if min(shares) < NO_SHARE_LIMIT:
                limits = self.share_limits[frontend] = ShareLimits(shares)
                limits.raise_to_one([self.usable(b) for b in backends])
                if before is not None:
                    limits.take_over(before, {p: p for p in range(len(backends))})
            self._changed(frontend)
        return True

    def sent(self, frontend: int, edge: int) -> None:
        """Count a request that goes by an edge of a frontend."""
        limits = self.share_limits[frontend]
        if limits is not None:
            limits.sent(edge - self._first[frontend])
            self._open[frontend] = None

    def take_over_turns(
        self, before: "Candidates", backends: Mapping[int, int], frontends: Mapping[int, int]
    ) -> None:
        """Take over whose turn it is under share limits: number here to number there."""
        for frontend, number in frontends.items():
            limits, old = self.share_limits[frontend], before.share_limits[number]
            if limits is None or old is None:
                continue
            places = {backend: place for place, backend in enumerate(before.backends_of(number))}
            same = {
                place: places[backends[backend]]
                for place, backend in enumerate(self._sinks[frontend])
                if backends.get(backend) in places
            }
            limits.take_over(old, same)
            self._open[frontend] = None

    def in_service(self, backend: int) -> bool:
        """Whether a backend is up and not draining."""
        return self.up[backend] and not self.draining[backend]

    def usable(self, backend: int) -> bool:
        """Whether a backend is in service and not ejected; it may be full."""
        return self.in_service(backend) and not self.ejected[backend]

    def any_usable(self, frontend: int, only: frozenset[int] | None = None) -> bool:
        """Whether any backend, of `only`, could take a request here once it has room."""
        sinks = self._sinks[frontend]
        return any(self.usable(b) for b in sinks if only is None or b in only)

    def _changed(self, frontend: int) -> None:
        """Forget the open edges of a frontend, one of whose backends has changed."""
        self._open[frontend] = None
        limits = self.share_limits[frontend]
        if limits is not None:
            self._open_by_closed[frontend].clear()
            limits.raise_to_one([self.usable(b) for b in self._sinks[frontend]])

    def _rebuilt(self, frontend: int) -> Open:
        limits = self.share_limits[frontend]
        if limits is None:
            return self._picked(frontend, self._with_room(frontend))
        known, closed = self._open_by_closed[frontend], limits.closed
        found = known.get(closed)
        if found is None:
            room = self._with_room(frontend)
            turn = [it and not closed >> place & 1 for place, it in enumerate(room)]
            if any(room) and not any(turn) and not self._waits_for_room(frontend, closed):
                first = limits.next_turn([place for place, it in enumerate(room) if it])
                return self._picked(frontend, [place == first for place in range(len(room))])
            found = known[closed] = self._picked(frontend, turn)
        return found

    def _fresh(self, candidates: Open, tried: tuple[int, ...]) -> Open:
        fresh = [edge for edge in candidates.numbers if self._sink[edge] not in tried]
        return self._made(np.array(fresh, np.int32))

    def within(self, frontend: int, candidates: Open, only: frozenset[int]) -> Open:
        """Return the candidates among these backends; if it is none's turn, those with room."""
        if only.issuperset(candidates.backends) and candidates.backends:
            return candidates
        edges = [edge for edge in candidates.numbers if self._sink[edge] in only]
        if not edges and self.share_limits[frontend] is not None:
            room = self._with_room(frontend)
            chosen = [it and b in only for it, b in zip(room, self._sinks[frontend], strict=True)]
            return self._picked(frontend, chosen)
        return self._made(np.array(edges, np.int32))

    def _with_room(self, frontend: int) -> list[bool]:
        """Whether each backend of a frontend is usable, and not full."""
        return [self.usable(b) and not self.full[b] for b in self._sinks[frontend]]

    def _waits_for_room(self, frontend: int, closed: int) -> bool:
        """Whether a full backend would get the next request if it had room."""
        return any(
            self.usable(b) and self.full[b] and not closed >> place & 1
            for place, b in enumerate(self._sinks[frontend])
        )

    def _picked(self, frontend: int, chosen: list[bool]) -> Open:
        edges = self._edges[frontend]
        return self._made(edges if all(chosen) else edges[np.array(chosen)])

    def _made(self, edges: IntArray) -> Open:
        numbers = edges.tolist()
        backends = [self._sink[edge] for edge in numbers]
        return Open(edges, numbers, backends, min(numbers, default=0), max(numbers, default=-1))
