"""Chunks that are Dask futures, and their locations."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from isocline.dispatch.chunk_names import chunk_name
from isocline.dispatch.engines.common.chunk_sites import ChunkSites

if TYPE_CHECKING:
    from distributed import Client, Future


@final
class Chunks:
    """Futures of chunks, with their sizes and locations; used in the client's event loop."""

    def __init__(self, futures: Mapping[Any, "Future[Any]"], sites: ChunkSites) -> None:
        self._futures = {chunk_name(chunk): future for chunk, future in futures.items()}
        self._sites = sites
        self._sizes: dict[str, int] = {}  # bytes, by chunk; filled on demand

    def future(self, chunk: str | None) -> "Future[Any] | None":
        """Return a chunk's future; None if Dask does not store the chunk."""
        return None if chunk is None else self._futures.get(chunk)

    async def look(self, client: "Client") -> None:
        """Ask Dask where each chunk is; those lost or released by the user are nowhere."""
        # Without cancelled ones, for which Dask would answer the whole request with an error.
        known = [future for future in self._futures.values() if not future.cancelled()]
        held = await client.who_has(known) if known else {}
        for chunk, future in self._futures.items():
            self._sites.seen(chunk, held.get(future.key, ()))

    async def size(self, client: "Client", chunk: str) -> int:
        """Size of a chunk, bytes; cached, as it does not change.

        Raises:
            KeyError: Dask no longer knows the chunk.
        """
        if chunk not in self._sizes:
            key = self._futures[chunk].key
            sizes = await client.scheduler.nbytes(keys=[key], summary=False)
            self._sizes[chunk] = max(1, sizes[key])  # negative if Dask does not know the size
        return self._sizes[chunk]
