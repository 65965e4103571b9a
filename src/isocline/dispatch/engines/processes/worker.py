"""Worker process of the engine.

Its main thread runs the tasks; another thread reads the engine's messages, so that a running task
can be cancelled; further threads send chunks to other workers. The process ends with its engine,
however that ends.
"""

import os
import pickle
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn, final

from isocline.dispatch.engines.base import Done, Ending, Event, Stopped, TimedOut, WorkItem
from isocline.dispatch.engines.common import calls
from isocline.dispatch.engines.common.attempt import Interruption, Read, performed
from isocline.dispatch.engines.common.chunk_store import Memory, Store
from isocline.dispatch.engines.common.node_inputs import NodeInputs
from isocline.dispatch.engines.processes import protocol
from isocline.dispatch.engines.processes.chunk_reader import ChunkReader
from isocline.dispatch.engines.processes.chunk_server import ChunkServer
from isocline.dispatch.engines.processes.directory_store import Directory
from isocline.dispatch.engines.processes.interrupt import Interrupter
from isocline.dispatch.engines.processes.output import Streams
from isocline.dispatch.engines.processes.prefetcher import Prefetcher
from isocline.dispatch.inputs import InputData
from isocline.subprocesses import descendants
from isocline.subprocesses.framing import Channel
from isocline.subprocesses.spawn import connection


@final
class _Function:
    """Function, unpickled when a task first calls it, so that errors are that task's."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        self._function: calls.Function | None = None

    def get(self) -> calls.Function:
        if self._function is None:
            self._function = pickle.loads(self.code)
        return self._function


@final
class Worker:
    """Worker that handles the engine's messages in order."""

    def __init__(self, channel: Channel, setup: protocol.Setup) -> None:
        self._name = setup.name
        self._channel = channel
        store = _store(setup)
        self._interrupter = Interrupter(self._uncharged)
        self._reader = ChunkReader(setup, store, self._interrupter, self.send)
        self._chunk_server = ChunkServer(setup.sockets[setup.name], store, setup.link)
        self._prefetcher = Prefetcher(setup.name, self._reader, self.send)
        self._streams = Streams()
        self._queue: SimpleQueue[int] = SimpleQueue()
        self._waiting: dict[int, tuple[_Function, WorkItem]] = {}
        self._functions: dict[int, _Function] = {}
        self._inputs = NodeInputs()

    def work(self) -> None:
        """Run attempts in order; raises DescriptorError if a task closed the descriptors."""
        self.send(protocol.Ready())
        while True:
            attempt = self._queue.get()
            self._interrupter.attempt = attempt  # set before it leaves `_waiting`, see `_cancel`
            waiting = self._waiting.pop(attempt, None)
            if waiting:
                event = self._end(*waiting)
                self._interrupter.restore_alarm()
                self._streams.restore()
                for notice in self._reader.notices:
                    self.send(notice)
                self._reader.notices.clear()
                self._inputs.keep_result(event, waiting[1].keep)
                self.send(event)

    def handle(self, message: object) -> None:
        """Handle a message of the engine, in the reading thread."""
        match message:
            case protocol.Function():
                self._functions[message.number] = _Function(message.code)
            case protocol.Forget():
                self._functions.pop(message.function, None)
            case InputData():
                self._inputs.keep(message)
            case protocol.Drop():
                self._inputs.drop(message.number)
            case protocol.Run():
                work = message.work
                if message.arguments is not None:
                    work = work._replace(arguments=self._functions[message.arguments].code)
                self._waiting[work.attempt] = (self._functions[message.function], work)
                self._queue.put(work.attempt)
            case protocol.Cancel():
                self._cancel(message.attempt)
            case protocol.Fetch():
                self._prefetcher.put(message)
            case protocol.Ping():
                self.send(protocol.Pong())

    def drop_all(self) -> None:
        """Drop all waiting attempts; thread-safe."""
        self._waiting.clear()

    def send(self, message: Event | protocol.Ready | protocol.Pong | protocol.Uncharged) -> None:
        """Send a message to the engine; thread-safe."""
        self._channel.send(message)

    def _uncharged(self, seconds: float) -> None:
        self.send(protocol.Uncharged(self._interrupter.attempt, seconds))

    def _cancel(self, attempt: int) -> None:
        if self._waiting.pop(attempt, None):
            self.send(Stopped(attempt, self._name))
        else:
            self._interrupter.cancel(attempt)

    def _end(self, function: _Function, work: WorkItem) -> Ending:
        """Run one attempt to its end, of any kind."""
        start, attempt, name = time.perf_counter(), work.attempt, self._name
        try:
            self._interrupter.arm(work.limit)
            event: Ending = performed(
                attempt,
                name,
                function.get,
                work.arguments,
                self._read_of(work),
                self._inputs.value,
            )
            self._interrupter.disarm()
        except Interruption as interruption:
            self._interrupter.disarm()
            if interruption.timed_out:
                ran = time.perf_counter() - start - self._interrupter.waited
                return TimedOut(attempt, name, ran)
            return Stopped(attempt, name)
        if isinstance(event, Done) and (waited := self._interrupter.waited):
            return event._replace(
                seconds=max(event.seconds - waited, 0.0),
                read_seconds=max(event.read_seconds - waited, 0.0),
            )
        return event

    def _read_of(self, work: WorkItem) -> Callable[[], Read] | None:
        """Return a function that reads an attempt's chunk; None if it has none."""
        chunk = work.chunk
        return None if chunk is None else lambda: self._reader.read(chunk, work.holders)


