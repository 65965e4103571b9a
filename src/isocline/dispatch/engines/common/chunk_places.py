"""Locations of chunks in another engine: which of its places hold which."""

from collections.abc import Collection
from typing import NamedTuple, final


class Change(NamedTuple):
    """Change of a chunk's location: a place holds it now, or no longer."""

    chunk: str
    place: str
    holds: bool


@final
class ChunkPlaces:
    """Chunk locations as last seen. A place is a machine, or a process with memory of its own."""

    def __init__(self) -> None:
        self._at: dict[str, frozenset[str]] = {}  # replaced, never changed: any thread may look

    def at(self, chunk: str) -> list[str]:
        """Return the places that hold a chunk."""
        return sorted(self._at.get(chunk, ()))

    def held(self, place: str) -> list[str]:
        """Return the chunks at a place."""
        return [chunk for chunk, places in self._at.items() if place in places]

    def seen(self, chunk: str, places: Collection[str]) -> list[Change]:
        """Set the places of a chunk to exactly these; returns the changes."""
        old, new = self._at.get(chunk, frozenset()), frozenset(places)
        self._at[chunk] = new
        return [
            *(Change(chunk, place, True) for place in sorted(new - old)),
            *(Change(chunk, place, False) for place in sorted(old - new)),
        ]

    def came(self, chunk: str, place: str) -> None:
        """Add a place that holds a chunk."""
        self._at[chunk] = self._at.get(chunk, frozenset()) | {place}
