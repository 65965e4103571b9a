"""Threads that run attempts for the threads of another engine, which wait for them.

An engine's own threads cannot be given up. These can: an attempt that is to stop is broken off by
an exception; if it is deep in compiled code, or waits for the system, and has not left that within
`GRACE`, its thread is left to it, and ends after it.
"""

import ctypes
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from queue import SimpleQueue
from typing import final

from isocline.dispatch.engines.base import Ending, Stopped, TimedOut
from isocline.dispatch.engines.common.attempt import Interruption

GRACE = 0.2  # s
_CANCELLED = 1_000  # attempts remembered that were cancelled before they began
_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc


def interrupt(thread: int) -> None:
    """Have an Interruption raised in a thread, at the next step that it takes in Python."""
    _raise_in(ctypes.c_ulong(thread), ctypes.py_object(Interruption))


@final
class Job:
    """One attempt, and its outcome."""

    def __init__(self, attempt: int, run: Callable[[], Ending]) -> None:
        self.attempt = attempt
        self.run = run
        self.ending: Ending | None = None
        self.cancelled = False
        self._lock = threading.Lock()
        self._over = threading.Event()  # it has ended, or is to be stopped
        self._ended = threading.Event()

    def cancel(self) -> None:
        """Cancel it, from any thread."""
        self.cancelled = True
        self._over.set()

    def wait(self, limit: float | None) -> bool:
        """Wait for its end, a cancellation or `limit` s; returns whether it has ended."""
        self._over.wait(limit)
        return self._ended.is_set()

    def interrupt(self, thread: int) -> bool:
        """Interrupt it in its thread; returns whether the thread has left it in time."""
        with self._lock:
            if not self._ended.is_set():
                interrupt(thread)
        return self._ended.wait(GRACE)

    def end(self, ending: Ending | None) -> None:
        """Mark it as left by its thread, and no longer to be interrupted."""
        with self._lock:
            self.ending = ending
            self._ended.set()
        self._over.set()


@final
class TaskThread:
    """Thread for attempts; `clean` as long as it can be reused."""

    def __init__(self) -> None:
        self.clean = True
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="isocline task", daemon=True)
        self._thread.start()

    def perform(self, job: Job, node: str, limit: float | None) -> Ending:
        """Run an attempt to its end, of whatever kind."""
        start = time.perf_counter()
        self._jobs.put(job)
        if not job.wait(limit):
            assert self._thread.ident is not None
            self.clean = job.interrupt(self._thread.ident)
        if job.ending:
            return job.ending
        if job.cancelled:
            return Stopped(job.attempt, node)
        return TimedOut(job.attempt, node, time.perf_counter() - start)

    def dismiss(self) -> None:
        """End the thread once it is idle."""
        self._jobs.put(None)

    def _work(self) -> None:
        while self.clean and (job := self._jobs.get()):
            self._try(job)

    @staticmethod
    def _try(job: Job) -> None:
        ending: Ending | None = None
        try:
            try:
                ending = job.run()
            finally:
                job.end(ending)
        except Interruption:
            job.end(ending)


@final
class TaskThreads:
    """Threads of one node, or of all nodes in one process; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[TaskThread] = []
        self._jobs: dict[int, Job] = {}
        self._cancelled: OrderedDict[int, None] = OrderedDict()

    def perform(
        self, attempt: int, node: str, limit: float | None, run: Callable[[], Ending]
    ) -> Ending:
        """Run an attempt to its end, of whatever kind."""
        with self._lock:
            if attempt in self._cancelled:
                return Stopped(attempt, node)
            job = self._jobs[attempt] = Job(attempt, run)
            thread = self._idle.pop() if self._idle else TaskThread()
        try:
            return thread.perform(job, node, limit)
        finally:
            with self._lock:
                del self._jobs[attempt]
                if thread.clean:
                    self._idle.append(thread)

    def cancel(self, attempt: int) -> bool:
        """Stop an attempt, or prevent its begin; returns whether it had begun."""
        with self._lock:
            job = self._jobs.get(attempt)
            if job:
                job.cancel()
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
            for job in self._jobs.values():
                job.cancel()
            for thread in self._idle:
                thread.dismiss()
