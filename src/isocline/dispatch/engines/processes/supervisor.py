"""Supervisor thread: reads worker messages, and restarts dead workers."""

import selectors
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import final

from isocline.dispatch.engines.base import (
    Done,
    Drops,
    Emit,
    Ending,
    Event,
    Fetched,
    Holds,
    NodeGone,
    NodeLost,
    NodeUp,
    Raised,
    Stopped,
    TimedOut,
)
from isocline.dispatch.engines.common.errors import EngineError
from isocline.dispatch.engines.processes.protocol import Ready
from isocline.dispatch.engines.processes.worker_handle import WorkerHandle
from isocline.dispatch.engines.processes.worker_slot import WorkerSlot
from isocline.subprocesses.supervise import await_ends

# s between polls for what nothing announces: workers overdue, or to be started.
_POLL = 0.05
# Workers of one node in a row that may be killed as they start, as where memory is scarce, before
# the engine itself is not started; and that may end so later, in some 2 minutes, before the node is
# given up by those who wait for it. It is started again all the same.
_KILLED, _IN_VAIN = 3, 20
_GRACE = 1.0  # s from asking workers to end until killing them
_LAST = 0.2  # s that one may take to end which has closed its connection
_READ_AND_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE


@final
class Supervisor:
    """Thread that starts the workers of all slots, again and again, until it is closed."""

    def __init__(self, slots: Sequence[WorkerSlot], emit: Emit) -> None:
        self._slots = slots
        self._emit = emit
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._starting = {slot.node.name for slot in slots}
        self._started = threading.Event()
        self._failure = ""
        self._closing = False
        self._next_poll = 0.0
        self._thread = threading.Thread(target=self._run, name="isocline engine", daemon=True)

    def start(self) -> None:
        """Start all workers and wait until they are ready; raises EngineError if one cannot be."""
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise EngineError(self._failure)

    def wake(self) -> None:
        """Wake the thread, as there is work; any thread may call."""
        with suppress(BlockingIOError):  # it has been woken often enough
            self._wake.send(b"\0")

    def close(self) -> None:
        """End the workers, with all that tasks have started."""
        self._closing = True
        self.wake()
        if self._thread.ident:
            self._thread.join()
        processes = [slot.process for slot in self._slots if slot.process]
        for process in processes:
            process.terminate()
        await_ends([process.group for process in processes], _GRACE)
        for process in processes:
            process.kill()
            process.output.join()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _run(self) -> None:
        while not self._closing:
            for key, ready in self._selector.select(_POLL):
                if key.data is None:
                    self._woken.recv(4096)
                    self._next_poll = 0.0
                elif ready & selectors.EVENT_WRITE:
                    self._flush(*key.data)
                else:
                    self._receive(*key.data)
            if time.monotonic() >= self._next_poll:
                self._poll()

    def _poll(self) -> None:
        self._next_poll = time.monotonic() + _POLL
        for slot in self._slots:
            process = slot.process
            if process is None:
                if slot.due:
                    self._start(slot)
            elif event := process.overdue():
                self._ended(process, event)
                self._lost(slot, process, f"killed, as attempt {event.attempt} would not stop")
            elif process.dead:  # and its channel may be held open by a child of a task
                self._handle(slot, process, process.final_events())
                self._lost(slot, process)
            elif process.has_unsent:
                self._selector.modify(process.channel, _READ_AND_WRITE, (slot, process))

    def _start(self, slot: WorkerSlot) -> None:
        try:
            process = slot.start()
        except OSError as error:  # no more memory, processes or files
            slot.lost()
            self._not_started(slot, str(error))
        else:
            self._selector.register(process.channel, selectors.EVENT_READ, (slot, process))

    def _flush(self, slot: WorkerSlot, process: WorkerHandle) -> None:
        process.flush()
        if not process.has_unsent:
            self._selector.modify(process.channel, selectors.EVENT_READ, (slot, process))

    def _receive(self, slot: WorkerSlot, process: WorkerHandle) -> None:
        try:
            messages, alive = process.received()
        except Exception as error:  # a task has written where only the worker may
            self._lost(slot, process, f"it said what cannot be read ({error})")
            return
        self._handle(slot, process, messages)
        if not alive:
            await_ends([process.group], _LAST)  # so that its own status is known, not our signal
            self._lost(slot, process)

    def _handle(
        self, slot: WorkerSlot, process: WorkerHandle, messages: Iterable[Event | Ready]
    ) -> None:
        for message in messages:
            match message:
                case Ready():
                    self._ready(slot, process)
                case Holds() | Drops() | Fetched():
                    self._emit(message)
                case Done() | Raised() | TimedOut() | Stopped():
                    slot.task_done()
                    self._ended(process, message)

    def _ended(self, process: WorkerHandle, event: Ending) -> None:
        if process.ended(event.attempt):
            self._emit(event)

    def _ready(self, slot: WorkerSlot, process: WorkerHandle) -> None:
        process.up = True
        slot.ready()
        if self._started.is_set():
            self._emit(NodeUp(slot.node))
        self._starting.discard(slot.node.name)
        if not self._starting:
            self._started.set()

    def _lost(self, slot: WorkerSlot, process: WorkerHandle, why: str = "") -> None:
        self._selector.unregister(process.channel)
        how = process.kill()
        slot.lost()
        if process.up:
            if self._started.is_set():
                self._emit(NodeLost(slot.node.name, why or how, returns=True))
            else:
                self._starting.add(slot.node.name)
        elif not process.killed or slot.failed > _KILLED:
            self._not_started(slot, f"its worker {how}", process)

    def _not_started(self, slot: WorkerSlot, why: str, process: WorkerHandle | None = None) -> None:
        """Count a process of a slot that did not come up."""
        name = slot.node.name
        if not self._started.is_set():
            if process:
                process.output.join()
                why = "\n".join((f"{why}, and said:", *process.output.last))
            self._failure = f"node {name} cannot be started: {why}"
            self._started.set()
        elif slot.failed == _IN_VAIN:
            self._emit(NodeGone(name, f"{_IN_VAIN} workers ended as they started, the last: {why}"))
