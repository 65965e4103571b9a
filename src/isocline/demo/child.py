"""A process of the demo from inside: it answers what it is asked over its pipes, in pickles.

To it: what it shall be, once; then None as often as its parent wants a `Look`. From it: what its
parent must know to use it, then the looks. It ends with its standard input, and so with its parent,
however that ends.
"""

import asyncio
import pickle
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import IO, Any, NamedTuple, final

import uvloop

from isocline.clock import SYSTEM_CLOCK, Clock


class Work(NamedTuple):
    """What a backend has done since its start."""

    jobs: int = 0  # held now
    completed: int = 0
    seconds: float = 0.0  # that completed jobs were there, their sum


class Look(NamedTuple):
    """What a process says of itself, since its start."""

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
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    async with role(pickle.load(asked)) as (ready, work):
        lateness = Lateness(SYSTEM_CLOCK)

        def look() -> None:
            try:
                pickle.load(asked)
            except EOFError:
                over.set()
            else:
                now, cpu = time.monotonic(), time.process_time()
                send(answers, Look(now, cpu, lateness.rings, lateness.late, work()))

        loop.add_reader(asked.fileno(), look)
        send(answers, ready)
        await over.wait()
        loop.remove_reader(asked.fileno())
        lateness.close()


def send(pipe: IO[bytes], message: object) -> None:
    """Write one message."""
    pickle.dump(message, pipe)
    pipe.flush()
