"""Chunks that a Dask task reads, found in its arguments, and where they are.

A chunk is what `locations` has as a key: a path, or any other argument. Looked at are the arguments
of the task and of tasks within it, with what lists, tuples, sets and mappings there contain, the
files of Parquet fragments, and files that fsspec is to open, as in `read_csv` and `bag.read_text`.
"""

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, final

from dask._task_spec import DataNode, GraphNode, Task, TaskRef

from isocline.dispatch.submission.chunk_locations import checked
from isocline.dispatch.user_code_guard import shown
from isocline.errors import UsageError

Lookup = Callable[[list[str]], Mapping[str, Sequence[str | int]]]
"""Function from a batch of texts, some of which are chunks, to the places of those that are."""
Locations = Mapping[Any, Sequence[str | int] | str | int] | Lookup
"""Places of chunks by name, see `places`: a mapping, or a function that looks them up."""

# Values looked at in one task: the ten files of a large fused read with all of its options are 200.
_MOST_VALUES = 500
_LONGEST = 4096  # characters of a path on Linux
_NO_CHUNKS = {bool, int, float}  # within arguments


@final
class ChunkLocations:
    """Places of chunks, by a mapping or a function.

    Attributes:
        places: Names of all places, as far as they are known without a task.
        is_open: Whether there may be more.
    """

    def __init__(self, locations: Locations | None) -> None:
        """Initialise.

        Raises:
            UsageError: The locations are neither a mapping nor a function, or name no places.
        """
        self._lookup: Lookup | None = None
        self._places: dict[Hashable, tuple[str, ...]] = {}
        if isinstance(locations, Mapping):
            self._places = {_spelled(chunk): _names(at, chunk) for chunk, at in locations.items()}
        elif callable(locations):
            self._lookup = locations
        elif locations is not None:
            raise UsageError(
                f"locations: {shown(locations)} is not a mapping from chunk to names of workers "
                "or hosts, nor a function from a list of chunks to such a mapping"
            )

        self.places = frozenset(name for at in self._places.values() for name in at)
        self.is_open = self._lookup is not None

    def find(self, tasks: Mapping[Any, Any]) -> dict[Any, tuple[str, ...]]:
        """Find where tasks read, in one look-up for all of them.

        Args:
            tasks: Dask's specification of each task, by key.

        Returns:
            Names of the places that hold most of a task's chunks, for each task that reads any.

        Raises:
            UsageError: The function has returned something else than places.
        """
        if self._lookup is None:
            if not self._places:
                return {}
            found = ((key, self._known(spec)) for key, spec in tasks.items())
            return {key: at for key, at in found if at}
        texts = {
            key: [it for it in values(spec) if isinstance(it, str) and 0 < len(it) <= _LONGEST]
            for key, spec in tasks.items()
        }
        batch = list(dict.fromkeys(text for each in texts.values() for text in each))
        if not batch:
            return {}
        answer = self._lookup(batch)
        if not isinstance(answer, Mapping):
            raise UsageError(
                f"locations: expected a mapping from chunk to names, got {shown(answer)}"
            )
        places = {chunk: _names(at, chunk) for chunk, at in answer.items() if at is not None}
        located = (
            (key, _most([places[text] for text in dict.fromkeys(each) if text in places]))
            for key, each in texts.items()
        )
        return {key: at for key, at in located if at}

    def _known(self, spec: Any) -> tuple[str, ...]:
        places = self._places
        return _most([places[it] for it in dict.fromkeys(values(spec)) if it in places])


def values(spec: Any) -> Iterator[Hashable]:
    """Values in a task's arguments that may be chunks, paths as text.

    Whole numbers only where they are arguments of the task itself, as deeper down they are options.
    """
    if isinstance(spec, Task):
        yield from (number for number in spec.args if type(number) is int)
    stack: list[Any] = [spec]
    left = _MOST_VALUES
    while stack and left:
        left -= 1
        value = stack.pop()
        kind = type(value)
        if kind is str:
            yield _spelled_path(value)
            continue
        if kind in _NO_CHUNKS:
            continue
        stack += _within(value)
        if not isinstance(value, GraphNode | TaskRef) and (chunk := _chunk(value)) is not None:
            yield chunk


def _within(value: Any) -> list[Any]:
    """Values directly within one, the first one last."""
    if isinstance(value, Task):
        bound = value.func
        more = (*bound.args, *bound.keywords.values()) if isinstance(bound, partial) else ()
        return [*value.args, *more, *value.kwargs.values()][::-1]
    if isinstance(value, DataNode):
        return [value.value]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, tuple | list | set | frozenset):
        return list(value)[::-1]
    return []


def _chunk(value: Any) -> Hashable | None:
    """Chunk that a value may be; None if it is none."""
    if isinstance(value, str | os.PathLike):
        return _spelled(value)  # type: ignore[no-any-return]
    if isinstance(value, bool | int | float):
        return None
    match type(value).__name__:
        case "FragmentWrapper":
            return _fragment_path(value)
        case "OpenFile":
            return _spelled_path(str(value.path))
    return _hashable(value)


def _fragment_path(wrapper: Any) -> str | None:
    """File of a Parquet fragment; it stays packed, as unpacking opens its file system."""
    packed = wrapper._fragment_packed
    path = packed[1] if packed else wrapper._fragment.path
    return _spelled_path(path) if isinstance(path, str) else None


def _hashable(value: Any) -> Hashable | None:
    try:
        hash(value)
    except TypeError:
        return None
    return value  # type: ignore[no-any-return]


def _spelled(chunk: Any) -> Any:
    """Chunk as keys are compared: paths as text, without the scheme of local files."""
    if isinstance(chunk, os.PathLike):
        chunk = os.fspath(chunk)
    return _spelled_path(chunk) if isinstance(chunk, str) else chunk


def _spelled_path(path: str) -> str:
    return path.removeprefix("file://")


def _names(at: Any, chunk: Any) -> tuple[str, ...]:
    """Names of places; Dask also names workers by numbers."""
    each = [at] if isinstance(at, str | int) else at
    if isinstance(each, list | tuple):
        each = [str(name) if type(name) is int else name for name in each]
    return checked(each, str(chunk)) or ()


def _most(holders: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Places that hold most of the chunks."""
    each = list(holders)
    if len(each) <= 1:
        return each[0] if each else ()
    count = Counter(place for places in each for place in dict.fromkeys(places))
    most = max(count.values(), default=0)
    return tuple(place for place, times in count.items() if times == most)
