"""Chunks that are Ray objects, and the Ray nodes that hold them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

from ray.exceptions import GetTimeoutError, ObjectFetchTimedOutError, ObjectLostError
from ray.experimental import get_local_object_locations, get_object_locations

from isocline.dispatch.engines.common.chunk_places import ChunkPlaces

if TYPE_CHECKING:
    from ray import ObjectRef

_ASK = 10_000  # ms for those of other owners


@final
class Chunks:
    """References of chunks and what Ray says of them, under the engine's lock except for `look`."""

    def __init__(self, refs: Mapping[str, "ObjectRef[Any]"], places: ChunkPlaces) -> None:
        self._refs = dict(refs)
        self._places = places
        self._lost: set[str] = set()

    def ref(self, chunk: str | None) -> "ObjectRef[Any] | None":
        """Return a chunk's reference; None if it is not an object of Ray."""
        return None if chunk is None else self._refs.get(chunk)

    def look(self, first: bool = False) -> dict[str, frozenset[str]]:
        """Ask Ray where each chunk is; `first`: also for objects that another process owns."""
        refs = list(self._refs.values())
        # Of what this process owns it knows itself, without a call. Where copies of another
        # owner's objects come and go we hear only from our own reads.
        found = get_local_object_locations(refs) if refs else {}
        if first and (rest := [ref for ref in refs if not _at(found, ref)]):
            with suppress(GetTimeoutError):  # being made still, and so nowhere yet
                found |= get_object_locations(rest, timeout_ms=_ASK)
        return {chunk: at for chunk, ref in self._refs.items() if (at := _at(found, ref))}

    def seen(self, found: Mapping[str, frozenset[str]], there: frozenset[str]) -> None:
        """Store the locations, among the places that are up."""
        for chunk, at in found.items():
            if chunk not in self._lost:
                self._places.seen(chunk, at & there)

    def lost(self, chunk: str) -> None:
        """Record that Ray has no copy of a chunk, nor can make one.

        It is nowhere from now on: Ray puts an error in its place into the store of each node that
        asks for it, and reports that as a location.
        """
        self._lost.add(chunk)
        self._places.seen(chunk, ())


def is_final(error: BaseException) -> bool:
    """Whether a failure to read an object is permanent."""
    return isinstance(error, ObjectLostError) and not isinstance(error, ObjectFetchTimedOutError)


def _at(
    found: Mapping["ObjectRef[Any]", Mapping[str, Any]], ref: "ObjectRef[Any]"
) -> frozenset[str]:
    return frozenset(found.get(ref, {}).get("node_ids", ()))
