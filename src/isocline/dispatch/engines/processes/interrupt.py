"""Interruption of the main thread of a worker, by signals.

A signal's handler runs in the main thread, between two steps of the interpreter, also where a
system call waits; so what it raises ends Python code, sleeps, reads and `subprocess.run`. It cannot
end a long call of compiled code: for that the engine ends the worker (see `worker_handle`).
"""

import signal
import threading
import time
from typing import final

from isocline.dispatch.engines.common.attempt import Interruption

_NONE = -1
_AGAIN = 0.05  # s


@final
class Interrupter:
    """Raises at most one Interruption for each attempt, and only between `arm` and `disarm`."""

    def __init__(self) -> None:
        """Made in the main thread."""
        self.attempt = _NONE  # that the main thread works on
        self._armed = False
        self._asked = _NONE
        self._due = float("inf")  # s, monotonic
        self._main = threading.main_thread().ident
        signal.signal(signal.SIGUSR1, self._check)
        signal.signal(signal.SIGALRM, self._check)

    def cancel(self, attempt: int) -> None:
        """Stop this attempt, if it is running; any thread may call."""
        assert self._main is not None
        self._asked = attempt
        signal.pthread_kill(self._main, signal.SIGUSR1)

    def arm(self, limit: float | None) -> None:
        """Let the attempt be stopped from here on, after `limit` s or a cancellation."""
        if limit is not None:
            self._due = time.monotonic() + limit
            # 0 would mean never. Again and again, should one be a moment early.
            signal.setitimer(signal.ITIMER_REAL, max(limit, 1e-6), _AGAIN)
        self._armed = True
        self._check()

    def disarm(self) -> None:
        """Protect the attempt from being stopped from here on."""
        self._armed = False
        if self._due < float("inf"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            self._due = float("inf")

    def _check(self, *_: object) -> None:
        """Check for a reason to stop, as a signal's handler or after a signal that came early."""
        if not self._armed:
            return
        cancelled = self._asked == self.attempt
        if cancelled or time.monotonic() >= self._due:
            self._armed = False
            raise Interruption(not cancelled)
