"""Engine on a Dask cluster: threads of workers are nodes, futures are chunks."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from distributed import CancelledError, Client, Future

from isocline.dispatch.engines.base import (
    Done,
    Emit,
    Event,
    Fetched,
    Node,
    Raised,
    Stopped,
    WorkItem,
)
from isocline.dispatch.engines.common import calls
from isocline.dispatch.engines.common.chunk_sites import ChunkSites
from isocline.dispatch.engines.common.remote_functions import Loader, Numbers
from isocline.dispatch.engines.common.remote_node import Answer
from isocline.dispatch.engines.common.settings import code_of
from isocline.dispatch.engines.dask import worker_context as at_node
from isocline.dispatch.engines.dask.chunks import Chunks
from isocline.dispatch.engines.dask.connection import Connection, foreign_cancellations
from isocline.dispatch.engines.dask.membership import Membership
from isocline.dispatch.engines.dask.worker_thread import Server, Worker
from isocline.dispatch.errors import EngineError, UnreadError
from isocline.errors import UsageError

_IDLE = 1.0  # s after which unneeded results are released at the latest
_CLOSE = 5.0  # s for workers to stop running attempts


@final
class DaskEngine:
    """Dask engine: each thread of each worker is a node, which runs one task at a time.

    A node's name is its worker's address, followed by a slash and the thread's number if there are
    several. Workers that join are used; the loss of one is reported when Dask's scheduler notices
    it, and its tasks run elsewhere. isocline must be installed at the workers. A task is stopped by
    an exception raised within it, which ends Python code; compiled code and system calls are left
    to end by themselves, in an abandoned thread.
    """

    def __init__(
        self,
        client: Client | str | None = None,
        *,
        chunks: Mapping[Any, "Future[Any]"] | None = None,
        loader: Loader | None = None,
        racks: Mapping[str, str] | None = None,
        begin: float = 30.0,
    ) -> None:
        """Make the engine, without starting anything.

        Args:
            client: Synchronous client, or the scheduler's address; None: the cluster that
                `Client()` finds, or else starts on this machine.
            chunks: Futures of that client by chunk; the engine asks Dask for their locations. Dask
                fetches such a chunk to nodes without it; that counts as reading time, and the node
                holds the chunk until Dask drops the copy. Its active memory manager reduces each
                chunk to one copy every 2 s, unless the setting
                distributed.scheduler.active-memory-manager.start is False at the scheduler.
            loader: Function from the name of any other chunk to the value that the task gets,
                called at every node; None: tasks get the name.
            racks: Racks by a worker's host, name or address.
            begin: Time to connect to the scheduler, s.

        Raises:
            UsageError: The client is asynchronous, or the loader cannot be pickled.
        """
        if isinstance(client, Client) and client.asynchronous:
            raise UsageError("client: it is asynchronous; give one made with asynchronous=False")
        self._client = client if isinstance(client, Client) else None
        self._address = client if isinstance(client, str) else None
        self._connects = self._client is None
        self._sites = ChunkSites(self._names, self._emit)
        self._chunks = Chunks(chunks or {}, self._sites)
        self.fetches = bool(chunks)  # a loader's chunks are read within the task
        self.loader = loader
        self.directories: Mapping[str, Path] = {}
        self.fixed = False
        self._members = Membership(
            self._chunks, self._sites, code_of(loader), racks or {}, self._emit
        )
        self._begin = begin
        self._numbers = Numbers()
        self._over: list[Future[Any]] = []  # futures of ended attempts
        self._linked = self._begun = self._closed = False

    def start(self, emit: Emit) -> Sequence[Node]:
        if self._begun or self._closed:
            raise EngineError("an engine is started once; make another")
        self._emit_all = emit
        try:
            if self._client is None:
                self._client = Client(self._address, timeout=self._begin, set_as_default=False)
            nodes: Sequence[Node] = self._client.sync(self._start)
        except (OSError, ValueError) as error:
            self.close()
            raise EngineError(f"Dask's scheduler cannot be reached: {error}") from error
        if not nodes:
            self.close()
            raise EngineError(
                "Dask's scheduler has no usable workers; start some where isocline and the "
                "loader's modules are installed, and wait for them"
            )
        return nodes

    def run(self, node: str, work: WorkItem) -> None:
        self._loop.call_soon_threadsafe(self._run, node, work)

    def cancel(self, node: str, attempt: int) -> None:
        self._loop.call_soon_threadsafe(lambda: self._link.spawn(self._cancel(node, attempt)))

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:  # noqa: ARG002  Dask knows them
        self._loop.call_soon_threadsafe(lambda: self._link.spawn(self._fetch(node, chunk)))

    def release(self, number: int) -> None:
        self._loop.call_soon_threadsafe(lambda: self._link.spawn(self._drop(number)))

    def locations(self, chunk: str) -> Sequence[str]:
        return self._sites.nodes(chunk)

    def close(self) -> None:
        if self._closed or self._client is None:
            return
        self._closed = True
        if self._linked and self._client.status != "closed":
            self._client.sync(self._close)
        if self._connects:
            self._client.close()

    # Everything else is called in the client's event loop.

    async def _start(self) -> list[Node]:
        assert self._client is not None
        self._loop = asyncio.get_running_loop()
        self._link = Connection(self._client)
        self._linked = True
        await self._members.start(self._link, self._begin)
        self._begun = True
        self._link.spawn(self._tidy())
        return [server.node for server in self._members.servers.values()]

    async def _close(self) -> None:
        workers = self._members.addresses()
        self._members.close()
        self._release()  # otherwise Dask would keep the last results until garbage collection here
        self._link.cut()
        if workers:
            with suppress(OSError):  # the scheduler is gone, or a worker does not answer
                closing = self._link.at_all(workers, at_node.close_context)
                await asyncio.wait_for(closing, _CLOSE)

    def _run(self, name: str, work: WorkItem) -> None:
        server = self._members.servers.get(name)
        if server:
            previous = next(reversed(server.tasks.values()), None)
            attending = self._attend(server, work, previous)
            server.tasks[work.attempt] = self._link.spawn(attending)

    async def _attend(
        self, server: Server, work: WorkItem, previous: asyncio.Task[None] | None
    ) -> None:
        """Follow one attempt from its submission to its end."""
        number = self._numbers.take(work.function)
        try:
            async with server.turn:
                await self._learned(server.worker, number, work.function)
                await self._with_inputs(server.worker, work)
                chunk = self._chunks.future(work.chunk)
                future = server.submit(self._link.client, self._link.engine, work, number, chunk)
                self._release()
            answers = await self._link.result(future)
            event = answers[0] if answers else await self._failed(server, work, future)
        except CancelledError as error:
            if work.attempt not in server.tasks:
                raise
            reason = f"chunk {work.chunk!r} cannot be read at {server.node.name}: {error}"
            event = Raised(
                work.attempt, server.node.name, *calls.failure(UnreadError(work.key, reason)), True
            )
        except Exception as error:  # Dask's own
            event = Raised(work.attempt, server.node.name, *calls.failure(error))
        finally:
            self._numbers.give(number)
            self._forget()
        if previous:  # a node works in order, but answers may arrive in any order
            await asyncio.wait([previous])
        if work.attempt in server.tasks:
            self._over += server.end(work.attempt)
            self._tell(server, work, event)

    async def _learned(self, worker: Worker, number: int, code: bytes) -> None:
        if number not in worker.known:
            await self._link.at(worker.address, at_node.learn, number, code)
            worker.known.add(number)

    async def _with_inputs(self, worker: Worker, work: WorkItem) -> None:
        """Send the inputs that a worker lacks, one attempt at a time."""
        async with worker.sending:
            left = list(worker.inputs.to_send(work))
            try:
                while left:
                    await self._link.at(worker.address, at_node.keep, left[0])
                    del left[0]
            finally:  # an attempt may be withdrawn while its inputs are sent
                worker.inputs.unsent(left)

    async def _drop(self, number: int) -> None:
        workers = {
            server.worker.address: server.worker for server in self._members.servers.values()
        }
        having = [address for address, worker in workers.items() if worker.inputs.drop(number)]
        if having:
            await self._link.at_all(having, at_node.drop, number)

    async def _failed(self, server: Server, work: WorkItem, future: "Future[Any]") -> Raised:
        error = await future.exception()
        unread = not isinstance(error, Exception)
        if unread:
            error = UnreadError(
                work.key, f"Dask gave up the task ({future.status}) because its data is lost"
            )
        return Raised(work.attempt, server.node.name, *calls.failure(error), unread)

    def _tell(self, server: Server, work: WorkItem, answer: Answer | Raised) -> None:
        if isinstance(answer, Raised):
            server.worker.inputs.ended(answer)
            self._emit(answer)
            return
        server.worker.inputs.ended(answer.ending)
        if answer.fetched and work.chunk is not None and isinstance(answer.ending, Done):
            self._sites.add(work.chunk, server.worker.address)
        self._emit(answer.ending)

    async def _fetch(self, name: str, chunk: str) -> None:
        server, start, held = self._members.servers.get(name), time.monotonic(), False
        if server is None:
            return
        worker, future = server.worker.address, self._chunks.future(chunk)
        holders = [address for address in self._sites.at(chunk) if self._members.names(address)]
        if future is not None and holders:
            # The scheduler or the chunk may be gone.
            with suppress(OSError, KeyError), foreign_cancellations():
                size = await self._chunks.size(self._link.client, chunk)
                held = bool(await self._link.at(worker, at_node.fetch, future.key, holders, size))
        if self._members.servers.get(name) is server:
            if held:
                self._sites.add(chunk, worker)
            self._emit(Fetched(chunk, name, held, time.monotonic() - start))

    async def _cancel(self, name: str, attempt: int) -> None:
        server = self._members.servers.get(name)
        if server is None or attempt not in server.tasks:
            return
        begun = await self._link.at(server.worker.address, at_node.cancel, attempt)
        if not begun and server.drop(attempt):
            self._emit(Stopped(attempt, name))

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_IDLE)
            self._release()

    def _release(self) -> None:
        """Release results in Dask; with a new task, as the client sends at most every 2 ms."""
        for future in self._over:
            future.release()
        self._over.clear()

    def _forget(self) -> None:
        if (number := self._numbers.forgotten()) is not None:
            workers = self._members.addresses()
            self._link.spawn(self._link.at_all(workers, at_node.forget, number))

    def _names(self, address: str) -> Sequence[str]:
        return self._members.names(address)

    def _emit(self, event: Event) -> None:
        if self._begun and not self._closed:
            self._emit_all(event)
