"""Life of a router: start, reload and stop, and the signals that ask for them.

SIGHUP, or a change of the file or of one that it points to, reads it again. After the first SIGTERM
or SIGINT the router says that it is draining, takes requests for `drain_delay` s more, and lets
those under way end; a second signal ends them at once.
"""

import asyncio
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import final

import uvloop

from isocline.errors import IsoclineError
from isocline.gateway.metrics.admin_server import AdminServer
from isocline.gateway.serve.addresses import ListenAddress
from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.file_stamps import KnownFiles
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.learned_curves_file import LearnedFile, known_curves
from isocline.gateway.serve.log import LOG, log_to_stderr
from isocline.gateway.serve.single_worker import Address, SingleWorker, Workers
from isocline.gateway.serve.worker_pool import WorkerPool
from isocline.plural import counted

_FILE_PERIOD = 1.0  # s between two checks whether a file has changed

Started = Callable[[Serving, Sequence[Address], ListenAddress | None], None]
"""Called with the settings, the listeners' addresses and the admin listener's address."""


def run(path: Path, overrides: Overrides, started: Started) -> None:
    """Serve until a signal ends the router.

    Raises:
        IsoclineError: It cannot start.
        KeyboardInterrupt: A second signal to stop has broken off requests.
    """
    log_to_stderr()
    serving = read(path, overrides)
    _allow_connections()
    if not uvloop.run(_Service(path, overrides, serving).run(started)):
        raise KeyboardInterrupt


@final
class _Service:
    """One run of a router."""

    def __init__(self, path: Path, overrides: Overrides, serving: Serving) -> None:
        self._path = path
        self._overrides = overrides
        self._serving = serving
        self._files = KnownFiles(serving.sources)
        self._learned_file = LearnedFile()
        known = known_curves(serving)
        make = SingleWorker if serving.workers == 1 else WorkerPool
        self._workers: Workers = make(serving, known)
        self._reload = asyncio.Event()
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    async def run(self, started: Started) -> bool:
        """Serve; returns False if a second signal broke off requests."""
        self._handle_signals()
        addresses = await self._workers.start()
        admin = await self._start_admin()
        started(self._serving, addresses, admin[1] if admin else None)
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(each)
            for each in (
                self._watch_files(),
                self._reload_on_request(),
                self._write_learned_curves(),
            )
        ]
        stop = loop.create_task(self._stop.wait())
        await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        if admin:
            admin[0].draining = True
        drained = await self._drain()
        await self._learned_file.write(self._serving, await self._workers.learned())
        if admin:
            await admin[0].close()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome  # a defect of ours
        return drained

    async def _drain(self) -> bool:
        """Stop the workers; returns False if a second signal broke off requests."""
        await self._delay(self._serving.drain_delay)
        grace = self._serving.drain
        LOG.info("stopping: requests under way have %g s; a second signal ends them", grace)
        loop = asyncio.get_running_loop()
        stopping = loop.create_task(self._workers.stop(grace))
        hurry = loop.create_task(self._hurry.wait())
        await asyncio.wait([stopping, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurried = self._hurry.is_set()
        if hurried and not stopping.done():
            await self._workers.stop(0.0)
        await stopping
        hurry.cancel()
        LOG.info("stopped")
        return not hurried

    async def _delay(self, seconds: float) -> None:
        """Go on serving for `seconds`, or until a second signal."""
        if seconds:
            what = "draining: requests are taken for %g s more; a second signal ends all at once"
            LOG.info(what, seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), seconds)

    async def _start_admin(self) -> tuple[AdminServer, ListenAddress] | None:
        address = self._serving.admin
        if address is None:
            return None
        admin = AdminServer(address.host, address.port, self._workers.snapshots)
        try:
            await admin.start()
        except IsoclineError:
            await self._workers.stop(0.0)
            raise
        return admin, ListenAddress(address.host, admin.port)

    # Signals and reloads

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)

    def _on_stop_signal(self) -> None:
        (self._hurry if self._stop.is_set() else self._stop).set()

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(_FILE_PERIOD)
            if await asyncio.to_thread(self._files.changed):
                self._reload.set()

    async def _reload_on_request(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                # Reading takes longer than a request may be held up.
                serving = await asyncio.to_thread(read, self._path, self._overrides)
                serving.require_reloadable(self._serving)
                await self._workers.reload(serving)
            except IsoclineError as error:
                LOG.error("not reloaded, the settings stay as they were: %s", error)
                continue
            self._serving = serving
            self._files.read(serving.sources)
            LOG.info("reloaded: %s", summary(serving))

    async def _write_learned_curves(self) -> None:
        while True:
            learning = self._serving.learning
            await asyncio.sleep(learning.every if learning else _FILE_PERIOD)
            await self._learned_file.write(self._serving, await self._workers.learned())


def summary(serving: Serving) -> str:
    """Size and policy of a router, in a line."""
    system = serving.system
    frontends = counted(len(system.frontends), "frontend")
    backends = counted(len(system.backends), "backend")
    learned = ", curves learned" if serving.learning else ""
    return f"{frontends}, {backends}, policy {serving.policy}{learned}"


def _allow_connections() -> None:
    """Raise the limit on descriptors as far as allowed: a connection takes one on each side."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
