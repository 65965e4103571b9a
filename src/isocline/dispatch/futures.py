"""Awaitable futures of tasks, and a thread for their callbacks.

Futures are ended by the event loop's thread. If that thread also called users' callbacks, one that
waits for another task would deadlock, and a slow one would delay all tasks.
"""

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar, final

from isocline.dispatch.inputs import Input
from isocline.dispatch.log import LOG
from isocline.dispatch.user_code_guard import Caught, guarded

Callback = Callable[[Any], object]


@final
class Callbacks:
    """Thread that calls a scheduler's callbacks one by one, in the order in which tasks end."""

    def __init__(self) -> None:
        """Initialise; the thread starts with the first callback."""
        self._queue: SimpleQueue[tuple[Callback, Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, callback: Callback, future: Any) -> None:
        """Queue a callback or, after `close`, call it at once; may be called from any thread."""
        with self._lock:
            if not self._closed:
                self._queue.put((callback, future))
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._work, name="isocline-callbacks", daemon=True
                    )
                    self._thread.start()
                return
        call(callback, future)

    def close(self, patience: float | None = None) -> None:
        """Wait until all callbacks have been called, or for `patience` s.

        A callback may call this, too; the remaining ones are then called after it.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def _work(self) -> None:
        while (due := self._queue.get()) is not None:
            call(*due)


def call(callback: Callback, future: Any) -> None:
    """Call a callback; its exceptions are logged, as by `concurrent.futures`."""
    found = guarded(callback, future)
    if isinstance(found, Caught):
        LOG.error("a callback of %r raised", future, exc_info=found.error)


T = TypeVar("T")


def _anywhere(_key: str) -> None:
    """Allow every thread to wait."""


@final
class TaskFuture(Future[T]):
    """Future of one task.

    Callbacks are called one after the other, in a thread that the scheduler reserves for them, so
    they may submit tasks and wait for results. Their exceptions are logged.

    Unlike the future of an executor, it can be cancelled while its task runs: the attempt is
    stopped, and its outcome ignored.

    Attributes:
        key: Key of the task.
        number: Number of the task in its scheduler.
        node: Node of its last attempt, if any.
        owner: Maker of its task and of those that may have it as an argument; None: no task may.
        input: Its result as an input of other tasks, once there are any.
        identity: Packed identity of its task, if there is a journal.
        packed: Whether its result stays pickled, as it is another process's.
    """

    def __init__(
        self,
        key: str,
        number: int,
        cancelled: Callable[[int], None],
        callbacks: Callbacks | None = None,
        may_wait: Callable[[str], None] = _anywhere,
    ) -> None:
        """Make the future of a task that has not been started.

        Args:
            key: Key of the task.
            number: Number of the task.
            cancelled: Called with the task's number when the caller cancels it.
            callbacks: Thread for callbacks; None: they are called in the thread that ends the task.
            may_wait: Called with the key before a wait; raises UsageError if it would deadlock.
        """
        super().__init__()
        self.key = key
        self.node: str | None = None
        self.owner: object = None
        self.input: Input | None = None
        self.identity = b""
        self.packed = False
        self.number = number
        self._cancelled = cancelled
        self._put = call if callbacks is None else callbacks.put
        self._may_wait = may_wait

    def cancel(self) -> bool:
        """Cancel the task; returns False if it has already ended."""
        if self.done():
            return self.cancelled()
        if not super().cancel():
            return False
        self._cancelled(self.number)
        return True

    def running(self) -> bool:
        return self.node is not None and not self.done()

    def result(self, timeout: float | None = None) -> T:
        self._require_end()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._require_end()
        return super().exception(timeout)

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        if self.done():
            call(fn, self)
        else:
            super().add_done_callback(lambda future: self._put(fn, future))

    def when_done(self, callback: Callable[["TaskFuture[T]"], object]) -> None:
        """Add a callback for the thread that ends the task; it must return at once."""
        super().add_done_callback(callback)  # type: ignore[arg-type]

    def __await__(self) -> Generator[Any, None, T]:
        return self._awaited().__await__()

    def __reduce__(self) -> Any:
        raise TypeError("a future must be an argument of a task, on its own or in a container")

    def __repr__(self) -> str:
        state = "running" if self.running() else "done" if self.done() else "waiting"
        return f"<TaskFuture {self.key!r} {state}>"

    async def _awaited(self) -> T:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # the loop may already be closed
                loop.call_soon_threadsafe(ended.set)

        self.when_done(wake)
        try:
            await ended.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self.cancelled():
            raise asyncio.CancelledError
        return super().result()

    def _require_end(self) -> None:
        """Raise UsageError if the task cannot end while this thread waits for it."""
        if not self.done():
            self._may_wait(self.key)


def finish(future: TaskFuture[Any], value: Any) -> None:
    """Set the result, unless the caller has already ended the future."""
    if _runs(future):
        with suppress(InvalidStateError):
            future.set_result(value)


def fail(future: TaskFuture[Any], error: BaseException) -> None:
    """Set an exception, unless the caller has already ended the future."""
    if _runs(future):
        with suppress(InvalidStateError):
            future.set_exception(error)


def cancel_quietly(future: TaskFuture[Any]) -> None:
    """Cancel without notifying the scheduler, which already knows."""
    Future.cancel(future)
    _runs(future)  # wakes threads that wait for several futures


def _runs(future: TaskFuture[Any]) -> bool:
    """Whether the future can still be ended: the caller may have set or cancelled it."""
    if future.done() and not future.cancelled():
        return False
    return future.set_running_or_notify_cancel()
