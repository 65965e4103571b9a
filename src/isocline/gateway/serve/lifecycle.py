"""Life of a router beside its requests: signals, open files, reloads on request, background tasks.

For the router's own data plane (`main`) and for those of others (`isocline.planes`).
"""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, final

from isocline.gateway.file_stamps import KnownFiles
from isocline.gateway.serve.log import LOG
from isocline.structured_log import event

FILE_PERIOD = 1.0
"""s between two checks for changed files."""

Change = Callable[[], Awaitable[bool]]
"""Makes a change, and returns whether that has succeeded."""


def allow_connections() -> None:
    """Raise the limit on open files as far as allowed; each exchange needs two descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def handle_signals(reload: Callable[[], None], stop: Callable[[], None]) -> None:
    """Have SIGHUP reload, and SIGTERM and SIGINT stop; within an event loop."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


@final
class Reloads:
    """Reloads on request, one after the other.

    A change of discovered endpoints reloads the contents read last, so that a file being edited
    does not keep backends from joining or leaving.
    """

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._reread = False  # whether the next one reads the file, besides discovered endpoints

    def file_changed(self) -> None:
        """Request a reload that reads the file again."""
        self._reread = True
        self._asked.set()

    def others_changed(self) -> None:
        """Request a reload of what was read last, as other things have changed."""
        self._asked.set()

    async def watch(self, files: KnownFiles) -> None:
        """Request a reload whenever files have changed, and log which can no longer be read."""
        while True:
            await asyncio.sleep(FILE_PERIOD)
            if await asyncio.to_thread(files.changed):
                self.file_changed()
            for path in files.lost():
                LOG.warning(
                    "%s can no longer be read; what was read stays in force, and the file is read "
                    "again once it is back and has changed",
                    path,
                    extra=event("file.lost", file=str(path)),
                )

    async def carry_out(self, read_again: Change, follow: Change) -> None:
        """Reload on request: read the file again, or else follow what else has changed."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            rereads, self._reread = self._reread, False
            if not (rereads and await read_again()):
                await follow()


async def regularly(period: Callable[[], float], action: Callable[[], Awaitable[None]]) -> None:
    """Call an action again and again, with pauses of `period()` s."""
    while True:
        await asyncio.sleep(period())
        await action()


@final
class Tasks:
    """Background tasks, which end only when they are cancelled."""

    def __init__(self, *coroutines: Coroutine[Any, Any, None]) -> None:
        """Start them in the running event loop."""
        self._tasks = [asyncio.create_task(each) for each in coroutines]

    async def until(self, stop: Coroutine[Any, Any, None]) -> None:
        """Wait for `stop`, or for a task that has ended, as only a defect makes one."""
        stopping = asyncio.create_task(stop)
        await asyncio.wait([stopping, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    def cancel(self) -> None:
        """Ask all of them to end."""
        for task in self._tasks:
            task.cancel()

    async def ended(self) -> None:
        """Wait until all have ended; raises the defect of one that has failed."""
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
