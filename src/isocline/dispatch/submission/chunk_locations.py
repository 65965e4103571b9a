"""Locations of chunks: a mapping, a callable, directories, or what the engine knows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isocline.dispatch.user_code_guard import plain_text, shown
from isocline.errors import UsageError

Reader = Callable[[str], Sequence[str] | None]
"""The names of the nodes that hold a chunk, the likeliest first; None: ask the engine."""
Locations = Mapping[str, Sequence[str]] | Reader


def reader(locations: Locations | None) -> Reader:
    """Return locations as a function.

    Raises:
        UsageError: They are neither a mapping nor a function.
    """
    if locations is None:
        return _unknown
    if isinstance(locations, Mapping):
        return locations.get
    if callable(locations):
        return locations
    raise UsageError(
        f"locations: {shown(locations)} is not a mapping from chunk to names of nodes, nor a "
        "function of the chunk that returns them"
    )


def in_directories(nodes: Mapping[str, str | Path], pattern: str = "**/*") -> dict[str, list[str]]:
    """Map the files below each node's directory to their nodes.

    A chunk is named by its path in the directory, with forward slashes.

    Raises:
        UsageError: There is no such directory.
    """
    found: dict[str, list[str]] = {}
    for node, directory in nodes.items():
        root = Path(directory)
        if not root.is_dir():
            raise UsageError(f"locations: {node} is to have the directory {root}; there is none")
        for path in sorted(root.glob(pattern)):
            if path.is_file():
                found.setdefault(path.relative_to(root).as_posix(), []).append(node)
    return found


def checked(holders: Any, chunk: str) -> tuple[str, ...] | None:
    """Check a reader's answer: a tuple of names, or a UsageError."""
    if holders is None:
        return None
    is_list = isinstance(holders, Iterable) and not isinstance(holders, str)
    names = tuple(holders) if is_list else ()
    if not is_list or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"locations: of chunk {chunk!r} they are {shown(holders)}; give a list of names of "
            "nodes"
        )
    return tuple(map(plain_text, names))


def _unknown(_chunk: str) -> None:
    return None
