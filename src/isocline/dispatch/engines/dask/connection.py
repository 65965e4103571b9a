"""Connection of an engine to Dask."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from distributed import Client, Future

_links = itertools.count(1)
_AGAIN = 0.05  # s until a call that Dask cancelled is repeated


class CallCancelledError(OSError):
    """Dask cancelled a call, as it does with calls under way when a worker is lost."""


@contextmanager
def foreign_cancellations() -> Iterator[None]:
    """Raise CallCancelledError if a call is cancelled although its asyncio task is not.

    Otherwise the cancellation would silently end the task, and those that wait for it would hang.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise CallCancelledError("Dask cancelled a call as it lost a worker") from error


async def _insisting(call: Callable[[], Any]) -> Any:
    """Await a call, and repeat it each time that Dask cancels it."""
    while True:
        try:
            with foreign_cancellations():
                return await call()
        except CallCancelledError:
            await asyncio.sleep(_AGAIN)


@final
class Connection:
    """Connection to a cluster, used in the client's event loop.

    Attributes:
        client: Dask's client.
        engine: Unique name of the engine.
    """

    def __init__(self, client: "Client") -> None:
        self.client = client
        self.engine = f"{client.id}-{next(_links)}"
        self._tasks: set[asyncio.Task[None]] = set()

    async def at(self, worker: str, function: Any, *args: Any) -> Any:
        """Call a function at a worker; returns its answer, None if the worker is gone."""
        return (await self.at_all([worker], function, *args)).get(worker)

    async def at_all(self, workers: list[str], function: Any, *args: Any) -> Any:
        """Call a function at several workers; returns the answers of those that are up."""
        return await _insisting(
            lambda: self.client.run(
                function, self.engine, *args, workers=workers, on_error="ignore"
            )
        )

    async def result(self, future: "Future[Any]") -> list[Any]:
        """Wait for a future; returns a list of its result, empty if it failed.

        A cancellation of ours does not reach Dask's call: its client makes one call for several
        results, and if that is cancelled, all later ones wait for it for ever.
        """
        return list(
            await _insisting(lambda: asyncio.shield(self.client.gather([future], errors="skip")))
        )

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Run a coroutine as a task that ends with the connection at the latest."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cut(self) -> None:
        """Cancel all coroutines."""
        for task in tuple(self._tasks):
            task.cancel()
