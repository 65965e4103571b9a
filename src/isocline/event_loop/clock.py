"""Clock: the time and its alarms, given to the live parts as an argument.

Live parts take a `Clock` in place of calling `time.monotonic()`, so that they can run on the time
of a simulated event loop, where an hour passes in a moment and nothing is ever late. Replacing the
functions of `time` for a whole process was rejected: it reaches every library in it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol, final

from isocline.event_loop.alarm import alarm


class Alarm(Protocol):
    """Calls back once, at the time it was last set to."""

    def set(self, when: float) -> None:
        """Ring at `when` (s of its clock; inf: never) in place of what was set before."""
        ...

    def close(self) -> None:
        """Never ring again."""
        ...


class Clock(Protocol):
    """A time that never goes back, and alarms on it."""

    def now(self) -> float:
        """The time, s from an arbitrary origin."""
        ...

    def alarm(self, ring: Callable[[], None]) -> Alarm:
        """An alarm on the running event loop that calls `ring`."""
        ...


@final
class SystemClock:
    """The monotonic clock of the machine, with the finest alarms that it has."""

    now = staticmethod(time.monotonic)

    def alarm(self, ring: Callable[[], None]) -> Alarm:
        return alarm(asyncio.get_running_loop(), ring)


SYSTEM_CLOCK: Final[Clock] = SystemClock()
