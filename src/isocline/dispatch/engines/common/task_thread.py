"""Task threads: run attempts for threads of Ray or Dask, which wait for them.

Threads of those systems cannot be abandoned, but these can. An attempt is stopped by an exception;
if it is in compiled code or a system call, and does not leave it within `GRACE`, its thread is
abandoned and ends after it.
"""

import ctypes
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from queue import SimpleQueue
from typing import final

from isocline.dispatch.engines.base import Ending, Stopped, TimedOut
from isocline.dispatch.engines.common.attempt import Interruption, must_end

GRACE = 0.2  # s
WHOLE = 10.0  # s
_LOOK = 0.01  # s between looks at a thread
_CANCELLED = 1_000  # most remembered attempts that were cancelled before they began
_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc


def await_import(thread: int, over: Callable[[], bool]) -> None:
    """Wait until a thread no longer imports or compiles, its attempt is over, or for `WHOLE` s."""
    end = time.monotonic() + WHOLE
    while must_end(sys._current_frames().get(thread)) and time.monotonic() < end and not over():
        time.sleep(_LOOK)


def interrupt(thread: int) -> None:
    """Have an Interruption raised in a thread, at its next step in Python."""
    _raise_in(ctypes.c_ulong(thread), ctypes.py_object(Interruption))


@final
class RunningAttempt:
    """Attempt running in a thread, and its outcome."""

    def __init__(self, attempt: int, run: Callable[[], Ending]) -> None:
        self.attempt = attempt
        self.run = run
        self.ending: Ending | None = None
        self.cancelled = False
        self._lock = threading.Lock()
        self._over = threading.Event()  # set when it has ended or must stop
        self._ended = threading.Event()

    def cancel(self) -> None:
        """Cancel the attempt, from any thread."""
        self.cancelled = True
        self._over.set()

    def wait(self, limit: float | None) -> bool:
        """Wait for its end, a cancellation, or `limit` s; returns whether it has ended."""
        self._over.wait(limit)
        return self._ended.is_set()

    def interrupt(self, thread: int) -> bool:
        """Interrupt the attempt in its thread; returns whether it then ended in time."""
        await_import(thread, self._ended.is_set)
        with self._lock:
            if not self._ended.is_set():
                interrupt(thread)
        return self._ended.wait(GRACE)

    def end(self, ending: Ending | None) -> None:
        """Mark the attempt as ended, so that it is no longer interrupted."""
        with self._lock:
            self.ending = ending
            self._ended.set()
        self._over.set()


@final
class TaskThread:
    """Thread for attempts; it is `clean` as long as it can be reused."""

    def __init__(self) -> None:
        self.clean = True
        self._queue: SimpleQueue[RunningAttempt | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="isocline task", daemon=True)
        self._thread.start()

    def perform(self, running: RunningAttempt, node: str, limit: float | None) -> Ending:
        """Run an attempt to its end, of whatever kind."""
        start = time.perf_counter()
        self._queue.put(running)
        if not running.wait(limit):
            assert self._thread.ident is not None
            self.clean = running.interrupt(self._thread.ident)
        if running.ending:
            return running.ending
        if running.cancelled:
            return Stopped(running.attempt, node)
        return TimedOut(running.attempt, node, time.perf_counter() - start)

    def dismiss(self) -> None:
        """End the thread once it is idle."""
        self._queue.put(None)

    def _work(self) -> None:
        while self.clean and (running := self._queue.get()):
            self._try(running)

    @staticmethod
    def _try(running: RunningAttempt) -> None:
        ending: Ending | None = None
        try:
            try:
                ending = running.run()
            finally:
                running.end(ending)
        except Interruption:
            running.end(ending)


@final
class TaskThreads:
    """Threads of one node, or of all nodes in a process; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[TaskThread] = []
        self._running: dict[int, RunningAttempt] = {}
        self._cancelled: OrderedDict[int, None] = OrderedDict()

    def perform(
        self, attempt: int, node: str, limit: float | None, run: Callable[[], Ending]
    ) -> Ending:
        """Run an attempt to its end, of whatever kind."""
        with self._lock:
            if attempt in self._cancelled:
                return Stopped(attempt, node)
            running = self._running[attempt] = RunningAttempt(attempt, run)
            thread = self._idle.pop() if self._idle else TaskThread()
        try:
            return thread.perform(running, node, limit)
        finally:
            with self._lock:
                del self._running[attempt]
                if thread.clean:
                    self._idle.append(thread)

    def cancel(self, attempt: int) -> bool:
        """Stop an attempt, or prevent its start; returns whether it had begun."""
        with self._lock:
            running = self._running.get(attempt)
            if running:
                running.cancel()
                return True
            self._cancelled[attempt] = None
            if len(self._cancelled) > _CANCELLED:
                self._cancelled.popitem(last=False)
            return False

    def refuses(self, attempt: int) -> bool:
        """Whether an attempt was cancelled before it began."""
        with self._lock:
            return attempt in self._cancelled

    def close(self) -> None:
        """Stop all attempts, and end the threads."""
        with self._lock:
            for running in self._running.values():
                running.cancel()
            for thread in self._idle:
                thread.dismiss()
