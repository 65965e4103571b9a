"""Submission of tasks, one by one or many; base class of scheduler and job."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing
from pathlib import PurePath
from typing import Any, TypeVar

from isocline.arguments import at_least, kind_of, require
from isocline.dispatch.chunk_names import Chunk
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.submission import windows
from isocline.dispatch.submission.payload import name_of
from isocline.dispatch.submission.reduction import FOLDED, Folded, Reduction, combination_key
from isocline.dispatch.submission.task_factory import Submission
from isocline.errors import UsageError

T = TypeVar("T")


class Submitter(ABC):
    """Base class of `Scheduler` and `Job`: runs functions on chunks, as tasks."""

    def submit(
        self,
        function: Callable[..., T],
        chunk: Chunk | None = None,
        /,
        *arguments: Any,
        key: str | None = None,
        limit: float | None = None,
        resources: Mapping[str, float] | None = None,
        **named: Any,
    ) -> TaskFuture[T]:
        """Run `function(value of chunk, *arguments, **named)` where the chunk is.

        Without a chunk, `function(*arguments, **named)` runs at any node. The future ends exactly
        once: with the result; with the function's own exception, whose cause is the worker's
        traceback; cancelled; or with a `TaskError`.

        Args:
            function: Function to run; pickled by cloudpickle, so it may be a lambda.
            chunk: Name of the data, a path, or a tuple such as ("orders", 7); location functions,
                loaders and functions get it as given. A path and its text name the same chunk.
            arguments: Further positional arguments. Futures of this scheduler and handles of
                `Scheduler.broadcast`, also in containers, stand for their values: the task waits
                for them, and without a chunk it runs where most of them are, if they are large. If
                one fails, so does the task, by an `InputError`; if one is cancelled, so is it.
            key: Name of the task in records, errors and the journal; by default from function and
                chunk, such as `count(part-7)` and, with a journal, `count(part-7)#2` for the
                second.
            limit: Time after which the task is stopped at its node, s; None: the scheduler's.
            resources: Amounts by name of what the task needs of its node, such as {"gpu": 1}. It
                starts at the first node with enough left, a holder of its chunk if one has, before
                tasks without needs, and is not copied.
            named: Keyword arguments.

        Raises:
            UsageError: Function or arguments cannot be pickled, a key is given twice with a
                journal, or the chunk's locations are invalid.
            JournalError: The journal has the key with another function or different arguments.
            EngineClosedError: The scheduler is closed.
        """
        self._require_parameters(function, named)
        return self._put(Submission(function, chunk, arguments, named, key, limit, resources))

    @abstractmethod
    def _put(self, submission: Submission) -> TaskFuture[Any]:
        """Submit one task; raises as `submit`."""

    @property
    @abstractmethod
    def window(self) -> int:
        """Default for the number of tasks that the methods below keep submitted at a time."""

    def map(
        self,
        function: Callable[..., T],
        chunks: Iterable[Chunk],
        /,
        *arguments: Any,
        in_order: bool = True,
        window: int | None = None,
        limit: float | None = None,
        resources: Mapping[str, float] | None = None,
        **named: Any,
    ) -> Generator[T, None, None]:
        """Yield the results of one task per chunk, in order of chunks or of completion.

        At most `window` tasks at a time are submitted without their result having been yielded, so
        `chunks` may be infinite. The first tasks are submitted at once. A task that fails raises
        its exception here. That cancels the other submitted tasks, as does closing the generator.
        """
        futures = self.completed(
            function,
            chunks,
            *arguments,
            in_order=in_order,
            window=window,
            limit=limit,
            resources=resources,
            **named,
        )
        return _results(futures)

    def completed(
        self,
        function: Callable[..., T],
        chunks: Iterable[Chunk],
        /,
        *arguments: Any,
        in_order: bool = False,
        window: int | None = None,
        limit: float | None = None,
        resources: Mapping[str, float] | None = None,
        **named: Any,
    ) -> Generator[TaskFuture[T], None, None]:
        """Yield completed futures, as `map` yields results; failed ones do not stop it."""
        submit = self._each(function, arguments, limit, resources, named)
        way = windows.in_order if in_order else windows.as_they_end
        return way(submit, _each_of(chunks), self._size(window))

    def stream(
        self,
        function: Callable[..., T],
        chunks: Iterable[Chunk],
        /,
        *arguments: Any,
        in_order: bool = False,
        window: int | None = None,
        limit: float | None = None,
        resources: Mapping[str, float] | None = None,
        **named: Any,
    ) -> AsyncIterator[T]:
        """Yield results like `map`, for `async for`; tasks are submitted once it is iterated."""
        submit = self._each(function, arguments, limit, resources, named)
        way = windows.awaited_in_order if in_order else windows.awaited_as_they_end
        return way(submit, _each_of(chunks), self._size(window))

    def reduce(
        self,
        function: Callable[..., T],
        combine: Callable[..., T],
        chunks: Iterable[Chunk],
        /,
        *arguments: Any,
        arity: int | None = None,
        in_order: bool = False,
        window: int | None = None,
        resources: Mapping[str, float] | None = None,
        **named: Any,
    ) -> T:
        """Combine the results of one task per chunk, by further tasks where these results are.

        Results are combined as they arrive, those of one node first. The result does not depend on
        that order if `combine` is associative and commutative; sums of floating-point numbers are
        so up to rounding. With `in_order`, only neighbours are combined, in a tree that depends on
        the number of chunks alone: `combine` need only be associative, and the result of a run is
        that of every other to the last bit. An interrupted run can resume combinations, too, only
        with `in_order`.

        Args:
            function: Function of a chunk's value, and of the further arguments.
            combine: Function of two results; with `arity`, of two to that many.
            chunks: Chunks, at least one.
            arguments: Further positional arguments of `function`.
            arity: Most results that `combine` gets at a time; None: it gets two, and a task folds
                up to 8.
            in_order: Whether to combine neighbours only.
            window: Tasks of chunks that are submitted at a time.
            resources: What the task of each chunk needs of its node.
            named: Keyword arguments of `function`.

        Raises:
            UsageError: There are no chunks, or as `submit`.
            Exception: Of the first task that failed; all others are cancelled.
        """
        future = self._reduced(
            Submission(function, None, arguments, named, None, None, resources),
            combine,
            chunks,
            arity=arity,
            in_order=in_order,
            window=window,
        )
        result: T = future.result()
        return result

    def _reduced(
        self,
        call: Submission,
        combine: Callable[..., Any],
        chunks: Iterable[Chunk],
        *,
        arity: int | None,
        in_order: bool,
        window: int | None = None,
    ) -> TaskFuture[Any]:
        """Reduce as `reduce`, with the call for each chunk; returns the last task, which ended."""
        self._require_parameters(call.function, call.named)
        require("reduce: arity", arity, kind_of(int | None), at_least(2))
        joins: Callable[..., Any] = Folded(combine) if arity is None else combine
        name = name_of(combine)

        def leaf(chunk: Chunk) -> TaskFuture[Any]:
            return self._put(call._replace(chunk=chunk, keep=True))

        def join(parts: Sequence[TaskFuture[Any]]) -> TaskFuture[Any]:
            key = combination_key(name, parts)
            return self._put(Submission(joins, None, tuple(parts), {}, key, None, keep=True))

        reduction = Reduction(leaf, join, arity or FOLDED)
        return reduction.run(_each_of(chunks), self._size(window), in_order=in_order)

    def _each(
        self,
        function: Callable[..., T],
        arguments: tuple[Any, ...],
        limit: float | None,
        resources: Mapping[str, float] | None,
        named: Mapping[str, Any],
    ) -> Callable[[Chunk], TaskFuture[T]]:
        """Return a function that submits a chunk's task."""
        self._require_parameters(function, named)
        return lambda chunk: self._put(
            Submission(function, chunk, arguments, named, None, limit, resources)
        )

    def _require_parameters(
        self, function: Callable[..., Any], named: Mapping[str, object]
    ) -> None:
        """Refuse keyword arguments that a function does not take, before anything is sent."""
        unknown = _not_taken(function, named) if named else []
        if unknown:
            ours = inspect.signature(type(self)).parameters
            place = f", which {type(self).__name__} itself takes" if unknown[0] in ours else ""
            raise UsageError(
                f"{name_of(function)} takes no argument {unknown[0]!r}{place}; leave it out here"
            )

    def _size(self, window: int | None) -> int:
        require("map: window", window, kind_of(int | None), at_least(1))
        return window or self.window


def _each_of(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Iterate over chunks; raises UsageError for one chunk, whose letters are no chunks."""
    if isinstance(chunks, str | bytes | PurePath):
        raise UsageError(f"chunks is {chunks!r}, one chunk; give a list of chunks, [{chunks!r}]")
    if not isinstance(chunks, Iterable):
        raise UsageError(f"chunks is {chunks!r}; give a list of chunks, or what yields them")
    return iter(chunks)


def _not_taken(function: Callable[..., Any], named: Iterable[str]) -> list[str]:
    """Names that are no keyword arguments of a function, if it says what it takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []
    kinds = [it.kind for it in parameters.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return []
    positional = inspect.Parameter.POSITIONAL_ONLY
    return [it for it in named if it not in parameters or parameters[it].kind is positional]


def _results(futures: Generator[TaskFuture[T], None, None]) -> Generator[T, None, None]:
    with closing(futures):
        for future in futures:
            yield future.result()
