"""An engine without processes: nodes in virtual time, functions called in this process.

    engine = FakeEngine(2, fault=lambda node, work: Fault.DIE if work.key == "bad" else None)
    nodes = engine.start(events.append)
    engine.run("n0", work)
    while engine.advance():     # to the next thing that happens; engine.now is when
        ...

With `speed` a thread of its own advances it, at so many virtual seconds a second (inf: at once).
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
from typing import NamedTuple, final

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
from isocline.dispatch.engines.common.errors import EngineError, UnreadError
from isocline.dispatch.user_code_guard import end_fork

_IDLE = -1


class Fault(Enum):
    """Fault of an attempt."""

    DIE = auto()  # its node, half way through
    HANG = auto()  # it does not end
    RAISE = auto()  # FaultError


class FaultError(Exception):
    """Exception of an injected fault."""


class Service(NamedTuple):
    """Mean seconds of a task whose chunk is at its node, in its rack, or elsewhere."""

    local: float = 1.0
    rack: float = 1.5
    remote: float = 2.0


@final
class _Place:
    """Node and its queue."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.up = True
        self.queue: OrderedDict[int, WorkItem] = OrderedDict()
        self.running = _IDLE  # the attempt, the first of the queue
        self.held: set[str] = set()  # chunks that it came to hold
        self.life = 0  # times that it was lost
        self.cold = True  # no task has ended since it came up


