"""Locations of chunks in another engine: which of its places hold which."""

from collections.abc import Callable, Collection, Iterable
from typing import final

from isocline.dispatch.engines.base import Drops, Emit, Holds


@final
class ChunkPlaces:
    """Chunk locations as last seen; their changes are emitted for each node at a place.

    A place is a machine, or a process with memory of its own, and may have several nodes.
    """

    def __init__(self, nodes_at: Callable[[str], Iterable[str]], emit: Emit) -> None:
        """Initialise without chunks; `nodes_at` returns the nodes that are up at a place."""
        self._nodes_at = nodes_at
        self._emit = emit
        self._at: dict[str, frozenset[str]] = {}  # replaced, never changed: any thread may look

    def at(self, chunk: str) -> list[str]:
        """Return the places that hold a chunk."""
        return sorted(self._at.get(chunk, ()))

    def nodes(self, chunk: str) -> list[str]:
        """Return the nodes at the places that hold a chunk."""
        return [node for place in self.at(chunk) for node in self._nodes_at(place)]

    def seen(self, chunk: str, places: Collection[str]) -> None:
        """Set the places of a chunk to exactly these."""
        old, new = self._at.get(chunk, frozenset()), frozenset(places)
        self._at[chunk] = new
        for place in sorted(new - old):
            self._emit_all(Holds, chunk, place)
        for place in sorted(old - new):
            self._emit_all(Drops, chunk, place)

    def came(self, chunk: str, place: str) -> None:
        """Add a place that holds a chunk."""
        old = self._at.get(chunk, frozenset())
        if place not in old:
            self._at[chunk] = old | {place}
            self._emit_all(Holds, chunk, place)

    def joined(self, node: str, place: str) -> None:
        """Emit the chunks at a place for a node there that has just come up."""
        for chunk, places in self._at.items():
            if place in places:
                self._emit(Holds(chunk, node))

    def _emit_all(self, change: type[Holds] | type[Drops], chunk: str, place: str) -> None:
        for node in self._nodes_at(place):
            self._emit(change(chunk, node))
