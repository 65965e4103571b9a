"""Main loop of the demo's child processes.

The parent sends the child its role, once, then None whenever it wants a `ResourceSample`; the child
sends what its parent needs to use it, then the samples. It ends with its parent, however that ends.
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


class JobCounts(NamedTuple):
    """Counts of a backend since its start."""

    jobs: int = 0  # held now
    completed: int = 0
    seconds: float = 0.0  # that completed jobs were there, their sum


class ResourceSample(NamedTuple):
    """Resources that a process has used since its start."""

    time: float  # s, monotonic
    cpu: float  # s
    alarms: int  # of `Lateness`
    late: float  # s by which they were late, their sum
    work: JobCounts = JobCounts()


Role = Callable[[Any], AbstractAsyncContextManager[tuple[object, Callable[[], JobCounts]]]]
"""From the parent's message to the reply, and to the counts at any time."""

_EVERY = 0.01  # s between two alarms: 0.2 % of a core


@final
class Lateness:
    """Delay with which this process runs what is due, measured by an alarm of its own."""

    def __init__(self, clock: Clock) -> None:
        """Make it on the running event loop."""
        self.alarms = 0
        self.late = 0.0  # s
        self._now = clock.now
        self._alarm = clock.alarm(self._ring)
        self._set()

    def close(self) -> None:
        """Stop measuring."""
        self._alarm.close()

    def _ring(self) -> None:
        self.alarms += 1
        self.late += max(self._now() - self._due, 0.0)
        self._set()

    def _set(self) -> None:
        self._due = self._now() + _EVERY
        self._alarm.set(self._due)


def serve(role: Role) -> None:
    """Play the role that the parent gives, until it is gone."""
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
                writer.write(
                    packed(ResourceSample(now, cpu, lateness.alarms, lateness.late, work()))
                )
        lateness.close()
