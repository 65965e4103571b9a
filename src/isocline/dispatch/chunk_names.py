"""Names of chunks given as text, path or tuple.

A name is text that is the same in every run, by which chunks are held, located and journalled. That
of a path or a tuple remembers its kind, so that loaders and tasks get what the caller gave.
"""

import operator
from pathlib import Path, PurePath
from typing import Any, final

from isocline.dispatch.user_code_guard import plain_text, shown
from isocline.errors import UsageError

Chunk = str | PurePath | tuple[Any, ...]
"""Chunk as users give it: its name, a path, or a tuple of text, numbers, None, paths and tuples."""

_REMEDY = "give a chunk's name, a path, or a tuple of text, numbers, paths and tuples"


@final
class PathName(str):
    """Name of a chunk given as a path: the path's text."""

    __slots__ = ()


@final
class TupleName(str):
    """Name of a chunk given as a tuple: its text, with paths as text.

    Attributes:
        parts: The tuple, of plain values.
    """

    parts: tuple[Any, ...]


def chunk_name(chunk: object) -> str:
    """Return the name of a chunk; a path and its text have equal names.

    Raises:
        UsageError: It is neither text, a path nor a tuple of plain values.
    """
    if type(chunk) in (str, PathName, TupleName):
        return chunk  # type: ignore[return-value]  # all are str
    if isinstance(chunk, str):
        return plain_text(chunk)
    if isinstance(chunk, PurePath):
        return PathName(chunk)
    if not isinstance(chunk, tuple):
        raise UsageError(f"chunk {shown(chunk)} is neither text, a path nor a tuple; {_REMEDY}")
    if not chunk:
        raise UsageError(f"chunk () is an empty tuple; {_REMEDY}")
    parts = tuple(_part(part, chunk) for part in chunk)
    name = TupleName(_as_text(parts))
    name.parts = parts
    return name


def given_chunk(name: str) -> Any:
    """Return a chunk as it was given: text, a `Path` or a tuple."""
    if type(name) is PathName:
        return Path(name)
    return name.parts if type(name) is TupleName else name


def _part(part: object, chunk: object) -> Any:
    """Return a plain value equal to a part of a tuple, such as `int` for a NumPy integer."""
    if part is None or isinstance(part, bool):
        return part
    if isinstance(part, str):
        return plain_text(part)
    if isinstance(part, float):
        return float(part)
    if isinstance(part, PurePath):
        return Path(part)
    if isinstance(part, tuple):
        return tuple(_part(each, chunk) for each in part)
    try:
        return operator.index(part)  # type: ignore[arg-type]  # raises for others
    except TypeError:
        raise UsageError(f"chunk {shown(chunk)} has the part {shown(part)}; {_REMEDY}") from None


def _as_text(parts: tuple[Any, ...]) -> str:
    return repr(_without_paths(parts))


def _without_paths(part: Any) -> Any:
    if isinstance(part, Path):
        return str(part)
    return tuple(map(_without_paths, part)) if isinstance(part, tuple) else part
