"""Executor over a scheduler or a job, for code written for `concurrent.futures`.

with scheduler.executor() as executor:
    executor.map(function, arguments)
    await asyncio.get_running_loop().run_in_executor(executor, function)
"""

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from threading import Lock
from typing import Any, TypeVar, final

from isocline.dispatch.errors import EngineClosedError
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Broadcast
from isocline.dispatch.submission.carried_modules import Carried
from isocline.dispatch.submission.payload import name_of
from isocline.dispatch.submission.task_factory import Submission

T = TypeVar("T")


@final
class Executor(concurrent.futures.Executor):
    """Executor whose calls are tasks without data, run at any node.

    Unlike those of the standard library, its futures can be cancelled while their calls run, which
    stops these, and it does not own what runs them: `shutdown` leaves the scheduler open.
    `isocline.simulate` runs its replications on one within `replications_on`.
    """

    def __init__(
        self,
        submit: Callable[[Submission], TaskFuture[Any]],
        cancel_waiting: Callable[[Sequence[TaskFuture[Any]]], None],
        broadcast: Callable[[Any], Broadcast[Any]],
        window: Callable[[], int],
    ) -> None:
        """Initialise; made by `Scheduler.executor` and `Job.executor`.

        Args:
            submit: Submits a task.
            cancel_waiting: Cancels those of these tasks that have never started.
            broadcast: As `Scheduler.broadcast`.
            window: As `Submitter.window`.
        """
        self._submit = submit
        self._broadcast = broadcast
        self._window = window
        self._cancel_waiting = cancel_waiting
        self._shut = False
        self._lock = Lock()  # guards `_shut`, and additions to:
        self._pending: set[TaskFuture[Any]] = set()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> TaskFuture[T]:
        """Submit `fn(*args, **kwargs)`.

        Raises:
            RuntimeError: The executor was shut down, or its scheduler is closed.
            UsageError: Function or arguments cannot be pickled.
        """
        with self._lock:
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            try:
                future = self._submit(Submission(fn, None, args, kwargs, None, None))
            except EngineClosedError as error:
                raise RuntimeError(f"cannot schedule new futures: {error}") from error
            self._pending.add(future)
        future.when_done(self._pending.discard)
        return future

    @property
    def window(self) -> int:
        """Number of calls that keeps all nodes busy."""
        return self._window()

    def share(self, value: T) -> Broadcast[T]:
        """Make a handle to an object that many calls get as an argument, as `Scheduler.broadcast`.

        Modules of the user's own go with it, so that nodes need none of their files.

        Raises:
            UsageError: It cannot be pickled.
        """
        handle: Broadcast[Any] = self._broadcast(Carried(value))
        return handle

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Generator[T, None, None]:
        """Yield `fn(*arguments)` for the arguments of `zip(*iterables)`, in their order.

        Args:
            fn: Function to call.
            iterables: Arguments, read before this returns unless there is a `buffersize`.
            timeout: Time from this call after which results are no longer awaited, s.
            chunksize: Calls per task.
            buffersize: Tasks submitted at a time without their results having been yielded.

        Raises:
            TimeoutError: From the iterator, when a result is not available in time.
            ValueError: `chunksize` or `buffersize` is below 1.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be 1 or more")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be 1 or more, or None")
        end = None if timeout is None else time.monotonic() + timeout
        calls = zip(*iterables, strict=False)
        each = _Each(fn)
        tasks = iter(lambda: tuple(islice(calls, chunksize)), ())
        submitted = (
            self.submit(fn, *calls[0]) if chunksize == 1 else self.submit(each, calls)
            for calls in tasks
        )
        futures = deque(islice(submitted, buffersize))
        return _results(futures, submitted, end, whole=chunksize == 1)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further calls, and with `wait` return when all submitted ones have ended.

        With `cancel_futures`, calls that have not started are cancelled.
        """
        with self._lock:
            self._shut = True
            pending = tuple(self._pending)
        if cancel_futures:
            self._cancel_waiting(pending)
        if wait:
            concurrent.futures.wait(pending)


@final
class _Each:
    """Function of a tuple of calls' arguments: a list of their results."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__qualname__ = name_of(function)  # in keys

    def __call__(self, calls: tuple[tuple[Any, ...], ...]) -> list[Any]:
        return [self.function(*arguments) for arguments in calls]


def _results(
    futures: deque[TaskFuture[Any]],
    more: Iterator[TaskFuture[Any]],
    end: float | None,
    *,
    whole: bool,
) -> Generator[Any, None, None]:
    """Yield results until `end`, s; each result of a task is one, if `whole`, or a list of them."""
    try:
        while futures:
            result = futures[0].result(None if end is None else end - time.monotonic())
            futures.popleft()
            futures.extend(islice(more, 1))
            if whole:
                yield result
            else:
                yield from result
    finally:
        for future in futures:
            future.cancel()
