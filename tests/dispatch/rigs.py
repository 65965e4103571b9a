"""Engines as the contract suite sees them."""

import itertools
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cloudpickle

from isocline.dispatch import pickling
from isocline.dispatch.engines.base import (
    Done,
    Ending,
    Engine,
    Event,
    Fetched,
    Node,
    NodeLost,
    NodeUp,
    WorkItem,
)
from isocline.dispatch.engines.processes import ProcessEngine

# What tasks call here must not need this module where they run.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SOON = 60.0  # s: no test takes so long unless it fails
HANG = "hang"  # the key of a task that does not end by itself


class Rig:
    """A started engine, its nodes n..., and all that it has said."""

    def __init__(
        self,
        engine: Engine,
        kill: Callable[[str], None],
        *,
        chunk: str = "c0",
        holders: tuple[str, ...] = (),
        holds: bool = True,
        left: Callable[[], list[str]] = list,
    ) -> None:
        """
        Args:
            engine: Not yet started.
            kill: End a node from outside, at once.
            chunk: A chunk whose value is "value of " and its name.
            holders: Who holds it at first; empty: the first node.
            holds: The engine says that a node which fetched a chunk has come to hold it.
            left: What is still there that the engine made, in words.
        """
        self.engine, self.kill, self.holds, self.left = engine, kill, holds, left
        self.events: list[Event] = []
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.attempts = itertools.count(1)
        self._functions: dict[Any, bytes] = {}
        self.nodes: list[Node] = list(engine.start(self._queue.put))
        self.names = [node.name for node in self.nodes]
        self.chunk, self.holders = chunk, holders or (self.names[0],)

    def run(self, node: str, function: Callable[..., Any], *args: Any, **how: Any) -> int:
        """Give a node work; `how`: key, chunk, holders, limit, inputs, keep, `named` arguments."""
        code = self._functions.setdefault(function, cloudpickle.dumps(function))
        arguments = pickling.dumps((args, how.pop("named", {})), _number_of)
        attempt = next(self.attempts)
        work = WorkItem(attempt, how.pop("key", f"k{attempt}"), code, arguments, **how)
        self.engine.run(node, work)
        return attempt

    def hear(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event of that sort, of those heard or to come."""
        for event in self.events:
            if wanted(event):
                return event
        end = time.monotonic() + SOON
        while True:
            try:
                event = self._queue.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not heard; but {self.events[-5:]}") from None
            self.events.append(event)
            if wanted(event):
                return event

    def end(self, attempt: int) -> Ending:
        """How an attempt ended."""
        ended = self.hear(lambda event: isinstance(event, Ending) and event.attempt == attempt)
        assert isinstance(ended, Ending)
        return ended

    def value(self, attempt: int) -> Any:
        """What an attempt returned."""
        ended = self.end(attempt)
        assert isinstance(ended, Done), ended
        return cloudpickle.loads(ended.value)

    def lost(self, node: str) -> NodeLost:
        event = self.hear(lambda event: isinstance(event, NodeLost) and event.name == node)
        assert isinstance(event, NodeLost)
        return event

    def fetched(self, chunk: str, node: str) -> Fetched:
        """How a node's fetching of a chunk ended."""
        event = self.hear(lambda e: isinstance(e, Fetched) and (e.chunk, e.node) == (chunk, node))
        assert isinstance(event, Fetched)
        return event

    def up(self, node: str) -> None:
        """Wait until a node that was lost is there again."""
        self.hear(lambda event: isinstance(event, NodeUp) and event.node.name == node)

    def drain(self) -> list[Event]:
        """All that has been heard by now."""
        while not self._queue.empty():
            self.events.append(self._queue.get())
        return self.events


class Reference(NamedTuple):
    """An argument that stands for an input."""

    number: int


def _number_of(part: object) -> int | None:
    return part.number if isinstance(part, Reference) else None


def value_of(chunk: str) -> str:
    """Loader of the chunks that the contract suite reads."""
    return f"value of {chunk}"


def process_rig(engine: ProcessEngine) -> Rig:
    """Kills by signal, and finds what is left by the processes' numbers."""
    pids: dict[str, int] = {}
    rig = Rig(engine, lambda node: os.kill(pids[node], signal.SIGKILL), left=lambda: alive(pids))
    for name in rig.names:
        pids[name] = rig.value(rig.run(name, os.getpid))
    return rig


def until(what: Callable[[], bool]) -> None:
    """Wait for a condition that a thread or process of its own brings about."""
    end = time.monotonic() + SOON
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def alive(pids: dict[str, int]) -> list[str]:
    return [name for name, pid in pids.items() if exists(pid)]


def exists(pid: int) -> bool:
    """Whether there is such a process, and it is not about to be reaped.

    An orphan that has ended is there until whoever inherited it has seen to it.
    """
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")
