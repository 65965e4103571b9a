"""Membership of a Dask cluster: its workers, and the chunks that they hold."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, final

from isocline.dispatch.engines.base import Emit, NodeLost, NodeUp
from isocline.dispatch.engines.common.chunk_sites import ChunkSites
from isocline.dispatch.engines.dask import worker_context as at_node
from isocline.dispatch.engines.dask.chunks import Chunks
from isocline.dispatch.engines.dask.connection import (
    CallCancelledError,
    Connection,
    foreign_cancellations,
)
from isocline.dispatch.engines.dask.worker_thread import Server, Worker, nodes_of

_POLL = 1.0  # s between polls of the cluster
_SHARE = 0.02  # greatest share of time for polls, as they load the scheduler


@final
class Membership:
    """Workers of a cluster; used in the client's event loop, except `names`.

    Attributes:
        servers: Present nodes, by name.
    """

    def __init__(
        self,
        chunks: Chunks,
        sites: ChunkSites,
        loader: bytes | None,
        racks: Mapping[str, str],
        emit: Emit,
    ) -> None:
        self.servers: dict[str, Server] = {}
        self._chunks = chunks
        self._sites = sites
        self._loader = loader
        self._racks = dict(racks)
        self._emit = emit
        self._names: dict[str, list[str]] = {}  # by address; values are replaced, never changed
        self._joining: set[str] = set()

    def names(self, address: str) -> Sequence[str]:
        """Return the nodes at a worker, none if it is unknown; thread-safe."""
        return self._names.get(address, ())

    def addresses(self) -> list[str]:
        """Return the addresses of the workers."""
        return list(self._names)

    async def start(self, link: Connection, patience: float) -> None:
        """Start watching; waits until present workers have joined, for at most `patience` s."""
        self._link = link
        self._looking = asyncio.Lock()
        link.client.subscribe_topic("all", self._on_event)
        if joins := await self._see():
            await asyncio.wait(joins, timeout=patience)
        link.spawn(self._watch())

    def close(self) -> None:
        """Stop watching, release all attempts in Dask, and remove all workers."""
        self._link.client.unsubscribe_topic("all")
        for server in self.servers.values():
            server.drop_all()
        self.servers, self._names = {}, {}

    async def _watch(self) -> None:
        took = 0.0
        while True:
            await asyncio.sleep(max(_POLL, took / _SHARE))
            start = time.monotonic()
            await self._look()
            took = time.monotonic() - start

    def _on_event(self, event: tuple[float, Any]) -> None:
        """Handle an event of Dask's scheduler."""
        match event[1]:
            case {"action": "remove-worker", "worker": address}:
                self._leave(address, "Dask's scheduler has removed the worker")
            case {"action": "add-worker"}:
                self._link.spawn(self._look())

    async def _look(self) -> None:
        """Poll the workers of the cluster, and the chunks that they hold."""
        try:
            async with self._looking:  # an older poll must not undo a newer one
                with foreign_cancellations():
                    await self._see()
        except CallCancelledError:
            return  # the next poll is soon
        except OSError as error:
            for address in self.addresses():
                self._leave(address, f"Dask's scheduler cannot be reached: {error}")

    async def _see(self) -> list[asyncio.Task[None]]:
        """Compare the workers; returns the tasks by which new ones join, slow if they are dead."""
        identity = await self._link.client.scheduler.identity(n_workers=-1)
        workers, joins = identity["workers"], []
        for address in self._names.keys() - workers.keys():
            self._leave(address, "Dask's scheduler no longer has it")
        for address in workers.keys() - self._names.keys() - self._joining:
            self._joining.add(address)
            joins.append(self._link.spawn(self._join(address, workers[address])))
        await self._chunks.look(self._link.client)
        return joins

    async def _join(self, address: str, worker: Mapping[str, Any]) -> None:
        host = None
        with suppress(OSError):  # the scheduler is gone
            host = await self._link.at(address, at_node.open_context, self._loader)
        self._joining.discard(address)
        if host is None:
            return
        shared, nodes = Worker(address), nodes_of(address, worker, self._racks, host)
        for node in nodes:
            self.servers[node.name] = Server(node, shared)
            self._emit(NodeUp(node))
        names = [node.name for node in nodes]
        self._names = {**self._names, address: names}
        for name in names:
            self._sites.node_up(name, address)

    def _leave(self, address: str, reason: str) -> None:
        names = self.names(address)
        self._names = {other: at for other, at in self._names.items() if other != address}
        for name in names:
            self.servers.pop(name).drop_all()
            self._emit(NodeLost(name, reason))
