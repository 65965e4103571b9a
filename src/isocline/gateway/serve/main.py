"""Life of a router: start, reload and stop, with their signals.

SIGHUP, or a change of the system file or of a file it points to, reloads it. A change of discovered
endpoints is also a reload, but of the contents read last, so that a file being edited does not keep
backends from joining or leaving. SIGTERM or SIGINT begins the drain (`drain`).
"""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import final

import uvloop

from isocline.errors import IsoclineError
from isocline.gateway.discovery.discovery import Discovery
from isocline.gateway.metrics.admin_server import AdminServer
from isocline.gateway.metrics.live_page import Event, LivePage
from isocline.gateway.serve.addresses import ListenAddress
from isocline.gateway.serve.compiled_apart import compile_apart
from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.control_calls import ControlCalls
from isocline.gateway.serve.discovery_calls import DiscoveryCalls
from isocline.gateway.serve.drain import Drain
from isocline.gateway.serve.from_file import SystemFile
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learned_curves_file import known_curves
from isocline.gateway.serve.lifecycle import (
    FILE_PERIOD,
    Reloads,
    Tasks,
    allow_connections,
    handle_signals,
    regularly,
)
from isocline.gateway.serve.log import LOG
from isocline.gateway.serve.operations import Operations, log_notes, read_at_start
from isocline.gateway.serve.single_worker import Address, SingleWorker, Workers
from isocline.gateway.serve.worker_core import has_own_policy, warm
from isocline.gateway.serve.worker_pool import WorkerPool
from isocline.model.endpoint import Found
from isocline.structured_log import event

Started = Callable[[Serving, Sequence[Address], ListenAddress | None], None]
"""Called with the settings, the addresses of the listeners and that of the admin listener."""
Crew = Callable[[Serving, LearnedCurves | None], Workers]
"""Makes the workers of a data plane; raises an IsoclineError if it cannot use the settings."""


def _crew(serving: Serving, known: LearnedCurves | None) -> Workers:
    """Make the workers of the router's own data plane, before the event loop starts."""
    if serving.workers == 1:
        return SingleWorker(serving, known)
    pool = WorkerPool(serving, known)
    pool.fork()
    return pool


def run(path: Path, overrides: Overrides, started: Started, crew: Crew = _crew) -> None:
    """Serve until a signal ends the router; `crew` is that of its data plane.

    Raises:
        IsoclineError: The router cannot start.
        KeyboardInterrupt: A second stop signal aborted requests.
    """
    file, serving, found = read_at_start(path, overrides)
    log_notes(serving)
    allow_connections()
    if not has_own_policy(serving):  # its code is kept by no process
        compile_apart(lambda: warm(serving))
    if not uvloop.run(_Service(file, overrides, serving, found, crew).run(started)):
        raise KeyboardInterrupt


@final
class _Service:
    """One run of a router."""

    def __init__(
        self, file: SystemFile, overrides: Overrides, serving: Serving, found: Found, crew: Crew
    ) -> None:
        self._workers: Workers = crew(serving, known_curves(serving))
        self._reloads = Reloads()
        self._discovery = Discovery(self._reloads.others_changed, found)
        self._operations = Operations(
            file, overrides, serving, self._workers, self._discovery, self._show
        )
        self._drain = Drain()
        self._page: LivePage | None = None

    async def run(self, started: Started) -> bool:
        """Serve; returns False if a second signal aborted requests."""
        handle_signals(self._reloads.file_changed, self._drain.signalled)
        addresses = await self._workers.start()
        admin = await self._start_admin()
        started(self._operations.serving, addresses, admin[1] if admin else None)
        operations = self._operations
        operations.discover()
        tasks = Tasks(
            self._reloads.watch(operations.files),
            self._reloads.carry_out(
                lambda: self._done(operations.reload()), lambda: self._done(operations.follow())
            ),
            regularly(self._learning_period, operations.write_learned),
        )
        await tasks.until(self._drain.requested())
        tasks.cancel()
        operations.stopping = True
        await self._discovery.close()
        if admin:
            admin[0].draining = True
        serving = operations.serving
        drained = await self._drain.run(self._workers.stop, serving.drain_delay, serving.drain)
        await operations.write_learned()
        if admin:
            await admin[0].close()
        await tasks.ended()
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

    def _learning_period(self) -> float:
        learning = self._operations.serving.learning
        return learning.every if learning else FILE_PERIOD