def _store(setup: protocol.Setup) -> Store:
    loader = pickle.loads(setup.loader) if setup.loader else None
    if not setup.root:
        return Memory(loader, setup.cache)
    root, scratch = Path(setup.root), Path(setup.scratch)
    return Directory(loader or Path.read_bytes, setup.cache, root, scratch)


def _receive(channel: Channel, made: "Future[Worker]", scratch: Path, socket_path: Path) -> None:
    """Read messages until the engine is gone, then end with all processes that tasks started.

    Reading starts before the worker is made, as unpickling its loader may take long, or hang.
    Messages arrive once the worker is ready.
    """
    try:
        for message in channel:
            made.result().handle(message)
    except BaseException:
        if channel.cut_off:
            _end_cut_off()
        traceback.print_exc()
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        socket_path.unlink(missing_ok=True)
        for directory in (scratch.parent, socket_path.parent):
            with suppress(OSError):  # other workers still use the folder
                directory.rmdir()
        if made.done():
            made.result().drop_all()
        _end_descendants()
        os.killpg(0, signal.SIGKILL)


def _quiet_if_cut_off(channel: Channel) -> None:
    """Suppress tracebacks of other threads after a task has closed the descriptors they use."""
    usual = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not channel.cut_off:
            usual(args)

    threading.excepthook = hook


def _end_cut_off() -> NoReturn:
    """Exit because a task has closed the descriptors; the engine reports it from the status."""
    _end_descendants()
    os._exit(protocol.DESCRIPTORS_CLOSED)


def _end_descendants() -> None:
    if descendants.adopting():  # a command runs; its processes are descendants
        descendants.kill_below(os.getpid())


def main() -> None:
    """Run the worker for the engine at the other end of the connection."""
    channel = Channel(connection())
    setup = channel.receive()
    assert isinstance(setup, protocol.Setup)
    scratch = Path(setup.scratch)
    shutil.rmtree(scratch, ignore_errors=True)  # of the slot's previous worker
    scratch.mkdir()
    socket_path = Path(setup.sockets[setup.name])
    socket_path.unlink(missing_ok=True)  # may be outside `scratch`, if its path would be too long
    made: Future[Worker] = Future()
    arguments = (channel, made, scratch, socket_path)
    threading.Thread(target=_receive, args=arguments, daemon=True).start()
    worker = Worker(channel, setup)
    made.set_result(worker)
    _quiet_if_cut_off(channel)
    try:
        worker.work()
    except BaseException:
        if channel.cut_off:
            _end_cut_off()
        raise
