"""Names of the workers of a Dask scheduler and of their hosts, which workers are asked for."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any, final

from distributed.protocol.pickle import dumps
from distributed.protocol.serialize import Serialize, Serialized, deserialize

from isocline.integrations.dask.places import Places

_PATIENCE = 5.0  # s that `ask_all` waits for answers
_LOG = logging.getLogger("isocline.dask")


@final
class HostNames:
    """Keeps `Places` up to date: names of workers at once, those of their hosts when they answer.

    Hosts are asked for their names only where places may be named by these.
    """

    def __init__(
        self,
        scheduler: Any,
        places: Places,
        matter: Callable[[], bool],
        found: Callable[[str, set[str]], None],
    ) -> None:
        """Initialise.

        Args:
            scheduler: Dask's scheduler.
            places: Index that is kept.
            matter: Whether places may be named by hosts' names.
            found: Called with a worker and names under which it is known from now on.
        """
        self._scheduler = scheduler
        self._places = places
        self._matter = matter
        self._found = found
        self._asking: set[asyncio.Task[None]] = set()

    async def ask_all(self) -> None:
        """Add the names of all workers, and of their hosts as far as they answer in time."""
        workers = self._scheduler.workers
        for ws in workers.values():
            self._places.add(ws.address, {str(ws.name), ws.host})
        if not (workers and self._matter()):
            return

        async def ask(worker: str) -> None:
            host = await self._host_of(worker)
            if host is not None and worker in workers:
                self._places.add(worker, {host})

        asking = [asyncio.ensure_future(ask(worker)) for worker in workers]
        _, late = await asyncio.wait(asking, timeout=_PATIENCE)
        for task in late:
            task.cancel()

    def joined(self, workers: Iterable[str]) -> None:
        """Add the names of workers that have joined; a host's name follows."""
        for worker in workers:
            ws = self._scheduler.workers[worker]
            self._add(worker, {str(ws.name), ws.host})
        if self._matter():
            for worker in workers:
                asking = asyncio.ensure_future(self._ask(worker))
                self._asking.add(asking)
                asking.add_done_callback(self._asking.discard)

    def cancel(self) -> None:
        """Ask no more."""
        for asking in self._asking:
            asking.cancel()

    async def _ask(self, worker: str) -> None:
        host = await self._host_of(worker)
        if host is not None and worker in self._scheduler.workers:
            self._add(worker, {host})

    def _add(self, worker: str, names: set[str]) -> None:
        new = self._places.add(worker, names)
        if new:
            self._found(worker, new)

    async def _host_of(self, worker: str) -> str | None:
        """Ask a worker for its host's name."""
        try:
            answers = await self._scheduler.broadcast(
                msg={"op": "run", "function": dumps(socket.gethostname)}, workers=[worker]
            )
            return str(_content(answers[worker]["result"]))
        except Exception:
            _LOG.info("isocline: %s does not tell its host's name", worker, exc_info=True)
            return None


def _content(answer: Any) -> Any:
    """Content of a worker's answer, which the scheduler does not unpack by itself."""
    if isinstance(answer, Serialized):
        return deserialize(answer.header, answer.frames)
    return answer.data if isinstance(answer, Serialize) else answer
