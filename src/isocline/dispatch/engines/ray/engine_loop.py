"""Loop thread of the Ray engine."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ray import ObjectRef

_POLL = 0.5  # s between polls of the cluster


@final
class Loop:
    """Thread that polls the cluster, and handles answers of calls."""

    def __init__(
        self,
        lock: AbstractContextManager[bool],
        look: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Initialise, without starting the thread.

        Args:
            lock: Lock held while answers are handled.
            look: Polls the cluster; called without the lock.
            fail: Called with an exception of `look`.
        """
        self._lock, self._look, self._fail = lock, look, fail
        # Answers queued by Ray's thread, which must not handle them: it could wait for itself, or
        # for the lock of a thread that waits for it.
        self._heard: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="ray engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def when(self, ref: "ObjectRef[Any]", act: Callable[["Future[Any]"], None]) -> None:
        """Call a function, under the lock, when a call is answered."""
        ref.future().add_done_callback(lambda future: self._heard.put(partial(act, future)))

    def close(self) -> None:
        """End the thread; may be repeated."""
        self._closing.set()
        if self._thread.is_alive():
            self._heard.put(lambda: None)
            self._thread.join()

    def _keep(self) -> None:
        look = time.monotonic() + _POLL
        while not self._closing.is_set():
            try:
                act = self._heard.get(timeout=max(0.0, look - time.monotonic()))
            except Empty:
                try:
                    self._look()
                except Exception as error:  # of the many types that Ray raises
                    self._fail(error)
                look = time.monotonic() + _POLL
            else:
                with self._lock:
                    act()
