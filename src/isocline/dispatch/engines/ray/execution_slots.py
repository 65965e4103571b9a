"""Execution slots of a node: threads in which Ray calls it, which can be given up one by one."""

import threading
import time
from collections.abc import Callable
from typing import final

from isocline.dispatch.engines.base import Ending, Stopped
from isocline.dispatch.engines.common.attempt import Interruption
from isocline.dispatch.engines.common.task_thread import (
    GRACE,
    TaskThreads,
    await_import,
    interrupt,
)

_LOOK = 0.002  # s between checks for the end of an attempt


@final
class ExecutionSlots:
    """Slots of a node; a slot is one of Ray's threads, with its waiting calls.

    An attempt without a limit runs in that thread itself, as handing it to another thread doubles
    Ray's overhead per task. If it is cancelled and does not end, its slot is given up, and the
    caller sends the waiting attempts again, to the next slot.
    """

    def __init__(self) -> None:
        self._threads = TaskThreads()
        self._lock = threading.Lock()
        self._slot = 0
        self._running: int | None = None  # running attempt without a limit
        self._thread = 0  # thread that runs it

    def perform(
        self, slot: int, attempt: int, node: str, limit: float | None, run: Callable[[], Ending]
    ) -> Ending | None:
        """Run an attempt to its end, of any kind; None: its slot has been given up."""
        with self._lock:
            if slot != self._slot:
                return None
            if limit is None:
                if self._threads.refuses(attempt):
                    return Stopped(attempt, node)
                self._running, self._thread = attempt, threading.get_ident()
        if limit is not None:
            return self._threads.perform(attempt, node, limit, run)
        ending: Ending | None = None
        try:
            try:
                ending = run()
            finally:
                self._left(attempt)
        except Interruption:
            self._left(attempt)
        return ending or Stopped(attempt, node)

    def cancel(self, attempt: int, more: bool) -> bool:
        """Stop an attempt, or prevent its start.

        Args:
            attempt: Number of the attempt.
            more: Whether there is another slot.

        Returns:
            Whether its slot was given up because the attempt does not end.
        """
        with self._lock:
            if self._running != attempt:
                self._threads.cancel(attempt)
                return False
            thread = self._thread
        await_import(thread, lambda: self._running != attempt)
        with self._lock:
            if self._running != attempt:
                return False
            interrupt(thread)
        end = time.monotonic() + GRACE
        while self._running == attempt and time.monotonic() < end:
            time.sleep(_LOOK)
        with self._lock:
            if self._running != attempt or not more:
                return False
            self._slot += 1
            self._running = None
            return True

    def _left(self, attempt: int) -> None:
        with self._lock:
            if self._running == attempt:
                self._running = None
