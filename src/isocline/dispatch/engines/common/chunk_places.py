"""Locations of chunks in another engine: which of its places hold which."""

from collections.abc import Collection
from typing import NamedTuple, final


class Change(NamedTuple):
    """A place has come to hold a chunk, or no longer holds it."""

    chunk: str
    place: str
    holds: bool


@final
class ChunkPlaces:
    """As last seen. A place is where data is: a machine, or a process with memory of its own."""

    def __init__(self) -> None:
        self._at: dict[str, frozenset[str]] = {}  # replaced, never changed: any thread may look

    def at(self, chunk: str) -> list[str]:
        """The places that hold a chunk."""
        return sorted(self._at.get(chunk, ()))

    def held(self, place: str) -> list[str]:
        """The chunks at a place."""
        return [chunk for chunk, places in self._at.items() if place in places]

    def seen(self, chunk: str, places: Collection[str]) -> list[Change]:
        """A chunk is at exactly these places; what that changes."""
        old, new = self._at.get(chunk, frozenset()), frozenset(places)
        self._at[chunk] = new
        return [
            *(Change(chunk, place, True) for place in sorted(new - old)),
            *(Change(chunk, place, False) for place in sorted(old - new)),
        ]

    def came(self, chunk: str, place: str) -> None:
        """A place has come to hold a chunk."""
        self._at[chunk] = self._at.get(chunk, frozenset()) | {place}
