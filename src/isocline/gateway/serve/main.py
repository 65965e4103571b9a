"""Life of a router: start, reload and stop, with their signals.

SIGHUP, or a change of the system file or of a file it points to, reloads it. A change of discovered
endpoints is also a reload, but of the contents read last, so that a file being edited does not keep
backends from joining or leaving. SIGTERM or SIGINT begins the drain (`drain`).
"""

import asyncio
import resource
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import final

import uvloop

from isocline.errors import IsoclineError
from isocline.gateway.discovery.discovery import Discovery
from isocline.gateway.metrics.admin_server import AdminServer
from isocline.gateway.metrics.live_page import Event, LivePage
from isocline.gateway.serve.addresses import ListenAddress
from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.control_calls import ControlCalls
from isocline.gateway.serve.discovery_calls import DiscoveryCalls
from isocline.gateway.serve.drain import Drain
from isocline.gateway.serve.from_file import SystemFile
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learned_curves_file import known_curves
from isocline.gateway.serve.log import LOG
from isocline.gateway.serve.operations import Operations, log_notes, read_at_start
from isocline.gateway.serve.single_worker import Address, SingleWorker, Workers
from isocline.gateway.serve.worker_pool import WorkerPool
from isocline.model.endpoint import Found
from isocline.structured_log import event

_FILE_PERIOD = 1.0  # s between two checks for changed files

Started = Callable[[Serving, Sequence[Address], ListenAddress | None], None]
"""Called with the settings, the addresses of the listeners and that of the admin listener."""
Crew = Callable[[Serving, LearnedCurves | None], Workers]
"""Makes the workers of a data plane; raises an IsoclineError if it cannot use the settings."""


def _crew(serving: Serving, known: LearnedCurves | None) -> Workers:
    """Make the workers of the router's own data plane."""
    return (SingleWorker if serving.workers == 1 else WorkerPool)(serving, known)


def run(path: Path, overrides: Overrides, started: Started, crew: Crew = _crew) -> None:
    """Serve until a signal ends the router; `crew` is that of its data plane.

    Raises:
        IsoclineError: The router cannot start.
        KeyboardInterrupt: A second stop signal aborted requests.
    """
    file, serving, found = read_at_start(path, overrides)
    log_notes(serving)
    _allow_connections()
    if not uvloop.run(_Service(file, overrides, serving, found, crew).run(started)):
        raise KeyboardInterrupt


@final
class _Service:
    """One run of a router."""

    def __init__(
        self, file: SystemFile, overrides: Overrides, serving: Serving, found: Found, crew: Crew
    ) -> None:
        self._workers: Workers = crew(serving, known_curves(serving))
        self._reload = asyncio.Event()
        self._reread = False  # whether the next reload reads the file, besides discovered endpoints
        self._discovery = Discovery(self._reload.set, found)
        self._operations = Operations(
            file, overrides, serving, self._workers, self._discovery, self._show
        )
        self._drain = Drain()
        self._page: LivePage | None = None

    async def run(self, started: Started) -> bool:
        """Serve; returns False if a second signal aborted requests."""
        self._handle_signals()
        addresses = await self._workers.start()
        admin = await self._start_admin()
        started(self._operations.serving, addresses, admin[1] if admin else None)
        self._operations.discover()
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(each)
            for each in (
                self._watch_files(),
                self._reload_on_request(),
                self._write_learned_curves(),
            )
        ]
        stop = loop.create_task(self._drain.requested())
        await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        self._operations.stopping = True
        await self._discovery.close()
        if admin:
            admin[0].draining = True
        serving = self._operations.serving
        drained = await self._drain.run(self._workers, serving.drain_delay, serving.drain)
        await self._operations.write_learned()
        if admin:
            await admin[0].close()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome  # a defect of ours
        return drained

    async def _start_admin(self) -> tuple[AdminServer, ListenAddress] | None:
        address = self._operations.serving.admin
        if address is None:
            return None
        controls = ControlCalls(self._operations)
        routes = [*controls.routes(), *DiscoveryCalls(self._discovery, controls).routes()]
        admin = AdminServer(address.host, address.port, self._operations.snapshots, routes=routes)
        try:
            await admin.start()
        except IsoclineError:
            await self._workers.stop(0.0)
            raise
        self._page = admin.live_page
        return admin, ListenAddress(address.host, admin.port)

    # Signals and reloads

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._file_changed)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain.signalled)

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(_FILE_PERIOD)
            if await asyncio.to_thread(self._operations.files.changed):
                self._file_changed()

    def _file_changed(self) -> None:
        self._reread = True
        self._reload.set()

    async def _reload_on_request(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            rereads, self._reread = self._reread, False
            if rereads and await self._done(self._operations.reload()):
                continue
            await self._done(self._operations.follow())

    async def _done(self, change: Coroutine[None, None, object]) -> bool:
        """Await a reload; returns whether it succeeded. A failure is logged."""
        try:
            await change
        except IsoclineError as error:
            fields = event("reload.failed", problem=str(error))
            LOG.error("reload failed, the settings stay in force: %s", error, extra=fields)
            self._show(Event("reload", "", f"failed, the settings stay in force: {error}", "bad"))
            return False
        return True

    def _show(self, event: Event) -> None:
        """Show an event on the live page, if there is one."""
        if self._page is not None:
            self._page.note(event)

    async def _write_learned_curves(self) -> None:
        while True:
            learning = self._operations.serving.learning
            await asyncio.sleep(learning.every if learning else _FILE_PERIOD)
            await self._operations.write_learned()


def _allow_connections() -> None:
    """Raise the limit on open files as far as allowed; each exchange needs two descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
