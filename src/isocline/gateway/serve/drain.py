"""Drain of a router: from the first stop signal to the end of the process.

The router reports that it is draining and accepts requests for another `drain_delay` s, so that a
load balancer in front of it can notice; requests then in flight have `drain` s to finish. A second
signal aborts them.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, final

from isocline.gateway.serve.log import LOG
from isocline.structured_log import event

Stop = Callable[[float], Coroutine[Any, Any, None]]
"""Has requests in flight finish within so many s, then ends; a second call may shorten that."""


@final
class Drain:
    """Handler of stop signals: runs the drain, and cuts it short at the second signal."""

    def __init__(self) -> None:
        self._first, self._second = asyncio.Event(), asyncio.Event()

    def signalled(self) -> None:
        """Handle a stop signal."""
        (self._second if self._first.is_set() else self._first).set()

    async def requested(self) -> None:
        """Wait for the first stop signal."""
        await self._first.wait()

    async def run(self, stop: Stop, delay: float, grace: float) -> bool:
        """Stop what serves; returns False if a second signal aborted requests.

        Args:
            stop: Stops it.
            delay: Time for which the workers still accept requests, s.
            grace: Time that requests then in flight have to finish, s.
        """
        await self._go_on_for(delay)
        what = "stopping: requests in flight have %g s to finish; a second signal aborts them"
        LOG.info(what, grace, extra=event("stopping", seconds=grace))
        loop = asyncio.get_running_loop()
        stopping = loop.create_task(stop(grace))
        second = loop.create_task(self._second.wait())
        await asyncio.wait([stopping, second], return_when=asyncio.FIRST_COMPLETED)
        hurried = self._second.is_set()
        if hurried and not stopping.done():
            await stop(0.0)
        await stopping
        second.cancel()
        LOG.info("stopped", extra=event("stopped", hurried=hurried))
        return not hurried

    async def _go_on_for(self, seconds: float) -> None:
        """Keep serving for `seconds` s, or until a second signal."""
        if seconds:
            what = "draining: requests are accepted for %g s more; a second signal stops at once"
            LOG.info(what, seconds, extra=event("draining", seconds=seconds))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._second.wait(), seconds)
