"""An event loop whose time jumps to the next timer as soon as there is nothing else to do.

What runs on it never waits and is never late, so durations can be asserted exactly, however busy
the machine is. Only what happens in this process counts: no sockets, no threads.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from isocline.clock import Alarm
from tests.live.memory_loop import MemoryLoop

T = TypeVar("T")
_BEGIN = 1000.0  # s: no code may take 0 for the time at which it begins
_MOST = 1e5  # s until a scenario is given up: it waits for what never happens


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = _BEGIN

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing is ever going to happen"
        self.now += timeout
        return []


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now


class VirtualLoop(MemoryLoop, _JumpingLoop):
    """Its network is memory."""


class LoopClock:
    """The time of the running event loop as an `isocline.clock.Clock`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return self._loop.time()

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which the loop does nothing, as where the machine is busy."""
        assert isinstance(self._loop, VirtualLoop)
        self._loop.jumping.now += seconds

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

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(bounded())
    assert wrong == []
    return result
