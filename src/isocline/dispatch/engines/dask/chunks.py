"""Chunks that are Dask futures, and the workers that hold them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from isocline.dispatch.engines.common.chunk_places import ChunkPlaces

if TYPE_CHECKING:
    from distributed import Client, Future


@final
class Chunks:
    """Futures of chunks and what Dask says of them, used in the client's event loop."""

    def __init__(self, futures: Mapping[str, "Future[Any]"], places: ChunkPlaces) -> None:
        self._futures = dict(futures)
        self._places = places
        self._sizes: dict[str, int] = {}  # bytes, of those asked for

    def future(self, chunk: str | None) -> "Future[Any] | None":
        """Return a chunk's future; None if it is not one of Dask's."""
        return None if chunk is None else self._futures.get(chunk)

    async def look(self, client: "Client") -> None:
        """Ask Dask where each chunk is; one that is lost, or that the user released, is nowhere."""
        # For one that is cancelled Dask would answer with an error in place of all the others.
        known = [future for future in self._futures.values() if not future.cancelled()]
        held = await client.who_has(known) if known else {}
        for chunk, future in self._futures.items():
            self._places.seen(chunk, held.get(future.key, ()))

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
