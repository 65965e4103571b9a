"""Chunks that are Dask futures, and the workers that hold them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from isocline.dispatch.engines.common.chunk_places import Change, ChunkPlaces

if TYPE_CHECKING:
    from distributed import Client, Future


@final
class Chunks:
    """Locations of chunks, used in the client's event loop except for `at`; workers by address."""

    def __init__(self, futures: Mapping[str, "Future[Any]"]) -> None:
        self._futures = dict(futures)
        self._places = ChunkPlaces()
        self._sizes: dict[str, int] = {}  # bytes, of those asked for

    def future(self, chunk: str | None) -> "Future[Any] | None":
        """Return a chunk's future; None if it is not one of Dask's."""
        return None if chunk is None else self._futures.get(chunk)

    async def look(self, client: "Client") -> list[Change]:
        """Ask Dask where each chunk is; returns the changes."""
        if not self._futures:
            return []
        held, places = await client.who_has(list(self._futures.values())), self._places
        return [
            change
            for chunk, future in self._futures.items()
            for change in places.seen(chunk, held.get(future.key, ()))
        ]

    def came(self, chunk: str, address: str) -> bool:
        """Add a worker that holds a chunk; returns whether that is new."""
        if address in self._places.at(chunk):
            return False
        self._places.came(chunk, address)
        return True

    def at(self, chunk: str) -> list[str]:
        """Return the workers that hold a chunk, as last seen."""
        return self._places.at(chunk)

    def held(self, address: str) -> list[str]:
        """Return the chunks at a worker."""
        return self._places.held(address)

    async def size(self, client: "Client", chunk: str) -> int:
        """Size of a Dask chunk, bytes; it does not change, and is asked for once.

        Raises:
            KeyError: Dask no longer knows it.
        """
        if chunk not in self._sizes:
            key = self._futures[chunk].key
            sizes = await client.scheduler.nbytes(keys=[key], summary=False)
            self._sizes[chunk] = max(1, sizes[key])  # negative: Dask does not know
        return self._sizes[chunk]
