"""Engine on a Ray cluster: its nodes run tasks, its objects are chunks."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import ray
from ray.exceptions import ObjectLostError, RayActorError

from isocline.dispatch.engines.base import (
    Done,
    Emit,
    Event,
    Fetched,
    Node,
    NodeLost,
    NodeUp,
    Stopped,
    WorkItem,
)
from isocline.dispatch.engines.common.chunk_places import ChunkPlaces
from isocline.dispatch.engines.common.errors import EngineError
from isocline.dispatch.engines.common.remote_functions import Loader, Numbers
from isocline.dispatch.engines.common.settings import code_of
from isocline.dispatch.engines.ray.actor_handle import ActorHandle
from isocline.dispatch.engines.ray.answers import ended, words
from isocline.dispatch.engines.ray.chunks import Chunks, is_final
from isocline.dispatch.engines.ray.engine_loop import Loop
from isocline.dispatch.engines.ray.membership import ActorSlot, Membership
from isocline.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ray import ObjectRef

_LAST = 5.0  # s that the last answers of actors that were killed may take


@final
class RayEngine:
    """Ray engine: one actor on each Ray node, or several, each a node that runs one task at a time.

    A node's name is the first 12 digits of its Ray node's id, with the actor's number behind a
    slash if there are several. Nodes that join are used, and those that leave are seen within
    seconds: at once if they run a task. isocline must be installed where they are. A task is
    stopped by an exception in its midst, which ends Python code; compiled code, and what waits for
    the system, is left to end by itself, in a thread that is given up. If not even that helps
    within `patience`, its actor is killed and the node lost. Actors that die are made anew, after a
    pause that grows from 0.1 to 10 s while none of them gets a task done.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        chunks: Mapping[str, "ObjectRef[Any]"] | None = None,
        loader: Loader | None = None,
        slots: int = 1,
        cpus: float = 1.0,
        rack_label: str = "rack",
        patience: float = 2.0,
        begin: float = 60.0,
    ) -> None:
        """Make the engine, without starting anything.

        Args:
            address: The cluster's, if Ray is not initialised yet. Default: as `ray.init()` does.
            chunks: Ray's objects by the chunks' names; the engine knows where they are. Such a
                chunk is read from this node's object store, or fetched into it and kept there.
            loader: From the name of any other chunk to the value that a task gets, called at every
                node. Default: the name itself.
            slots: Actors on each Ray node.
            cpus: CPUs that Ray is to reserve for each; Ray nodes with fewer are not used.
            rack_label: The label of Ray nodes that names their rack.
            patience: s that a task has to end after its limit or its cancellation.
            begin: s that the first actor may take to come up.

        Raises:
            UsageError: No slots, or a loader that cannot be pickled.
        """
        if slots < 1:
            raise UsageError(f"slots: {slots}; a Ray node needs at least 1")
        self._address = address
        self._loader = code_of(loader)
        self._members = Membership(slots, cpus, rack_label)
        self._places = ChunkPlaces(self._at, self._emit)
        self._chunks = Chunks(chunks or {}, self._places)
        self.fetches = bool(chunks)  # those of a loader are read in the task
        self.loader = loader
        self.directories: Mapping[str, Path] = {}
        self.fixed = False
        self._cpus, self._patience, self._begin = cpus, patience, begin
        self._lock = threading.Condition()
        self._loop = Loop(self._lock, self._look, self._unreachable)
        self._numbers = Numbers()
        self._starting: dict[str, ActorHandle] = {}
        self._servers: dict[str, ActorHandle] = {}
        self._begun = False
        self._closing = threading.Event()
        self._connected = False  # by us

    def start(self, emit: Emit) -> Sequence[Node]:
        if self._begun or self._closing.is_set():
            raise EngineError("an engine is started once; make another")
        self._emit_all = emit
        try:
            if not ray.is_initialized():
                ray.init(self._address)
                self._connected = True
            self._look(first=True)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            self.close()
            # Ray's own sockets stand below TMPDIR, whose path may be too long for them.
            remedy = "; set RAY_TMPDIR=/tmp" if "AF_UNIX" in str(error) else ""
            raise EngineError(f"Ray cannot be reached: {error}{remedy}") from error
        self._loop.start()
        with self._lock:
            self._lock.wait_for(lambda: not self._starting, self._begin)
            nodes = [server.node for server in self._servers.values()]
            self._begun = True
        if not nodes:
            self.close()
            raise EngineError(
                f"no actor came up within {self._begin:g} s: no Ray node has {self._cpus:g} CPUs "
                "free; give fewer (cpus=), or wait longer (begin=)"
            )
        return nodes

    def run(self, node: str, work: WorkItem) -> None:
        with self._lock:
            server = self._servers.get(node)
            if server is None:
                return
            self._give(server, work)
            self._forget()

    def cancel(self, node: str, attempt: int) -> None:
        with self._lock:
            server = self._servers.get(node)
            answer = server and server.cancel(attempt)
            if server is None or answer is None:
                return
            if server.waits(attempt):
                server.drop(attempt)
                self._emit(Stopped(attempt, node))
        self._loop.when(answer, partial(self._cancelled, server, attempt))

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:  # noqa: ARG002  Ray knows them
        with self._lock:
            server, ref = self._servers.get(node), self._chunks.ref(chunk)
            if server is None:
                return
            if ref is None:  # a loader's
                self._emit(Fetched(chunk, node, node in self.locations(chunk), 0.0))
                return
            answer = server.fetch(ref)
        self._loop.when(answer, partial(self._fetched, server, chunk))

    def locations(self, chunk: str) -> Sequence[str]:
        with self._lock:
            return self._places.nodes(chunk)

    def close(self) -> None:
        self._closing.set()
        self._loop.close()
        with self._lock:
            servers = [*self._servers.values(), *self._starting.values()]
            self._servers.clear()
            self._starting.clear()
        for server in servers:
            server.kill()
        for server in servers:
            server.join(_LAST)
        if self._connected:
            self._connected = False
            ray.shutdown()

    # All else is called in the engine's threads.

    def _give(self, server: ActorHandle, work: WorkItem) -> None:
        number = self._numbers.take(work.function)
        hear = partial(self._ended, server, work, number)
        server.run(work, number, self._chunks.ref(work.chunk), hear)

    def _ended(
        self, server: ActorHandle, work: WorkItem, number: int, answer: bytes | Exception
    ) -> None:
        name, chunk = server.node.name, work.chunk
        with self._lock:
            self._numbers.give(number)
            if isinstance(answer, (RayActorError, ObjectLostError)):
                self._lost(server, words(answer))
            elif answer and self._servers.get(name) is server and server.drop(work.attempt):
                ending, fetched, lost = ended(work.attempt, name, answer)
                if isinstance(ending, Done):
                    self._members.works(name)
                if fetched and chunk is not None:
                    self._places.came(chunk, server.place)
                if lost and chunk is not None:
                    self._chunks.lost(chunk)
                self._emit(ending)

    def _cancelled(self, server: ActorHandle, attempt: int, future: "Future[bool]") -> None:
        name = server.node.name
        if self._servers.get(name) is not server or future.exception() or not future.result():
            return
        if server.drop(attempt):
            self._emit(Stopped(attempt, name))
        for work in server.give_up():
            self._give(server, work)

    def _fetched(self, server: ActorHandle, chunk: str, future: "Future[Any]") -> None:
        error = future.exception()
        if self._servers.get(server.node.name) is not server or isinstance(error, RayActorError):
            return  # it is lost, or soon will be
        if error is None:
            self._places.came(chunk, server.place)
        elif is_final(error):
            self._chunks.lost(chunk)
        seconds = 0.0 if error else future.result()
        self._emit(Fetched(chunk, server.node.name, error is None, seconds))

    def _lost(self, server: ActorHandle, reason: str) -> None:
        name = server.node.name
        if self._servers.get(name) is server:
            del self._servers[name]
            self._members.died(name)
            server.kill()
            self._emit(NodeLost(name, reason))

    def _actor_ready(self, server: ActorHandle, answer: Exception | None) -> None:
        name = server.node.name
        with self._lock:
            if self._starting.get(name) is not server:
                return
            del self._starting[name]
            if answer:
                self._members.died(name)
                server.kill()
            else:
                self._servers[name] = server
                self._emit(NodeUp(server.node))
                self._places.joined(name, server.place)
            self._lock.notify_all()

    def _look(self, first: bool = False) -> None:
        slots = self._members.slots(ray.nodes())
        there = frozenset(slot.place for slot in slots.values())
        found = self._chunks.look(first)
        with self._lock:
            self._chunks.seen(found, there)
            for name, server in tuple(self._servers.items()):
                if name not in slots:
                    self._lost(server, "its Ray node has left the cluster")
            for name in self._members.due(slots, self._servers.keys() | self._starting.keys()):
                self._start_actor(slots[name])
            for server in tuple(self._servers.values()):
                self._check(server)

    def _unreachable(self, error: Exception) -> None:
        with self._lock:
            for server in tuple(self._servers.values()):
                self._lost(server, f"Ray cannot be reached: {error}")

    def _start_actor(self, slot: ActorSlot) -> None:
        server = ActorHandle(slot.node, slot.place, self._cpus, self._loader, self._patience)
        self._starting[slot.node.name] = server
        server.ask(partial(self._actor_ready, server))

    def _check(self, server: ActorHandle) -> None:
        """Check the cluster for changes that no call reports."""
        if ending := server.overdue():
            self._emit(ending)
            self._lost(server, f"killed, as attempt {ending.attempt} could not be stopped")
        elif server.idle and not server.pinged:
            server.pinged = True
            server.ask(partial(self._answered, server))

    def _answered(self, server: ActorHandle, answer: Exception | None) -> None:
        with self._lock:
            server.pinged = False
            if answer:
                self._lost(server, words(answer))

    def _forget(self) -> None:
        if (number := self._numbers.forgotten()) is not None:
            for server in self._servers.values():
                server.forget(number)

    def _at(self, place: str) -> list[str]:
        return [server.node.name for server in self._servers.values() if server.place == place]

    def _emit(self, event: Event) -> None:
        if self._begun and not self._closing.is_set():
            self._emit_all(event)
