"""Engine without processes: nodes in virtual time, functions called in this process.

    engine = FakeEngine(2, fault=lambda node, work: Fault.DIE if work.key == "bad" else None)
    nodes = engine.start(events.append)
    engine.run("n0", work)
    while engine.advance():     # to the next event; engine.now is its time
        ...

With `speed`, a separate thread advances it, by that many virtual seconds per second (inf: at once).
"""

import heapq
import itertools
import os
import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, final

from isocline.dispatch.chunk_names import given_chunk
from isocline.dispatch.engines.base import (
    Done,
    Emit,
    Event,
    Fetched,
    Holds,
    Node,
    NodeLost,
    NodeUp,
    Raised,
    Stopped,
    TimedOut,
    WorkItem,
)
from isocline.dispatch.engines.common import calls
from isocline.dispatch.errors import EngineError, UnreadError
from isocline.dispatch.user_code_guard import end_fork

_IDLE = -1


class Fault(Enum):
    """Fault to inject into an attempt."""

    DIE = auto()  # its node dies half way through
    HANG = auto()  # it never ends
    RAISE = auto()  # it raises FaultError


class FaultError(Exception):
    """Exception of an injected fault."""


class Service(NamedTuple):
    """Mean service time, s, of a task whose chunk is at its node, in its rack, or elsewhere."""

    local: float = 1.0
    rack: float = 1.5
    remote: float = 2.0


