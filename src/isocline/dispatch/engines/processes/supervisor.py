"""Supervisor thread: reads messages of workers, and restarts dead workers."""

import selectors
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import final

from isocline.dispatch.engines.base import (
    Answers,
    Done,
    Drops,
    Emit,
    Ending,
    Fetched,
    Holds,
    NodeGone,
    NodeLost,
    NodeUp,
    Raised,
    Silent,
    Stopped,
    TimedOut,
)
from isocline.dispatch.engines.processes.protocol import Ready, Uncharged
from isocline.dispatch.engines.processes.worker_handle import Message, WorkerHandle
from isocline.dispatch.engines.processes.worker_slot import WorkerSlot
from isocline.dispatch.errors import EngineError
from isocline.dispatch.forks import owned
from isocline.subprocesses.guardian import Guardian
from isocline.subprocesses.supervise import await_ends

# s between polls for overdue attempts and due restarts, which no message announces.
_POLL = 0.05
# Workers of a node that may be killed in a row while starting, as when memory is scarce: before the
# start of the engine fails; and later, within some 2 minutes, before tasks stop waiting for the
# node, which is restarted all the same.
_KILLED, _IN_VAIN = 3, 20
_GRACE = 1.0  # s from asking workers to end until killing them
_LAST = 0.2  # s that a worker may take to end after closing its connection
_READ_AND_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE


@final
class Supervisor:
    """Thread that starts and restarts the workers of all slots until it is closed."""

    def __init__(self, slots: Sequence[WorkerSlot], emit: Emit) -> None:
        self._slots = slots
        self._emit = emit
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._starting = {slot.node.name for slot in slots}
        self._silent: set[str] = set()  # names of nodes
        self._started = threading.Event()
        self._failure = ""
        self._closing = False
        self._next_poll = 0.0
        self._guardian = Guardian()
        owned(self._guardian)
        self._thread = threading.Thread(target=self._run, name="isocline engine", daemon=True)

    def start(self) -> None:
        """Start all workers, and wait until they are ready; raises EngineError if one fails."""
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise EngineError(self._failure)

    def wake(self) -> None:
        """Wake the thread because there is work; thread-safe."""
        with suppress(BlockingIOError):  # the pipe is full, so it will wake anyway
            self._wake.send(b"\0")

    def close(self) -> None:
        """End the workers, with all processes that tasks have started."""
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
            self._guardian.forget(process.group.pid)
            process.output.join()
        self._guardian.close()
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
            elif process.dead:  # a child of a task may keep its channel open
                self._handle(slot, process, process.final_events())
                self._lost(slot, process)
            elif process.has_unsent:
                self._selector.modify(process.channel, _READ_AND_WRITE, (slot, process))

    def _start(self, slot: WorkerSlot) -> None:
        try:
            process = slot.start()
        except OSError as error:  # out of memory, processes or files
            slot.lost()
            self._not_started(slot, str(error))
        else:
            setup = slot.setup
            self._guardian.watch(process.group.pid, (setup.scratch, setup.sockets[setup.name]))
            self._selector.register(process.channel, selectors.EVENT_READ, (slot, process))

    def _flush(self, slot: WorkerSlot, process: WorkerHandle) -> None:
        process.flush()
        if not process.has_unsent:
            self._selector.modify(process.channel, selectors.EVENT_READ, (slot, process))

    def _receive(self, slot: WorkerSlot, process: WorkerHandle) -> None:
        try:
            messages, alive = process.received()
        except Exception as error:  # a task has written to the worker's channel
            self._lost(slot, process, f"it sent a malformed message ({error})")
            return
        self._handle(slot, process, messages)
        if not alive:
            await_ends([process.group], _LAST)  # so that its own exit status is known
            self._lost(slot, process)

    def _handle(self, slot: WorkerSlot, process: WorkerHandle, messages: Iterable[Message]) -> None:
        for message in messages:
            if slot.node.name in self._silent:
                self._silent.discard(slot.node.name)
                self._emit(Answers(slot.node.name))
            match message:
                case Ready():
                    self._ready(slot, process)
                case Silent():
                    self._fell_silent(message)
                case Uncharged(attempt, seconds):
                    process.uncharged(attempt, seconds)
                case Holds() | Drops() | Fetched():
                    self._emit(message)
                case Done() | Raised() | TimedOut() | Stopped():
                    slot.task_done()
                    self._ended(process, message)

    def _fell_silent(self, event: Silent) -> None:
        """Report a node that did not answer another one, and ping it."""
        for slot in self._slots:
            process = slot.process
            if slot.node.name == event.name and process and process.up:
                process.ping()
                if event.name not in self._silent:
                    self._silent.add(event.name)
                    self._emit(event)

    def _ended(self, process: WorkerHandle, event: Ending) -> None:
        if process.ended(event):
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
        self._guardian.forget(process.group.pid)
        slot.lost()
        self._silent.discard(slot.node.name)
        if process.up:
            if self._started.is_set():
                self._emit(NodeLost(slot.node.name, why or how, returns=True))
            else:
                self._starting.add(slot.node.name)
        elif not process.killed or slot.failed > _KILLED:
            self._not_started(slot, f"its worker {how}", process)

    def _not_started(self, slot: WorkerSlot, why: str, process: WorkerHandle | None = None) -> None:
        """Count a failed start of a slot's process."""
        name = slot.node.name
        if not self._started.is_set():
            if process:
                process.output.join()
                why = "\n".join((f"{why}; its last output:", *process.output.last))
            self._failure = f"node {name} cannot be started: {why}"
            self._started.set()
        elif slot.failed == _IN_VAIN:
            self._emit(
                NodeGone(name, f"{_IN_VAIN} workers ended during their start, the last: {why}")
            )
