"""Callbacks of futures, called in a thread of their own.

The driver's thread ends futures. If it called users' callbacks, one that waits for another task
would wait for ever, and one that takes long would hold up all tasks.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, final

from isocline.dispatch.journal import LOG
from isocline.dispatch.user_code import Caught, guarded

Callback = Callable[[Any], object]


@final
class Callbacks:
    """Those of one scheduler, one after the other, in the order in which their tasks end."""

    def __init__(self) -> None:
        """The thread is started with the first callback."""
        self._queue: SimpleQueue[tuple[Callback, Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, callback: Callback, future: Any) -> None:
        """From any thread: have a callback called soon; after `close`, at once."""
        with self._lock:
            if not self._closed:
                self._queue.put((callback, future))
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._work, name="isocline-callbacks", daemon=True
                    )
                    self._thread.start()
                return
        call(callback, future)

    def close(self, patience: float | None = None) -> None:
        """Return when all callbacks have been called, or after `patience` s.

        A callback may call this, too: those that are left are called after it.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def _work(self) -> None:
        while (due := self._queue.get()) is not None:
            call(*due)


def call(callback: Callback, future: Any) -> None:
    """Call one; what it raises is logged, as `concurrent.futures` does."""
    found = guarded(callback, future)
    if isinstance(found, Caught):
        LOG.error("a callback of %r raised", future, exc_info=found.error)