@final
class _FakeNode:
    """Node and its queue."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.up = True
        self.queue: OrderedDict[int, WorkItem] = OrderedDict()
        self.running = _IDLE  # the running attempt, first in the queue
        self.held: set[str] = set()  # fetched chunks
        self.life = 0  # number of losses
        self.cold = True  # whether no task has ended since it came up


@final
class FakeEngine:
    """Engine in virtual time; all methods may be called from any thread."""

    def __init__(
        self,
        nodes: int | Sequence[Node] = 2,
        *,
        service: Service | None = None,
        draw: Callable[[float], float] = float,
        fault: Callable[[str, WorkItem], Fault | None] = lambda _node, _work: None,
        loader: Callable[[Any], object] = str,
        keeps: bool = False,
        fetches: bool = False,
        down: float = 1.0,
        warm_up: float = 0.0,
        speed: float | None = None,
    ) -> None:
        """Initialise, without starting anything.

        Args:
            nodes: Number of nodes, named n0, n1, ..., or the nodes themselves.
            service: Mean service times.
            draw: Function from a mean to a service time, s.
            fault: Function from a node and the attempt that it begins to the fault to inject.
            loader: Function from a chunk's name to its value.
            keeps: Whether a node that fetched a chunk for a task holds it from then on.
            fetches: Whether nodes can fetch while they run tasks; a fetch takes as long as a remote
                task takes longer than a local one.
            down: Time until a lost node is up again, s; inf: never.
            warm_up: Additional time of the first task of a node after it came up, s.
            speed: Virtual seconds per second; None: the caller advances time.
        """
        named = [Node(f"n{i}") for i in range(nodes)] if isinstance(nodes, int) else nodes
        self.now = 0.0  # s
        self.fetches = fetches
        self.loader: Callable[[Any], object] | None = loader
        self.directories: Mapping[str, Path] = {}
        self.fixed = True
        self._nodes = {node.name: _FakeNode(node) for node in named}
        self._service = service or Service()
        self._draw, self._fault, self._load = draw, fault, loader
        self._keeps, self._down, self._speed = keeps, down, speed
        self._warm_up = warm_up
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._emit: Emit | None = None
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None

    def start(self, emit: Emit) -> Sequence[Node]:
        if self._emit:
            raise EngineError("an engine is started once; make another")
        self._emit = emit
        if self._speed is not None:
            self._began = time.monotonic()
            self._thread = threading.Thread(target=self._pump, name="fake engine", daemon=True)
            self._thread.start()
        return [fake.node for fake in self._nodes.values()]

    def run(self, node: str, work: WorkItem) -> None:
        with self._changed:
            fake = self._fake_node(node)
            if fake.up:
                self._catch_up()
                fake.queue[work.attempt] = work
                self._begin(fake)

    def cancel(self, node: str, attempt: int) -> None:
        with self._changed:
            fake = self._fake_node(node)
            if attempt in fake.queue:
                self._catch_up()
                self._end(fake, Stopped(attempt, node))

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:
        with self._changed:
            fake = self._fake_node(node)
            if not (fake.up and self.fetches):
                return
            self._catch_up()
            work = WorkItem(_IDLE, "", b"", b"", chunk, tuple(holders))
            seconds, life = self._mean(fake, work) - self._service.local, fake.life

            def came() -> None:
                if fake.life == life:
                    self._fetched(fake, work, seconds)

            self._schedule(seconds, came)

    def release(self, number: int) -> None:
        """Do nothing, as inputs come with each attempt."""

    def locations(self, chunk: str) -> Sequence[str]:
        with self._changed:
            return [name for name, fake in self._nodes.items() if chunk in fake.held]

    def close(self) -> None:
        with self._changed:
            self._agenda.clear()
            self._speed = None
            for fake in self._nodes.values():
                fake.up = False
            self._changed.notify()
        if self._thread:
            self._thread.join()

    # Beyond the contract

    def advance(self) -> bool:
        """Advance to the next event; returns False if there is none."""
        with self._changed:
            if not self._agenda:
                return False
            due, _, act = heapq.heappop(self._agenda)
            self.now = max(self.now, due)
            act()
            return True

    def kill(self, node: str, reason: str = "killed") -> None:
        """Lose a node now."""
        with self._changed:
            fake = self._fake_node(node)
            if fake.up:
                self._catch_up()
                self._lose(fake, reason)

    # Steps

    def _begin(self, fake: _FakeNode) -> None:
        """Begin the first attempt in the queue, if the node is idle."""
        if fake.running != _IDLE or not fake.queue:
            return
        work = next(iter(fake.queue.values()))
        fake.running = work.attempt
        fault = self._fault(fake.node.name, work)
        mean = self._mean(fake, work)
        seconds = self._draw(mean) + self._warm_up * fake.cold
        if fault is Fault.DIE:
            self._at(0.5 * seconds, fake, lambda: self._lose(fake, f"died of {work.key}"))
        elif fault is not Fault.HANG and (work.limit is None or seconds <= work.limit):
            read = max(0.0, seconds * (1.0 - self._service.local / mean))
            self._at(seconds, fake, lambda: self._finish(fake, work, seconds, read, fault))
        elif work.limit is not None:
            late = TimedOut(work.attempt, fake.node.name, work.limit)
            self._at(work.limit, fake, lambda: self._end(fake, late))

    def _at(self, delay: float, fake: _FakeNode, act: Callable[[], None]) -> None:
        """Schedule a call, which is skipped unless the node still runs the same attempt."""
        attempt = fake.running

        def due() -> None:
            if fake.running == attempt:
                act()

        self._schedule(delay, due)

    def _schedule(self, delay: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + delay, next(self._number), act))
        self._changed.notify()

    def _finish(
        self, fake: _FakeNode, work: WorkItem, seconds: float, read: float, fault: Fault | None
    ) -> None:
        name, held, process = fake.node.name, self._held(fake, work), os.getpid()
        try:
            if fault is Fault.RAISE:
                raise FaultError(f"task {work.key} at {name}")
            chunk = [] if work.chunk is None else [self._load(given_chunk(work.chunk))]
            if not held and not self._reachable(work):
                raise UnreadError(
                    work.key, f"chunk {work.chunk!r} cannot be read at {name}: no holder is up"
                )
            inputs = {given.number: given.data for given in work.inputs}
            value = calls.call(
                _function(work.function),
                work.arguments,
                *chunk,
                resolve=lambda number: pickle.loads(inputs[number]),
            )
        except BaseException as error:
            end_fork(process, error)
            unread = isinstance(error, UnreadError)
            self._end(fake, Raised(work.attempt, name, *calls.failure(error), unread))
            return
        end_fork(process)
        if self._keeps and not held and work.chunk is not None:
            fake.held.add(work.chunk)
            self._report(Holds(work.chunk, name))
        self._end(fake, Done(work.attempt, name, value, seconds, read, held, fake.cold))

    def _end(self, fake: _FakeNode, event: Done | Raised | TimedOut | Stopped) -> None:
        del fake.queue[event.attempt]
        self._report(event)
        fake.cold = fake.cold and not isinstance(event, Done)
        if event.attempt == fake.running:
            fake.running = _IDLE
            self._begin(fake)

    def _fetched(self, fake: _FakeNode, work: WorkItem, seconds: float) -> None:
        name, chunk = fake.node.name, work.chunk or ""
        if not self._held(fake, work) and self._reachable(work):
            fake.held.add(chunk)
            self._report(Holds(chunk, name))
        self._report(Fetched(chunk, name, self._held(fake, work), seconds))

    def _lose(self, fake: _FakeNode, reason: str) -> None:
        fake.up, fake.running = False, _IDLE
        fake.life += 1
        fake.queue.clear()
        fake.held.clear()
        self._report(NodeLost(fake.node.name, reason))
        if self._down < float("inf"):
            self._schedule(self._down, lambda: self._come_up(fake))

    def _come_up(self, fake: _FakeNode) -> None:
        fake.up = fake.cold = True
        self._report(NodeUp(fake.node))

    # Locations of chunks

    def _held(self, fake: _FakeNode, work: WorkItem) -> bool:
        return work.chunk is None or work.chunk in fake.held or fake.node.name in work.holders

    def _reachable(self, work: WorkItem) -> bool:
        return any(self._nodes[name].up for name in work.holders if name in self._nodes)

    def _mean(self, fake: _FakeNode, work: WorkItem) -> float:
        if self._held(fake, work):
            return self._service.local
        rack = fake.node.rack
        racks = {self._nodes[name].node.rack for name in work.holders if name in self._nodes}
        return self._service.rack if rack and rack in racks else self._service.remote

    # Time

    def _catch_up(self) -> None:
        """Advance virtual time to real time, if there is a speed."""
        if self._speed is not None and self._speed < float("inf"):
            self.now = max(self.now, (time.monotonic() - self._began) * self._speed)

    def _pump(self) -> None:
        """Advance time in the engine's thread."""
        with self._changed:
            while self._speed is not None:
                if not self._agenda:
                    self._changed.wait()
                elif (
                    wait := self._agenda[0][0] / self._speed + self._began - time.monotonic()
                ) > 0:
                    self._changed.wait(wait)
                else:
                    self.advance()

    def _report(self, event: Event) -> None:
        if self._emit:
            self._emit(event)

    def _fake_node(self, node: str) -> _FakeNode:
        if node not in self._nodes:
            raise EngineError(f"no node {node!r}; the nodes are {', '.join(self._nodes)}")
        return self._nodes[node]


@lru_cache(16)
def _function(code: bytes) -> calls.Function:
    function: calls.Function = pickle.loads(code)
    return function
