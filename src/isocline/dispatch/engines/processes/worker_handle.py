"""Parent-side handle to a worker process: starts it, sends it work, and ends it."""

import os
import signal
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import final

from isocline.cores import usable_cores
from isocline.dispatch.engines.base import Ending, Event, Stopped, TimedOut, WorkItem
from isocline.dispatch.engines.common.deadlines import Deadlines
from isocline.dispatch.engines.common.node_inputs import SentInputs
from isocline.dispatch.engines.processes import protocol
from isocline.dispatch.engines.processes.output import Output
from isocline.dispatch.forks import owned
from isocline.dispatch.shared_bytes import LARGE
from isocline.subprocesses.descendants import kill_below
from isocline.subprocesses.framing import Unpacker, packed
from isocline.subprocesses.spawn import start
from isocline.subprocesses.supervise import ProcessGroup, ending

_WORKER = "isocline.dispatch.engines.processes.worker"
_BLOCK = 1 << 18  # bytes read at a time
Message = Event | protocol.Ready | protocol.Pong | protocol.Uncharged

_FUNCTIONS = 256  # most functions and large arguments that a worker keeps
_BYTES = 1 << 26  # most bytes of these in total


@final
class WorkerHandle:
    """Handle to one worker process of a node; a restarted worker has a new handle.

    `run` and `cancel` are called from one thread, all other methods from the engine's; a lock
    guards the shared state.
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
        self._size = 0  # total bytes of these
        self._inputs = SentInputs()
        self._outbox = bytearray()
        self._send(packed(setup))
        owned(self)

    # From the caller's thread

    def run(self, function: bytes, work: WorkItem) -> None:
        """Append work to the worker's queue, with the function sent separately."""
        with self._lock:
            self._deadlines.added(work.attempt, work.limit, time.monotonic())
            for given in self._inputs.to_send(work):
                self._send(packed(given))
            if work.inputs:
                work = work._replace(inputs=())
            arguments = None
            if len(work.arguments) >= LARGE:
                arguments = self._number_of(work.arguments)
                work = work._replace(arguments=b"")
            # The function last, as the worker may have to forget older ones for it.
            number = self._number_of(function, keep=arguments)
            self._send(packed(protocol.Run(number, work, arguments)))

    def cancel(self, attempt: int) -> None:
        """Cancel an attempt, if the worker has it."""
        with self._lock:
            if self._deadlines.cancelled(attempt, time.monotonic()):
                self._send(packed(protocol.Cancel(attempt)))

    def fetch(self, chunk: str, holders: Sequence[str]) -> None:
        """Make the worker fetch a chunk while it runs tasks."""
        with self._lock:
            self._send(packed(protocol.Fetch(chunk, tuple(holders))))

    def release(self, number: int) -> None:
        """Make the worker drop an input, if it has it."""
        with self._lock:
            if self._inputs.drop(number):
                self._send(packed(protocol.Drop(number)))

    # From the engine's thread

    def ping(self) -> None:
        """Ask the worker to answer."""
        with self._lock:
            self._send(packed(protocol.Ping()))

    def uncharged(self, attempt: int, seconds: float) -> None:
        """Extend an attempt's limit by `seconds` s."""
        with self._lock:
            self._deadlines.uncharged(attempt, seconds)

    @property
    def has_unsent(self) -> bool:
        """Whether there are unsent messages."""
        return bool(self._outbox)

    def flush(self) -> None:
        """Send waiting messages without blocking."""
        with self._lock:
            self._send(b"")

    def received(self) -> tuple[list[Message], bool]:
        """Return the events received since the last call, and whether more may follow."""
        try:
            data = self.channel.recv(_BLOCK)
        except BlockingIOError:
            return [], True
        except ConnectionError:
            data = b""
        return list(self._unpacker.feed(data)), bool(data)

    def final_events(self) -> list[Message]:
        """Return the last events that the ended process had sent."""
        events: list[Message] = []
        with suppress(Exception):  # the process may have ended within a message
            while data := self.channel.recv(_BLOCK):
                events += self._unpacker.feed(data)
        return events

    def ended(self, ending: Ending) -> bool:
        """Remove an attempt reported as ended; returns False if it was already removed."""
        with self._lock:
            self._inputs.ended(ending)
            return self._deadlines.ended(ending.attempt, time.monotonic())

    def overdue(self) -> TimedOut | Stopped | None:
        """Return the event for the running attempt if it is overdue, in place of the worker's."""
        with self._lock:
            return self._deadlines.overdue(time.monotonic())

    @property
    def dead(self) -> bool:
        """Whether the process has ended, even if a child of a task keeps its channel open."""
        return self.group.dead

    def kill(self) -> str:
        """Kill the process with all that its tasks started; describes how it ended."""
        self._end_tasks()
        status = self.group.kill()
        self.channel.close()
        if status == protocol.DESCRIPTORS_CLOSED:
            self.output.join()
            self.output.show(
                "the worker ended because a task closed its file descriptors; close only "
                "descriptors that the task has opened"
            )
            return "ended, because a task closed its file descriptors"
        return ending(status).removeprefix("was ")

    @property
    def killed(self) -> bool:
        """Whether a signal ended the process; valid after `kill`."""
        return self.group.status is not None and self.group.status < 0

    def disown(self) -> None:
        """Give up the process in a forked child, which lacks the engine (see `forks`)."""
        self.channel.close()

    def terminate(self) -> None:
        """Ask the process to end."""
        with self._lock:
            busy = self._deadlines.busy
        if busy:
            self._end_tasks()
        self.group.terminate()

    def _end_tasks(self) -> None:
        """Kill all processes that tasks have started, while the worker is stopped."""
        if self.dead:  # its children now have another parent
            return
        # While stopped, it starts no processes and reaps none, so their ids are not reused.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.group.pid, signal.SIGSTOP)
        kill_below(self.group.pid)

    def _number_of(self, pickled: bytes, keep: int | None = None) -> int:
        """Number of a function or of large arguments, which are sent at their first use.

        `keep` is a number that the worker must not forget yet.
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
        """Send without blocking; the rest is left to `flush`."""
        self._outbox += data
        with suppress(BlockingIOError, OSError):  # it has ended, which is handled elsewhere
            while self._outbox:
                del self._outbox[: self.channel.send(self._outbox)]


# Variables for the number of threads, each read when its library is loaded.
_VARIABLES = (
    "OMP_NUM_THREADS",  # OpenMP; also used by PyTorch and Arrow
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


def thread_variables(workers: int, cores: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables by which each worker uses its share of the cores, at least one.

    BLAS, OpenMP and the like start one thread per core in each process. With one worker per core,
    the number of threads would be the square of the number of cores, and every call would wait for
    threads that are not scheduled. Variables set in the environment are the user's choice, and
    kept.
    """
    share = str(max(cores // workers, 1))
    return {name: share for name in _VARIABLES if name not in environment}
