"""Chunks that are Ray objects, and their locations."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

from ray.exceptions import GetTimeoutError, ObjectFetchTimedOutError, ObjectLostError
from ray.experimental import get_local_object_locations, get_object_locations

from isocline.dispatch.chunk_names import chunk_name
from isocline.dispatch.engines.common.chunk_sites import ChunkSites

if TYPE_CHECKING:
    from ray import ObjectRef

_ASK = 10_000  # ms to ask about objects of other owners


@final
class Chunks:
    """References and locations of chunks; used under the engine's lock, except `look`."""

    def __init__(self, refs: Mapping[Any, "ObjectRef[Any]"], sites: ChunkSites) -> None:
        self._refs = {chunk_name(chunk): ref for chunk, ref in refs.items()}
        self._sites = sites
        self._lost: set[str] = set()

    def ref(self, chunk: str | None) -> "ObjectRef[Any] | None":
        """Return a chunk's reference; None if Ray does not store the chunk."""
        return None if chunk is None else self._refs.get(chunk)

    def look(self, first: bool = False) -> dict[str, frozenset[str]]:
        """Ask Ray where each chunk is; with `first`, also about objects of other owners."""
        refs = list(self._refs.values())
        # The locations of its own objects this process knows without a call. Changes for other
        # owners' objects only become known by reading them.
        found = get_local_object_locations(refs) if refs else {}
        if first and (rest := [ref for ref in refs if not _at(found, ref)]):
            with suppress(GetTimeoutError):  # still being made, and so nowhere
                found |= get_object_locations(rest, timeout_ms=_ASK)
        return {chunk: at for chunk, ref in self._refs.items() if (at := _at(found, ref))}

    def seen(self, found: Mapping[str, frozenset[str]], there: frozenset[str]) -> None:
        """Store the locations, restricted to sites that are up."""
        for chunk, at in found.items():
            if chunk not in self._lost:
                self._sites.seen(chunk, at & there)

    def lost(self, chunk: str) -> None:
        """Record that Ray has no copy of a chunk and cannot make one.

        The chunk then counts as being nowhere: Ray stores an error in its place at each node that
        asks for it, and reports that as a location.
        """
        self._lost.add(chunk)
        self._sites.seen(chunk, ())


def is_final(error: BaseException) -> bool:
    """Whether a failure to read an object is permanent."""
    return isinstance(error, ObjectLostError) and not isinstance(error, ObjectFetchTimedOutError)


def _at(
    found: Mapping["ObjectRef[Any]", Mapping[str, Any]], ref: "ObjectRef[Any]"
) -> frozenset[str]:
    return frozenset(found.get(ref, {}).get("node_ids", ()))
