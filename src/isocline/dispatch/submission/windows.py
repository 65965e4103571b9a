"""Windows of tasks: a limited number is submitted at a time.

`submit` makes a task of a chunk; `source` may be infinite. The window is filled at once, and each
task that is yielded makes room for the next. A consumer that stops early cancels the rest.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

from isocline.dispatch.chunk_names import Chunk
from isocline.dispatch.futures import TaskFuture

T = TypeVar("T")
Submit = Callable[[Chunk], TaskFuture[T]]


def in_order(
    submit: Submit[T], source: Iterator[Chunk], size: int
) -> Generator[TaskFuture[T], None, None]:
    """Yield completed futures, in the order of the chunks."""
    waiting: deque[TaskFuture[T]] = deque()
    _begin(waiting, lambda: waiting.extend(map(submit, islice(source, size))))

    def rest() -> Generator[TaskFuture[T], None, None]:
        try:
            while waiting:
                with suppress(CancelledError):
                    waiting[0].exception()  # waits
                yield waiting.popleft()
                waiting.extend(map(submit, islice(source, 1)))
        finally:
            cancel(waiting)

    return rest()


def as_they_end(
    submit: Submit[T], source: Iterator[Chunk], size: int
) -> Generator[TaskFuture[T], None, None]:
    """Yield futures as they end."""
    ended: SimpleQueue[TaskFuture[T]] = SimpleQueue()
    under_way: set[TaskFuture[T]] = set()

    def fill(count: int) -> None:
        for future in map(submit, islice(source, count)):
            under_way.add(future)
            future.when_done(ended.put)

    def rest() -> Generator[TaskFuture[T], None, None]:
        try:
            while under_way:
                future = ended.get()
                under_way.remove(future)
                yield future
                fill(1)
        finally:
            cancel(under_way)

    _begin(under_way, lambda: fill(size))
    return rest()


async def awaited_in_order(
    submit: Submit[T], source: Iterator[Chunk], size: int
) -> AsyncIterator[T]:
    """Yield results in the order of the chunks, on an event loop."""
    waiting: deque[TaskFuture[T]] = deque()
    try:
        waiting.extend(map(submit, islice(source, size)))
        while waiting:
            yield await waiting[0]
            del waiting[0]
            waiting.extend(map(submit, islice(source, 1)))
    finally:
        cancel(waiting)


async def awaited_as_they_end(
    submit: Submit[T], source: Iterator[Chunk], size: int
) -> AsyncIterator[T]:
    """Yield results as tasks end, on an event loop."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Queue[Future[T]] = asyncio.Queue()
    under_way: set[Future[T]] = set()

    def put(future: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop may already be closed
            loop.call_soon_threadsafe(ended.put_nowait, future)

    def fill(count: int) -> None:
        for future in map(submit, islice(source, count)):
            under_way.add(future)
            future.when_done(put)

    try:
        fill(size)
        while under_way:
            future = await ended.get()
            under_way.remove(future)
            yield future.result()
            fill(1)
    finally:
        cancel(under_way)


def _begin(futures: Iterable[Future[T]], fill: Callable[[], object]) -> None:
    """Fill the window; if `source` or `submit` raises, cancel what was submitted."""
    try:
        fill()
    except BaseException:
        cancel(futures)
        raise


def cancel(futures: Iterable[Future[T]]) -> None:
    """Cancel unfinished tasks."""
    for future in tuple(futures):
        future.cancel()
