"""Main loop of the demo's child processes: it answers what the parent asks.

To it: what it shall be, once; then None as often as its parent wants a `Look`. From it: what its
parent must know to use it, then the looks. It ends with its parent, however that ends.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, NamedTuple, final

import uvloop

from isocline.event_loop.clock import SYSTEM_CLOCK, Clock
from isocline.subprocesses.framing import packed, received
from isocline.subprocesses.spawn import connection


class Work(NamedTuple):
    """Counts of a backend since its start."""

    jobs: int = 0  # held now
    completed: int = 0
    seconds: float = 0.0  # that completed jobs were there, their sum


class Look(NamedTuple):
    """Resources that a process has used since its start."""

    time: float  # s, monotonic
    cpu: float  # s
    rings: int  # of its alarm
    late: float  # s by which it rang late, their sum
    work: Work = Work()


Role = Callable[[Any], AbstractAsyncContextManager[tuple[object, Callable[[], Work]]]]
"""From what the parent told to what it is to be told, and what has been done at any time."""

_EVERY = 0.01  # s between two rings: 0.2 % of a core


@final
class Lateness:
    """How long this process keeps what is due waiting, seen by an alarm of its own."""

    def __init__(self, clock: Clock) -> None:
        """Make it on the running event loop."""
        self.rings = 0
        self.late = 0.0  # s
        self._now = clock.now
        self._alarm = clock.alarm(self._ring)
        self._set()

    def close(self) -> None:
        """Look no more."""
        self._alarm.close()

    def _ring(self) -> None:
        self.rings += 1
        self.late += max(self._now() - self._due, 0.0)
        self._set()

    def _set(self) -> None:
        self._due = self._now() + _EVERY
        self._alarm.set(self._due)


def serve(role: Role) -> None:
    """Be what the parent says, until it is gone."""
    uvloop.run(_serve(role))


async def _serve(role: Role) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=connection())
    async with role(await received(reader)) as (ready, work):
        lateness = Lateness(SYSTEM_CLOCK)
        writer.write(packed(ready))
        with suppress(EOFError, ConnectionError):
            while True:
                await received(reader)
                now, cpu = time.monotonic(), time.process_time()
                writer.write(packed(Look(now, cpu, lateness.rings, lateness.late, work())))
        lateness.close()
