"""Parent-side handle to a worker process: starts, feeds and ends it."""

import os
import signal
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import final

from isocline.cores import usable_cores
from isocline.dispatch.engines.base import Event, Stopped, TimedOut, WorkItem
from isocline.dispatch.engines.common.deadlines import Deadlines
from isocline.dispatch.engines.processes import protocol
from isocline.dispatch.engines.processes.output import Output
from isocline.dispatch.engines.processes.threads import thread_variables
from isocline.dispatch.forks import owned
from isocline.dispatch.shared_bytes import LARGE
from isocline.subprocesses.descendants import kill_below
from isocline.subprocesses.framing import Unpacker, packed
from isocline.subprocesses.spawn import start
from isocline.subprocesses.supervise import ProcessGroup

_WORKER = "isocline.dispatch.engines.processes.worker"
_BLOCK = 1 << 18  # bytes read at once
Message = Event | protocol.Ready

_FUNCTIONS = 256  # that a worker keeps, with large arguments, as long as
_BYTES = 1 << 26  # they have no more bytes together


@final
class WorkerHandle:
    """Handle to one incarnation of a node; the next one has another.

    `run` and `cancel` are called from one thread, all else from the engine's; a lock protects the
    state of both.
    """

    def __init__(self, setup: protocol.Setup, patience: float) -> None:
        """Start the process; raises OSError if that fails."""
        self.up = False
        process, self.channel = start(
            _WORKER,
            environment=thread_variables(len(setup.sockets), usable_cores(), os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.group = ProcessGroup(process)
        assert process.stdout is not None
        self.output = Output(setup.name, process.stdout)
        self.channel.setblocking(False)
        self._unpacker = Unpacker()
        self._lock = threading.Lock()
        self._deadlines = Deadlines(setup.name, patience)
        self._functions: OrderedDict[bytes, int] = OrderedDict()
        self._number = 0
        self._size = 0  # bytes of these
        self._outbox = bytearray()
        self._send(packed(setup))
        owned(self)

    # From the caller's thread

    def run(self, function: bytes, work: WorkItem) -> None:
        """Append work, without its function, to the worker's queue."""
        with self._lock:
            self._deadlines.added(work.attempt, work.limit, time.monotonic())
            arguments = None
            if len(work.arguments) >= LARGE:
                arguments = self._number_of(work.arguments)
                work = work._replace(arguments=b"")
            # The function comes last: to know it the worker may have to forget what is older.
            number = self._number_of(function, keep=arguments)
            self._send(packed(protocol.Run(number, work, arguments)))

    def cancel(self, attempt: int) -> None:
        """Cancel an attempt, if it is there."""
        with self._lock:
            if self._deadlines.cancelled(attempt, time.monotonic()):
                self._send(packed(protocol.Cancel(attempt)))

    def fetch(self, chunk: str, holders: Sequence[str]) -> None:
        """Have the worker fetch a chunk while it runs tasks."""
        with self._lock:
            self._send(packed(protocol.Fetch(chunk, tuple(holders))))

    # From the engine's thread

    @property
    def has_unsent(self) -> bool:
        """Whether messages wait to be sent."""
        return bool(self._outbox)

    def flush(self) -> None:
        """Send waiting messages as far as the channel takes them."""
        with self._lock:
            self._send(b"")

    def received(self) -> tuple[list[Message], bool]:
        """Return the events received since the last call, and whether more can come."""
        try:
            data = self.channel.recv(_BLOCK)
        except BlockingIOError:
            return [], True
        except ConnectionError:
            data = b""
        return list(self._unpacker.feed(data)), bool(data)

    def final_events(self) -> list[Message]:
        """Return the events sent before the process ended."""
        events: list[Message] = []
        with suppress(Exception):  # of one that ended in the midst of them
            while data := self.channel.recv(_BLOCK):
                events += self._unpacker.feed(data)
        return events

    def ended(self, attempt: int) -> bool:
        """Remove an attempt that the worker reports as ended; False if it was removed before."""
        with self._lock:
            return self._deadlines.ended(attempt, time.monotonic())

    def overdue(self) -> TimedOut | Stopped | None:
        """Return the end of the running attempt if it is overdue, in place of a report."""
        with self._lock:
            return self._deadlines.overdue(time.monotonic())

    @property
    def dead(self) -> bool:
        """Whether the process has ended; a child of a task may hold its channel open."""
        return self.group.dead

    def kill(self) -> str:
        """Kill the process with all that its tasks have started; returns how it ended."""
        self._end_tasks()
        status = self.group.kill()
        self.channel.close()
        if status == protocol.DESCRIPTORS_CLOSED:
            self.output.join()
            self.output.show(
                "the worker has ended, as a task has closed its file descriptors; close only those "
                "that the task has opened"
            )
            return "ended, as a task had closed its file descriptors"
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    @property
    def killed(self) -> bool:
        """Whether a signal has ended it; valid after `kill`."""
        return self.group.status is not None and self.group.status < 0

    def disown(self) -> None:
        """Let go of the process in a forked child, which does not have its engine (see `forks`)."""
        self.channel.close()

    def terminate(self) -> None:
        """Ask the process to end."""
        with self._lock:
            busy = self._deadlines.busy
        if busy:
            self._end_tasks()
        self.group.terminate()

    def _end_tasks(self) -> None:
        """Kill all that its tasks have started, while the process is stopped."""
        if self.dead:  # what it has left is not below it any more
            return
        # Until it goes on it starts nothing, and waits for none of them, whose numbers therefore
        # remain theirs.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.group.pid, signal.SIGSTOP)
        kill_below(self.group.pid)

    def _number_of(self, pickled: bytes, keep: int | None = None) -> int:
        """Number of a function or of large arguments, which are sent on first use.

        `keep` is a number that the worker is not to forget yet.
        """
        number = self._functions.get(pickled)
        if number is not None:
            self._functions.move_to_end(pickled)
            return number
        self._size += len(pickled)
        while self._functions and (len(self._functions) >= _FUNCTIONS or self._size > _BYTES):
            oldest, number = next(iter(self._functions.items()))
            if number == keep:
                break
            del self._functions[oldest]
            self._size -= len(oldest)
            self._send(packed(protocol.Forget(number)))
        self._number += 1
        self._functions[pickled] = self._number
        self._send(packed(protocol.Function(self._number, pickled)))
        return self._number

    def _send(self, data: bytes) -> None:
        """Send without waiting; the rest waits for `flush`."""
        self._outbox += data
        with suppress(BlockingIOError, OSError):  # it has ended, which is seen elsewhere
            while self._outbox:
                del self._outbox[: self.channel.send(self._outbox)]
