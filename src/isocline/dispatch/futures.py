"""What a caller holds of a task: a `concurrent.futures.Future` that can also be awaited."""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar, final

T = TypeVar("T")


@final
class TaskFuture(Future[T]):
    """Its callbacks are called in the driver's thread, and hold up all others while they run.

    Unlike an executor's, it can be cancelled while its task runs: the node is told to stop, and
    whatever comes of the task there is not heard of.

    Attributes:
        key: The task's.
        node: Where it runs or ran last, if it has been started.
    """

    def __init__(self, key: str, number: int, cancelled: Callable[[int], None]) -> None:
        """`cancelled` is called with the task's number when the caller has cancelled it."""
        super().__init__()
        self.key = key
        self.node: str | None = None
        self._number = number
        self._cancelled = cancelled

    def cancel(self) -> bool:
        """False if the task has ended."""
        if self.done():
            return self.cancelled()
        if not super().cancel():
            return False
        self._cancelled(self._number)
        return True

    def running(self) -> bool:
        return self.node is not None and not self.done()

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def __repr__(self) -> str:
        state = "running" if self.running() else "done" if self.done() else "waiting"
        return f"<TaskFuture {self.key!r} {state}>"


def cancel_quietly(future: TaskFuture[Any]) -> None:
    """End it as cancelled, by who would be told of it."""
    Future.cancel(future)
    future.set_running_or_notify_cancel()  # wakes those who wait for several futures
