"""Submission of tasks, one by one or many, common to a scheduler and its jobs."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from contextlib import closing
from typing import Any, TypeVar

from isocline.arguments import at_least, kind_of, require
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.submission import windows

T = TypeVar("T")


class Submitter(ABC):
    """Base of scheduler and job: makes a task of a function and a chunk."""

    @abstractmethod
    def submit(
        self,
        function: Callable[..., T],
        chunk: str | None = None,
        /,
        *arguments: Any,
        key: str | None = None,
        limit: float | None = None,
        **named: Any,
    ) -> TaskFuture[T]:
        """Have `function(value of chunk, *arguments, **named)` run where the chunk is.

        Without a chunk it is called as `function(*arguments, **named)`, anywhere. The future ends
        exactly once: with the result; with the function's own exception, whose cause is the
        worker's traceback; cancelled; or with a `TaskError`.

        Args:
            function: What to run; pickled by cloudpickle, so that it may be a lambda.
            chunk: Name of the data.
            arguments: Further ones.
            key: Name of the task in records, errors and the journal; by default by function
                and chunk, as `count(part-7)`, with a journal the second one `count(part-7)#2`.
            limit: s after which the task is stopped at its node; by default the scheduler's.
            named: Further ones by name.

        Raises:
            UsageError: Function or arguments cannot be pickled, a key of the journal is given
                twice, or locations make no sense.
            JournalError: The journal has that key with another function or other arguments.
            EngineClosedError: The scheduler is closed.
        """

    @property
    @abstractmethod
    def window(self) -> int:
        """Default number of tasks that the methods below submit at a time."""

    def map(
        self,
        function: Callable[..., T],
        chunks: Iterable[str],
        /,
        *arguments: Any,
        in_order: bool = True,
        window: int | None = None,
        limit: float | None = None,
        **named: Any,
    ) -> Generator[T, None, None]:
        """Return the results of one task per chunk, in the chunks' order or as they come.

        At most `window` tasks are submitted and not yet handed out, so `chunks` may be endless. The
        first ones are submitted at once. A task that fails raises its exception here, and cancels
        what has been submitted, as does giving up before the end.
        """
        futures = self.completed(
            function, chunks, *arguments, in_order=in_order, window=window, limit=limit, **named
        )
        return _results(futures)

    def completed(
        self,
        function: Callable[..., T],
        chunks: Iterable[str],
        /,
        *arguments: Any,
        in_order: bool = False,
        window: int | None = None,
        limit: float | None = None,
        **named: Any,
    ) -> Generator[TaskFuture[T], None, None]:
        """Yield futures that have ended, as `map` does results; a failed one stops none."""
        submit = self._each(function, arguments, limit, named)
        way = windows.in_order if in_order else windows.as_they_end
        return way(submit, iter(chunks), self._size(window))

    def stream(
        self,
        function: Callable[..., T],
        chunks: Iterable[str],
        /,
        *arguments: Any,
        in_order: bool = False,
        window: int | None = None,
        limit: float | None = None,
        **named: Any,
    ) -> AsyncIterator[T]:
        """Yield results as `map`, for `async for`; the first tasks are submitted as it begins."""
        submit = self._each(function, arguments, limit, named)
        way = windows.awaited_in_order if in_order else windows.awaited_as_they_end
        return way(submit, iter(chunks), self._size(window))

    def _each(
        self,
        function: Callable[..., T],
        arguments: tuple[Any, ...],
        limit: float | None,
        named: Mapping[str, Any],
    ) -> Callable[[str], TaskFuture[T]]:
        """Return a function that submits a chunk's task."""
        return lambda chunk: self.submit(function, chunk, *arguments, limit=limit, **named)

    def _size(self, window: int | None) -> int:
        require("map: window", window, kind_of(int | None), at_least(1))
        return window or self.window


def _results(futures: Generator[TaskFuture[T], None, None]) -> Generator[T, None, None]:
    with closing(futures):
        for future in futures:
            yield future.result()
