"""Tree reductions: results of tasks are combined by further tasks, near where they are."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar, final

from isocline.dispatch.chunk_names import Chunk
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.submission.payload import name_of
from isocline.dispatch.submission.windows import cancel
from isocline.errors import UsageError

T = TypeVar("T")

FOLDED = 8  # results that one task folds by a function of two

Combine = Callable[[Sequence[TaskFuture[Any]]], TaskFuture[Any]]


@final
class Folded:
    """Function of several values: a function of two, applied from left to right."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function
        self.__qualname__ = name_of(function)  # in keys

    def __call__(self, *values: Any) -> Any:
        return reduce(self.function, values)


def combination_key(name: str, parts: Sequence[TaskFuture[Any]]) -> str:
    """Key of the task that combines these results, the same in every run."""
    keys = "\0".join(part.key for part in parts).encode("utf-8", "surrogatepass")
    return f"{name}({len(parts)} of {hashlib.blake2b(keys, digest_size=8).hexdigest()})"


@final
class Reduction:
    """Reduction under way: results of chunks, and combinations of `arity` of them at a time."""

    def __init__(
        self, submit: Callable[[Chunk], TaskFuture[Any]], combine: Combine, arity: int
    ) -> None:
        """Initialise.

        Args:
            submit: Submits a chunk's task.
            combine: Submits a task that combines results.
            arity: Most results that one such task combines.
        """
        self._submit = submit
        self._combine = combine
        self._arity = arity
        self._ended: SimpleQueue[TaskFuture[Any]] = SimpleQueue()
        self._under_way: set[TaskFuture[Any]] = set()
        self._leaves: set[TaskFuture[Any]] = set()  # of these, the tasks of chunks

    def run(self, source: Iterator[Chunk], window: int, *, in_order: bool) -> TaskFuture[Any]:
        """Return the last task, which has ended with the result.

        At most `window` tasks of chunks are submitted at a time.

        Raises:
            UsageError: There are no chunks.
            Exception: Of the first task that failed; all others are cancelled.
        """
        joined = (
            _Neighbours(self._join, self._arity) if in_order else _AtNodes(self._join, self._arity)
        )
        try:
            self._fill(source, window, joined)
            while self._under_way:
                future = self._ended.get()
                self._under_way.remove(future)
                future.result()  # raises
                joined.ended(future)
                if future in self._leaves:
                    self._leaves.remove(future)
                    self._fill(source, 1, joined)
                if not self._leaves:
                    joined.close(bool(self._under_way))
            return joined.last()
        finally:
            cancel(self._under_way)

    def _fill(self, source: Iterator[Chunk], count: int, joined: "_AtNodes | _Neighbours") -> None:
        for future in map(self._submit, islice(source, count)):
            self._leaves.add(future)
            self._watch(future)
            joined.begun(future)

    def _join(self, parts: Sequence[TaskFuture[Any]]) -> TaskFuture[Any]:
        return self._watch(self._combine(parts))

    def _watch(self, future: TaskFuture[Any]) -> TaskFuture[Any]:
        self._under_way.add(future)
        future.when_done(self._ended.put)
        return future


@final
class _AtNodes:
    """Combinations in order of arrival, of results at the same node as long as more are coming."""

    def __init__(self, join: Combine, arity: int) -> None:
        self._join = join
        self._arity = arity
        self._at: dict[str | None, list[TaskFuture[Any]]] = {}

    def begun(self, future: TaskFuture[Any]) -> None:
        """Do nothing: a result counts once it is there."""

    def ended(self, future: TaskFuture[Any]) -> None:
        """Add a result, and combine those of its node if there are enough."""
        here = self._at.setdefault(future.node, [])
        here.append(future)
        if len(here) == self._arity:
            del self._at[future.node]
            self._join(here)

    def close(self, more: bool) -> None:
        """Combine what is left, as no chunk's task is under way; `more`: combinations are."""
        left = [future for here in self._at.values() for future in here]
        if len(left) < 2 or (more and len(left) < self._arity):
            return
        self._at.clear()
        while len(left) > 1:
            self._join(left[: self._arity])
            left = left[self._arity :]
        for future in left:
            self._at[future.node] = [future]

    def last(self) -> TaskFuture[Any]:
        """Return the only task that is left."""
        return _only([future for here in self._at.values() for future in here])


@final
class _Neighbours:
    """Combinations of neighbours, in a tree that depends only on the number of chunks."""

    def __init__(self, join: Combine, arity: int) -> None:
        self._join = join
        self._arity = arity
        self._levels: list[list[TaskFuture[Any]]] = []  # later chunks at lower levels
        self._closed = False

    def begun(self, future: TaskFuture[Any]) -> None:
        """Add the task of the next chunk, and combine full groups, ended or not."""
        for level in self._levels:
            level.append(future)
            if len(level) < self._arity:
                return
            future = self._join(level)
            level.clear()
        self._levels.append([future])

    def ended(self, future: TaskFuture[Any]) -> None:
        """Do nothing: combinations wait for their inputs."""

    def close(self, more: bool) -> None:  # noqa: ARG002  what is under way counts already
        """Combine incomplete groups, once."""
        if self._closed:
            return
        self._closed = True
        last: list[TaskFuture[Any]] = []
        for level in self._levels:
            group = level + last
            last = [self._join(group)] if len(group) > 1 else group
        self._levels = [last]

    def last(self) -> TaskFuture[Any]:
        """Return the only task that is left."""
        return _only([future for level in self._levels for future in level])


def _only(left: Sequence[TaskFuture[Any]]) -> TaskFuture[Any]:
    if not left:
        raise UsageError("reduce: there are no chunks, so there is no result; give at least one")
    (future,) = left
    return future
