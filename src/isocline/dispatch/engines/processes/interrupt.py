"""Interruption of a worker's main thread by a signal.

A signal handler runs in the main thread, between two steps of the interpreter, also during blocking
system calls; an exception that it raises therefore ends Python code, sleeps, reads and
`subprocess.run`. It cannot end a long call of compiled code, for which the engine kills the worker
(see `worker_handle`).

A thread sends the signal when a limit is exceeded. The system's timer would send SIGALRM, which is
reserved for tasks: code with its own time limit may set an alarm.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

from isocline.dispatch.engines.common.attempt import Interruption, must_end

_NONE = -1
_AGAIN = 0.05  # s between repetitions of the signal


@final
class _Alarm:
    """Thread that calls `ring` at a set time, and repeatedly from then on, until it is cleared."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._due = self._wakes = float("inf")  # s, monotonic
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="alarm", daemon=True).start()

    def set(self, due: float) -> None:
        """Set the time, s, in place of any earlier one."""
        with self._changed:
            self._due = due
            if due < self._wakes:  # otherwise the thread wakes early enough by itself
                self._changed.notify()

    def clear(self) -> None:
        """Stop ringing."""
        self._due = float("inf")

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                left = self._due - now
                if left <= 0.0:
                    self._ring()
                    left = _AGAIN
                left = min(left, threading.TIMEOUT_MAX)
                self._wakes = now + left
                self._changed.wait(left)


@final
class Interrupter:
    """Raises at most one Interruption per attempt, only between `arm` and `disarm`.

    Attributes:
        attempt: Attempt on which the main thread works.
        waited: Time for which it waited in vain for other nodes, which is not charged to its limit,
            s.
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        """Initialise in the main thread; `tell` is called with extensions of the limit, s."""
        self.attempt = _NONE
        self.waited = 0.0
        self._tell = tell
        self._waits = False
        self._armed = False
        self._asked = _NONE
        self._due = float("inf")  # s, monotonic
        self._main = threading.main_thread().ident
        signal.signal(signal.SIGUSR1, self._check)
        self._alarm = _Alarm(self._signal)
        self.restore_alarm()

    def cancel(self, attempt: int) -> None:
        """Stop this attempt if it is running; thread-safe."""
        self._asked = attempt
        self._signal()

    @staticmethod
    def restore_alarm() -> None:
        """Restore the default action of SIGALRM and clear any alarm, for the next task."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _signal(self) -> None:
        assert self._main is not None
        signal.pthread_kill(self._main, signal.SIGUSR1)

    def arm(self, limit: float | None) -> None:
        """Allow the attempt to be stopped from now on, after `limit` s or a cancellation."""
        self.waited = 0.0
        if limit is not None:
            self._due = time.monotonic() + limit
            self._alarm.set(self._due)
        self._armed = True
        self._check()

    def disarm(self) -> None:
        """Protect the attempt from being stopped from now on."""
        self._armed = False
        self._alarm.clear()
        self._due = float("inf")

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Protect an operation that must not stop half way, such as sending a message."""
        armed, self._armed = self._armed, False
        try:
            yield
        finally:
            self._armed = armed
        self._check()

    @contextmanager
    def asking(self, patience: float) -> Iterator[None]:
        """Context for a request to another node, which may be silent for `patience` s."""
        if self._due == float("inf"):
            yield
            return
        before = self.waited
        with self.uninterrupted():
            self._tell(patience)
        try:
            yield
        finally:
            with self.uninterrupted():
                self._tell(self.waited - before - patience)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Context for a wait for another node, during which the limit does not end the attempt.

        Time that ends in a TimeoutError is not charged to the limit.
        """
        began = time.monotonic()
        self._waits = True
        try:
            yield
        except TimeoutError:
            passed = time.monotonic() - began
            self.waited += passed
            self._due += passed
            raise
        finally:
            self._waits = False
        self._check()

    def _check(self, _signal: int = 0, frame: FrameType | None = None) -> None:
        """Raise if there is a reason to stop; as signal handler, or after an early signal."""
        if not self._armed:
            return
        cancelled = self._asked == self.attempt
        if cancelled or (time.monotonic() >= self._due and not self._waits):
            if must_end(frame):
                self._alarm.set(time.monotonic() + _AGAIN)
                return
            self._armed = False
            raise Interruption(not cancelled)