@final
class FakeEngine:
    """Engine in virtual time; all its methods may be called from any thread."""

    def __init__(
        self,
        nodes: int | Sequence[Node] = 2,
        *,
        service: Service | None = None,
        draw: Callable[[float], float] = float,
        fault: Callable[[str, WorkItem], Fault | None] = lambda _node, _work: None,
        loader: Callable[[str], object] = str,
        keeps: bool = False,
        fetches: bool = False,
        down: float = 1.0,
        warm_up: float = 0.0,
        speed: float | None = None,
    ) -> None:
        """Make the engine, without starting anything.

        Args:
            nodes: Number of nodes, named n0, n1, ..., or their names.
            service: Mean service times.
            draw: A service time from its mean, s.
            fault: Fault of the attempt that a node begins now.
            loader: From a chunk's name to its value.
            keeps: A node that fetched a chunk for a task holds it from then on.
            fetches: Nodes can fetch while they run tasks, in what a remote task takes longer.
            down: s until a lost node is up again; inf: never.
            warm_up: s that the first task of a node that came up takes longer.
            speed: Virtual seconds a second; None: the caller advances it.
        """
        named = [Node(f"n{i}") for i in range(nodes)] if isinstance(nodes, int) else nodes
        self.now = 0.0  # s
        self.fetches = fetches
        self.loader: Callable[[str], object] | None = loader
        self.directories: Mapping[str, Path] = {}
        self.fixed = True
        self._places = {node.name: _Place(node) for node in named}
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
        return [place.node for place in self._places.values()]

    def run(self, node: str, work: WorkItem) -> None:
        with self._changed:
            place = self._place(node)
            if place.up:
                self._catch_up()
                place.queue[work.attempt] = work
                self._begin(place)

    def cancel(self, node: str, attempt: int) -> None:
        with self._changed:
            place = self._place(node)
            if attempt in place.queue:
                self._catch_up()
                self._end(place, Stopped(attempt, node))

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:
        with self._changed:
            place = self._place(node)
            if not (place.up and self.fetches):
                return
            self._catch_up()
            work = WorkItem(_IDLE, "", b"", b"", chunk, tuple(holders))
            seconds, life = self._mean(place, work) - self._service.local, place.life

            def came() -> None:
                if place.life == life:
                    self._fetched(place, work, seconds)

            self._schedule(seconds, came)

    def locations(self, chunk: str) -> Sequence[str]:
        with self._changed:
            return [name for name, place in self._places.items() if chunk in place.held]

    def close(self) -> None:
        with self._changed:
            self._agenda.clear()
            self._speed = None
            for place in self._places.values():
                place.up = False
            self._changed.notify()
        if self._thread:
            self._thread.join()

    # Beyond the contract

    def advance(self) -> bool:
        """Go to the next event; returns False if there is none."""
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
            place = self._place(node)
            if place.up:
                self._catch_up()
                self._lose(place, reason)

    # Steps

    def _begin(self, place: _Place) -> None:
        """Begin the first attempt of the queue, if the node is idle."""
        if place.running != _IDLE or not place.queue:
            return
        work = next(iter(place.queue.values()))
        place.running = work.attempt
        fault = self._fault(place.node.name, work)
        mean = self._mean(place, work)
        seconds = self._draw(mean) + self._warm_up * place.cold
        if fault is Fault.DIE:
            self._at(0.5 * seconds, place, lambda: self._lose(place, f"died of {work.key}"))
        elif fault is not Fault.HANG and (work.limit is None or seconds <= work.limit):
            read = max(0.0, seconds * (1.0 - self._service.local / mean))
            self._at(seconds, place, lambda: self._finish(place, work, seconds, read, fault))
        elif work.limit is not None:
            late = TimedOut(work.attempt, place.node.name, work.limit)
            self._at(work.limit, place, lambda: self._end(place, late))

    def _at(self, delay: float, place: _Place, act: Callable[[], None]) -> None:
        """Schedule a call, valid if the node still runs the same attempt then."""
        attempt = place.running

        def due() -> None:
            if place.running == attempt:
                act()

        self._schedule(delay, due)

    def _schedule(self, delay: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + delay, next(self._number), act))
        self._changed.notify()

    def _finish(
        self, place: _Place, work: WorkItem, seconds: float, read: float, fault: Fault | None
    ) -> None:
        name, held, process = place.node.name, self._held(place, work), os.getpid()
        try:
            if fault is Fault.RAISE:
                raise FaultError(f"task {work.key} at {name}")
            chunk = [] if work.chunk is None else [self._load(work.chunk)]
            if not held and not self._reachable(work):
                raise UnreadError(f"chunk {work.chunk!r} cannot be had at {name}: no holder is up")
            value = calls.call(_function(work.function), work.arguments, *chunk)
        except BaseException as error:
            end_fork(process, error)
            unread = isinstance(error, UnreadError)
            self._end(place, Raised(work.attempt, name, *calls.failure(error), unread))
            return
        end_fork(process)
        if self._keeps and not held and work.chunk is not None:
            place.held.add(work.chunk)
            self._say(Holds(work.chunk, name))
        self._end(place, Done(work.attempt, name, value, seconds, read, held, place.cold))

    def _end(self, place: _Place, event: Done | Raised | TimedOut | Stopped) -> None:
        del place.queue[event.attempt]
        self._say(event)
        place.cold = place.cold and not isinstance(event, Done)
        if event.attempt == place.running:
            place.running = _IDLE
            self._begin(place)

    def _fetched(self, place: _Place, work: WorkItem, seconds: float) -> None:
        name, chunk = place.node.name, work.chunk or ""
        if not self._held(place, work) and self._reachable(work):
            place.held.add(chunk)
            self._say(Holds(chunk, name))
        self._say(Fetched(chunk, name, self._held(place, work), seconds))

    def _lose(self, place: _Place, reason: str) -> None:
        place.up, place.running = False, _IDLE
        place.life += 1
        place.queue.clear()
        place.held.clear()
        self._say(NodeLost(place.node.name, reason))
        if self._down < float("inf"):
            self._schedule(self._down, lambda: self._rise(place))

    def _rise(self, place: _Place) -> None:
        place.up = place.cold = True
        self._say(NodeUp(place.node))

    # Locations of chunks

    def _held(self, place: _Place, work: WorkItem) -> bool:
        return work.chunk is None or work.chunk in place.held or place.node.name in work.holders

    def _reachable(self, work: WorkItem) -> bool:
        return any(self._places[name].up for name in work.holders if name in self._places)

    def _mean(self, place: _Place, work: WorkItem) -> float:
        if self._held(place, work):
            return self._service.local
        rack = place.node.rack
        racks = {self._places[name].node.rack for name in work.holders if name in self._places}
        return self._service.rack if rack and rack in racks else self._service.remote

    # Time

    def _catch_up(self) -> None:
        """Advance virtual time to the real time, where it passes by itself."""
        if self._speed is not None and self._speed < float("inf"):
            self.now = max(self.now, (time.monotonic() - self._began) * self._speed)

    def _pump(self) -> None:
        """Advance in the engine's own thread."""
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

    def _say(self, event: Event) -> None:
        if self._emit:
            self._emit(event)

    def _place(self, node: str) -> _Place:
        if node not in self._places:
            raise EngineError(f"no node {node!r}; the nodes are {', '.join(self._places)}")
        return self._places[node]


@lru_cache(16)
def _function(code: bytes) -> calls.Function:
    function: calls.Function = pickle.loads(code)
    return function
