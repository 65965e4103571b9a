"""Connection of an engine to Dask."""

import asyncio
import itertools
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from distributed import Client

_links = itertools.count(1)


@final
class Connection:
    """Connection to a cluster, used in the client's event loop.

    Attributes:
        client: Dask's client.
        engine: The engine's name, which no other has.
    """

    def __init__(self, client: "Client") -> None:
        self.client = client
        self.engine = f"{client.id}-{next(_links)}"
        self._tasks: set[asyncio.Task[None]] = set()

    async def at(self, worker: str, function: Any, *args: Any) -> Any:
        """Call a function of `node` at a worker; returns its answer, None if the worker is gone."""
        return (await self.at_all([worker], function, *args)).get(worker)

    async def at_all(self, workers: list[str], function: Any, *args: Any) -> Any:
        """Call it at some workers; returns the answers of those that are there."""
        return await self.client.run(
            function, self.engine, *args, workers=workers, on_error="ignore"
        )

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Start a coroutine that ends by itself or with the connection."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cut(self) -> None:
        """Cancel all coroutines."""
        for task in tuple(self._tasks):
            task.cancel()
