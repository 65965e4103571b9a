"""A Dask cluster's workers as nodes, with Dask's futures as chunks."""

import asyncio
import itertools
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, final

from distributed import CancelledError, Client, Future

from isocline.dispatch.engines import calls
from isocline.dispatch.engines.contract import (
    Done,
    Drops,
    Emit,
    Event,
    Fetched,
    Holds,
    Node,
    NodeLost,
    NodeUp,
    Raised,
    Stopped,
    Work,
)
from isocline.dispatch.engines.dask import node as at_node
from isocline.dispatch.engines.dask.server import Server, Worker, nodes_of
from isocline.dispatch.engines.errors import ChunkError, EngineError
from isocline.dispatch.engines.places import Places
from isocline.dispatch.engines.processes.settings import code_of
from isocline.dispatch.engines.remote import Loader, Numbers
from isocline.errors import UsageError

_POLL = 1.0  # s between looks at the cluster, but
_SHARE = 0.02  # of the time at most, as the scheduler works for them
_engines = itertools.count(1)


@final
class DaskEngine:
    """Each thread of each worker is a node, that runs one task at a time.

    A node's name is its worker's address, with the thread's number behind a slash if it has
    several. Workers that join are used, and the loss of one is heard of as the scheduler sees it;
    no task waits for it in vain. isocline must be installed where they are. A task is stopped by an
    exception in its midst, which ends Python code; compiled code, and what waits for the system, is
    left to end by itself, in a thread that is given up.
    """

    def __init__(
        self,
        client: Client | str,
        *,
        chunks: Mapping[str, "Future[Any]"] | None = None,
        loader: Loader | None = None,
        racks: Mapping[str, str] | None = None,
        begin: float = 30.0,
    ) -> None:
        """Nothing is started yet.

        Args:
            client: A client that is not asynchronous, or the scheduler's address.
            chunks: Futures of that client by the chunks' names; the engine asks Dask who has them.
                Dask fetches such a chunk where it is not; the time that takes is the read's, and
                the node holds it until Dask drops the copy.
            loader: What makes of the name of any other chunk the value that a task gets, at every
                node. Default: the name itself.
            racks: Racks by a worker's host, name or address.
            begin: s to connect to the scheduler.

        Raises:
            UsageError: The client is asynchronous, or the loader cannot be pickled.
        """
        if isinstance(client, Client) and client.asynchronous:
            raise UsageError("client: it is asynchronous; give one made with asynchronous=False")
        self._client: Client | None = None if isinstance(client, str) else client
        self._address = client if isinstance(client, str) else None
        self._chunks = dict(chunks or {})
        self.fetches = bool(chunks)  # those of a loader are read in the task
        self._loader = code_of(loader)
        self._racks = dict(racks or {})
        self._begin = begin
        self._places = Places()
        self._numbers = Numbers()
        self._servers: dict[str, Server] = {}
        self._names: dict[
            str, list[str]
        ] = {}  # of the nodes at each address; replaced, not changed
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = self._closed = False

    def start(self, emit: Emit) -> Sequence[Node]:
        if self._begun or self._closed:
            raise EngineError("an engine is started once; make another")
        self._emit_all = emit
        try:
            if self._client is None:
                self._client = Client(self._address, timeout=self._begin, set_as_default=False)
            nodes: Sequence[Node] = self._client.sync(self._start)
        except OSError as error:
            self.close()
            raise EngineError(f"Dask's scheduler cannot be reached: {error}") from error
        if not nodes:
            self.close()
            raise EngineError("Dask's scheduler has no workers; start some, and wait for them")
        return nodes

    def run(self, node: str, work: Work) -> None:
        self._loop.call_soon_threadsafe(self._run, node, work)

    def cancel(self, node: str, attempt: int) -> None:
        self._loop.call_soon_threadsafe(lambda: self._spawn(self._cancel(node, attempt)))

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:  # noqa: ARG002  Dask knows them
        self._loop.call_soon_threadsafe(lambda: self._spawn(self._fetch(node, chunk)))

    def locations(self, chunk: str) -> Sequence[str]:
        return [name for place in self._places.at(chunk) for name in self._names.get(place, ())]

    def close(self) -> None:
        if self._closed or self._client is None:
            return
        self._closed = True
        if self._client.status != "closed":
            self._client.sync(self._close)
        if self._address is not None:
            self._client.close()

    # All else is called in the client's event loop.

    @property
    def _dask(self) -> Client:
        assert self._client is not None
        return self._client

    async def _start(self) -> list[Node]:
        self._loop = asyncio.get_running_loop()
        self._id = f"{self._dask.id}-{next(_engines)}"
        self._dask.subscribe_topic("all", self._told)
        self._looking = asyncio.Lock()
        await self._see()
        self._begun = True
        self._spawn(self._watch())
        return [server.node for server in self._servers.values()]

    async def _close(self) -> None:
        self._dask.unsubscribe_topic("all")
        for server in self._servers.values():
            for attempt in tuple(server.tasks):
                server.drop(attempt)
        for task in tuple(self._tasks):
            task.cancel()
        workers = list(self._names)
        self._servers, self._names = {}, {}
        if workers:
            with suppress(OSError):  # the scheduler is gone
                await self._at(workers, at_node.close_workshop)

    def _run(self, name: str, work: Work) -> None:
        server = self._servers.get(name)
        if server:
            previous = next(reversed(server.tasks.values()), None)
            attending = self._attend(server, work, previous)
            server.tasks[work.attempt] = self._spawn(attending)

    async def _attend(
        self, server: Server, work: Work, previous: asyncio.Task[None] | None
    ) -> None:
        """See to one attempt, from its submission to its end."""
        number = self._numbers.take(work.function)
        try:
            async with server.turn:
                await self._learned(server.worker, number, work.function)
                chunk = None if work.chunk is None else self._chunks.get(work.chunk)
                future = server.submit(self._dask, self._id, work, number, chunk)
            answers = await self._dask.gather([future], errors="skip")
            event = answers[0] if answers else await self._failed(server, work, future)
        except CancelledError as error:
            if work.attempt not in server.tasks:
                raise
            reason = f"chunk {work.chunk!r} cannot be had at {server.node.name}: {error}"
            event = Raised(work.attempt, server.node.name, *calls.failure(ChunkError(reason)))
        except Exception as error:  # Dask's own
            event = Raised(work.attempt, server.node.name, *calls.failure(error))
        finally:
            self._numbers.give(number)
            self._forget()
        if previous:  # a node works in order, but answers may overtake one another
            await asyncio.wait([previous])
        if server.drop(work.attempt):
            self._tell(server, work, event)

    async def _learned(self, worker: Worker, number: int, code: bytes) -> None:
        if number not in worker.known:
            await self._at([worker.address], at_node.learn, number, code)
            worker.known.add(number)

    async def _failed(self, server: Server, work: Work, future: "Future[Any]") -> Raised:
        error = await future.exception()
        if not isinstance(error, Exception):
            error = ChunkError(f"Dask gave up the task ({future.status}), as what it needs is lost")
        return Raised(work.attempt, server.node.name, *calls.failure(error))

    def _tell(self, server: Server, work: Work, answer: at_node.Answer | Raised) -> None:
        if isinstance(answer, Raised):
            self._emit(answer)
            return
        if answer.fetched and work.chunk is not None and isinstance(answer.ending, Done):
            self._hold(work.chunk, server.worker.address)
        self._emit(answer.ending)

    async def _fetch(self, name: str, chunk: str) -> None:
        """Dask's workers fetch in their event loop, beside the tasks."""
        server, future, start = self._servers.get(name), self._chunks.get(chunk), time.monotonic()
        held = False
        if server and future is not None:
            address = server.worker.address
            with suppress(OSError, KeyError, TimeoutError):  # gone, or so busy that it says no
                await self._dask.replicate([future], n=1, workers=[address])
                held = address in (await self._dask.who_has([future])).get(future.key, ())
        if self._servers.get(name) is server and server:
            if held:
                self._hold(chunk, server.worker.address)
            self._emit(Fetched(chunk, name, held, time.monotonic() - start))

    def _hold(self, chunk: str, address: str) -> None:
        """A worker has come to hold a chunk, and so all its threads have."""
        self._places.came(chunk, address)
        for name in self._names.get(address, ()):
            self._emit(Holds(chunk, name))

    async def _cancel(self, name: str, attempt: int) -> None:
        server = self._servers.get(name)
        if server is None or attempt not in server.tasks:
            return
        begun = await self._at([server.worker.address], at_node.cancel, attempt)
        if not any(begun.values()) and server.drop(attempt):
            self._emit(Stopped(attempt, name))

    async def _watch(self) -> None:
        took = 0.0
        while True:
            await asyncio.sleep(max(_POLL, took / _SHARE))
            start = time.monotonic()
            await self._look()
            took = time.monotonic() - start

    def _told(self, event: tuple[float, Any]) -> None:
        """By the scheduler, of anything."""
        match event[1]:
            case {"action": "remove-worker", "worker": address}:
                self._leave(address, "Dask's scheduler has removed the worker")
            case {"action": "add-worker"}:
                self._spawn(self._look())

    async def _look(self) -> None:
        """At the workers that are there, and at what they hold."""
        try:
            async with self._looking:  # an older look must not undo a newer
                await self._see()
        except OSError as error:
            for address in tuple(self._names):
                self._leave(address, f"Dask's scheduler cannot be reached: {error}")

    async def _see(self) -> None:
        identity = await self._dask.scheduler.identity(n_workers=-1)
        workers = identity["workers"]
        for address in self._names.keys() - workers.keys():
            self._leave(address, "Dask's scheduler has it no longer")
        for address in workers.keys() - self._names.keys():
            await self._join(address, workers[address])
        if self._chunks:
            held = await self._dask.who_has(list(self._chunks.values()))
            for chunk, future in self._chunks.items():
                for change in self._places.seen(chunk, held.get(future.key, ())):
                    for name in self._names.get(change.place, ()):
                        self._emit((Holds if change.holds else Drops)(chunk, name))

    async def _join(self, address: str, worker: Mapping[str, Any]) -> None:
        await self._at([address], at_node.open_workshop, self._loader)
        if address in self._names:
            return
        shared, nodes = Worker(address), nodes_of(address, worker, self._racks)
        for node in nodes:
            self._servers[node.name] = Server(node, shared)
            self._emit(NodeUp(node))
        names = [node.name for node in nodes]
        self._names = {**self._names, address: names}

    def _leave(self, address: str, reason: str) -> None:
        names = self._names.get(address, ())
        self._names = {other: at for other, at in self._names.items() if other != address}
        for name in names:
            server = self._servers.pop(name)
            for attempt in tuple(server.tasks):
                server.drop(attempt)
            self._emit(NodeLost(name, reason))

    def _forget(self) -> None:
        if (number := self._numbers.forgotten()) is not None:
            workers = {server.worker.address for server in self._servers.values()}
            self._spawn(self._at(list(workers), at_node.forget, number))

    async def _at(self, workers: list[str], function: Any, *args: Any) -> Any:
        """What a function of `node` answers at each of some workers, of those that are there."""
        return await self._dask.run(function, self._id, *args, workers=workers, on_error="ignore")

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _emit(self, event: Event) -> None:
        if self._begun and not self._closed:
            self._emit_all(event)
