"""Locations of chunks: a mapping, a function, or left to the engine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from isocline.dispatch.chunk_names import PathName, given_chunk
from isocline.dispatch.locations.reader import LocationReader
from isocline.dispatch.user_code_guard import plain_text, shown
from isocline.errors import UsageError

Reader = Callable[[str], Sequence[str] | None]
"""Function from a chunk's name to the nodes that hold it."""
Locations = Mapping[Any, Sequence[str]] | Callable[[Any], Sequence[str] | None]
"""Nodes that hold each chunk, the likeliest first, or None to ask the engine."""


def reader(locations: Locations | None) -> Reader:
    """Return locations as a function.

    Raises:
        UsageError: The locations are neither a mapping nor a function.
    """
    if locations is None:
        return _unknown
    if isinstance(locations, Mapping):
        if not locations:
            raise UsageError(
                "locations: the mapping is empty; name the nodes of each chunk, or leave it out if "
                "the engine knows them"
            )
        return partial(_looked_up, locations)
    if callable(locations):
        return lambda chunk: locations(given_chunk(chunk))
    raise UsageError(
        f"locations: {shown(locations)} is not a mapping from chunk to names of nodes, nor a "
        "function of the chunk that returns them"
    )


def checked(holders: Any, chunk: str) -> tuple[str, ...] | None:
    """Return a reader's answer as a tuple of names; raises UsageError if it is invalid."""
    if holders is None:
        return None
    is_list = isinstance(holders, Iterable) and not isinstance(holders, str)
    names = tuple(holders) if is_list else ()
    if not is_list or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"locations: expected a list of node names for chunk {chunk!r}, got {shown(holders)}"
        )
    return tuple(map(plain_text, names))


def nodes_in(locations: Locations | None) -> list[str]:
    """Names of the nodes in a mapping, or of those that a reader knows; in order.

    Raises:
        UsageError: A value of the mapping is not a list of names.
    """
    if isinstance(locations, LocationReader):
        return list(locations.nodes)
    if not isinstance(locations, Mapping):
        return []
    return sorted({name for chunk in locations for name in checked(locations[chunk], chunk) or ()})


def _looked_up(locations: Mapping[Any, Sequence[str]], chunk: str) -> Sequence[str] | None:
    """Look up a chunk, by a path itself before its text."""
    found = locations.get(given_chunk(chunk))
    return locations.get(chunk) if found is None and type(chunk) is PathName else found


def _unknown(_chunk: str) -> None:
    return None
