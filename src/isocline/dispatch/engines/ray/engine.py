"""Engine on a Ray cluster: actors are nodes, objects are chunks."""

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
from isocline.dispatch.engines.common.chunk_sites import ChunkSites
from isocline.dispatch.engines.common.remote_functions import Loader, Numbers
from isocline.dispatch.engines.common.settings import code_of
from isocline.dispatch.engines.ray.actor_handle import ActorHandle
from isocline.dispatch.engines.ray.answers import ended, words
from isocline.dispatch.engines.ray.chunks import Chunks, is_final
from isocline.dispatch.engines.ray.engine_loop import Loop
from isocline.dispatch.engines.ray.membership import ActorSlot, Membership
from isocline.dispatch.errors import EngineError
from isocline.dispatch.inputs import InputData
from isocline.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ray import ObjectRef

_LAST = 5.0  # s to wait for the last answers of killed actors


@final
class RayEngine:
    """Ray engine: one or more actors on each Ray node, each a node that runs one task at a time.

    A node's name is the first 12 digits of its Ray node's id, followed by a slash and the actor's
    number if there are several. Ray nodes that join are used; those that leave are noticed within
    seconds, or at once if they run a task. isocline must be installed there. A task is stopped by
    an exception raised within it, which ends Python code; compiled code and system calls are left
    to end by themselves, in an abandoned thread. If that fails within `patience`, the actor is
    killed and the node lost. Actors that die are replaced, after a pause that grows from 0.1 to 10
    s while none of them finishes a task.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        chunks: Mapping[Any, "ObjectRef[Any]"] | None = None,
        loader: Loader | None = None,
        slots: int = 1,
        cpus: float = 1.0,
        resources: Sequence[str] = (),
        rack_label: str = "rack",
        patience: float = 2.0,
        begin: float = 60.0,
    ) -> None:
        """Make the engine, without starting anything.

        Args:
            address: Address of the cluster, if Ray is not yet initialised; None: as in
                `ray.init()`.
            chunks: Ray objects by chunk; the engine knows their locations. Such a chunk is read
                from the node's object store, or fetched into it and kept there.
            loader: Function from the name of any other chunk to the value that the task gets,
                called at every node; None: tasks get the name.
            slots: Actors on each Ray node.
            cpus: CPUs that Ray reserves for each actor; Ray nodes with fewer are not used.
            resources: Names of Ray's resources that tasks may need, such as GPU, memory or those of
                `ray start --resources`. All that a Ray node has of them is reserved for its actors,
                in equal parts, and their tasks share it.
            rack_label: Label of Ray nodes that names their rack.
            patience: Time that a task has to end after its limit or its cancellation, s.
            begin: Time in which the first actor must come up, s.

        Raises:
            UsageError: `slots` is below 1, the loader cannot be pickled, or a resource cannot be
                reserved.
        """
        if slots < 1:
            raise UsageError(f"slots: {slots}; a Ray node needs at least 1")
        for name in ("CPU", "object_store_memory"):
            if name in resources:
                raise UsageError(
                    f"resources: {name}: Ray reserves it for actors as a whole; leave it out"
                    + (", and give cpus=" if name == "CPU" else "")
                )
        if isinstance(resources, str):
            raise UsageError(f"resources: {resources!r}; give a list of names: [{resources!r}]")
        self._address = address
        self._loader = code_of(loader)
        self._members = Membership(slots, cpus, rack_label, tuple(resources))
        self._sites = ChunkSites(self._at, self._emit)
        self._chunks = Chunks(chunks or {}, self._sites)
        self.fetches = bool(chunks)  # those of a loader are read in the task
        self.loader = loader
        self.directories: Mapping[str, Path] = {}
        self.fixed = False
        self._cpus, self._patience, self._begin = cpus, patience, begin
        self._lock = threading.Condition()
        self._loop = Loop(self._lock, self._look, self._unreachable)
        self._numbers = Numbers()
        self._inputs: dict[int, ObjectRef[bytes]] = {}
        self._starting: dict[str, ActorHandle] = {}
        self._servers: dict[str, ActorHandle] = {}
        self._begun = False
        self._closing = threading.Event()
        self._connected = False  # whether this engine called `ray.init()`

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
            # Ray's sockets are below TMPDIR, whose path may be too long for them.
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
                f"no actor came up within {self._begin:g} s: no Ray node has {self._cpus:g} free "
                "CPUs; reserve fewer (cpus=), or wait longer (begin=)"
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
            if ref is None:  # the loader reads it
                self._emit(Fetched(chunk, node, node in self.locations(chunk), 0.0))
                return
            answer = server.fetch(ref)
        self._loop.when(answer, partial(self._fetched, server, chunk))

    def release(self, number: int) -> None:
        with self._lock:
            self._inputs.pop(number, None)
            for server in self._servers.values():
                server.release(number)

    def locations(self, chunk: str) -> Sequence[str]:
        with self._lock:
            return self._sites.nodes(chunk)

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

    # Everything else is called in the engine's threads.

    def _give(self, server: ActorHandle, work: WorkItem) -> None:
        number = self._numbers.take(work.function)
        hear = partial(self._ended, server, work, number)
        server.run(work, number, self._chunks.ref(work.chunk), self._put, hear)

    def _put(self, given: InputData) -> "ObjectRef[bytes]":
        """Put an input into Ray's store, from which each Ray node fetches it once."""
        if given.number not in self._inputs:
            self._inputs[given.number] = ray.put(given.data)
        return self._inputs[given.number]

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
                server.ended(ending)
                if isinstance(ending, Done):
                    self._members.works(name)
                if fetched and chunk is not None:
                    self._sites.add(chunk, server.site)
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
            return  # the node is lost, or soon will be
        if error is None:
            self._sites.add(chunk, server.site)
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
                self._sites.node_up(name, server.site)
            self._lock.notify_all()

    def _look(self, first: bool = False) -> None:
        slots = self._members.slots(ray.nodes())
        there = frozenset(slot.site for slot in slots.values())
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
        server = ActorHandle(slot, self._cpus, self._loader, self._patience)
        self._starting[slot.node.name] = server
        server.ask(partial(self._actor_ready, server))

    def _check(self, server: ActorHandle) -> None:
        """Check an actor for problems that no call reports."""
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

    def _at(self, site: str) -> list[str]:
        return [server.node.name for server in self._servers.values() if server.site == site]

    def _emit(self, event: Event) -> None:
        if self._begun and not self._closing.is_set():
            self._emit_all(event)
