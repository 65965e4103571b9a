"""The virtual time of a `MemoryLoop` as a clock: nothing waits, and nothing is ever late.

Durations can be asserted exactly on it, however busy the machine is. Only what happens in this
process counts: no sockets, no threads.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from isocline.event_loop.clock import Alarm
from tests.live.memory_loop import MemoryLoop, memory_loop

T = TypeVar("T")
_MOST = 1e5  # s until a scenario is given up: it waits for what never happens


class LoopClock:
    """The time of the running event loop as an `isocline.event_loop.clock.Clock`."""

    def __init__(self) -> None:
        self._loop = memory_loop()

    def now(self) -> float:
        return self._loop.time()

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which the loop does nothing, as where the machine is busy."""
        self._loop.stand_still(seconds)

    def alarm(self, ring: Callable[[], None]) -> Alarm:
        return _LoopAlarm(self._loop, ring)


class _LoopAlarm:
    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop, self._ring = loop, ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        self.close()
        if when < float("inf"):
            self._handle = self._loop.call_at(when, self._ring)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def run_virtually(scenario: Coroutine[Any, Any, T]) -> T:
    """What it returns, on a loop of its own; no exception may end in the loop."""
    wrong: list[dict[str, Any]] = []

    async def bounded() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with asyncio.timeout(_MOST):
            return await scenario

    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        result = runner.run(bounded())
    assert wrong == []
    return result
