"""One alarm on an event loop, to a tenth of a millisecond where the system has timerfd (Linux).

The timers of uvloop, and of asyncio over epoll, count whole milliseconds. That is a tenth of the
service times that are emulated here, and as much again where latencies are measured. Times are
those of `time.monotonic()`: `loop.time()` of uvloop counts whole milliseconds, too.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import ClassVar, final

_MONOTONIC, _ABSOLUTE = 1, 1  # CLOCK_MONOTONIC and TFD_TIMER_ABSTIME, linux/time.h and timerfd.h
_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)  # what TFD_NONBLOCK, TFD_CLOEXEC stand for
_NEVER = float("inf")


@final
class _Itimerspec(ctypes.Structure):
    """struct itimerspec: an interval, not used, and a time."""

    _fields_: ClassVar = [
        ("interval_sec", ctypes.c_long),
        ("interval_nsec", ctypes.c_long),
        ("sec", ctypes.c_long),
        ("nsec", ctypes.c_long),
    ]


class CoarseAlarm:
    """An alarm on the event loop's own timer, up to a millisecond late."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._when = _NEVER
        self._closed = False
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        """Ring at `when` (s, monotonic; inf: never) in place of what was set before."""
        if when != self._when and not self._closed:
            self._when = when
            self._arm(when)

    def close(self) -> None:
        """Never ring again."""
        self.set(_NEVER)
        self._closed = True

    def _arm(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if when < _NEVER:
            # uvloop rounds to the nearest millisecond; an early alarm would be set again at once.
            delay = max(when - time.monotonic(), 0.0) + 0.0005
            self._handle = self._loop.call_later(delay, self._now)

    def _now(self) -> None:
        self._when = _NEVER
        self._ring()


@final
class FineAlarm(CoarseAlarm):
    """An alarm whose time the kernel keeps, in nanoseconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        super().__init__(loop, ring)
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._spec = _Itimerspec()
        self._pointer = ctypes.byref(self._spec)
        self._file = libc.timerfd_create(_MONOTONIC, _FLAGS)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "no timer can be made")
        loop.add_reader(self._file, self._readable)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._file)
            os.close(self._file)

    def _arm(self, when: float) -> None:
        if when < _NEVER:
            nanoseconds = max(int(when * 1e9), 1)  # 0 would disarm
            self._spec.sec, self._spec.nsec = divmod(nanoseconds, 1_000_000_000)
        else:
            self._spec.sec = self._spec.nsec = 0
        self._settime(self._file, _ABSOLUTE, self._pointer, None)

    def _readable(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:  # set anew since the loop looked
            return
        self._now()


def alarm(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> CoarseAlarm:
    """The finest alarm that the system has."""
    return FineAlarm(loop, ring) if sys.platform == "linux" else CoarseAlarm(loop, ring)
