"""The plane: start, changes and stop of a router whose requests Envoy carries.

As for the gateway (`gateway.serve.main`), SIGHUP or a change of the file has it read again, and
SIGTERM or SIGINT begins the drain. Prices go to Envoy through the mapped table alone; what else
changes goes through files that it watches (`configuration`).
"""

import asyncio
import math
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any, final

import uvloop

from isocline.errors import IsoclineError
from isocline.gateway.core.notices import Notice
from isocline.gateway.core.notices import log as log_notices
from isocline.gateway.discovery.discovery import Discovery
from isocline.gateway.file_stamps import KnownFiles
from isocline.gateway.serve.addresses import ListenAddress
from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.drain import Drain
from isocline.gateway.serve.from_file import SystemFile, opened, serving_of
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learned_curves_file import LearnedFile, known_curves
from isocline.gateway.serve.lifecycle import (
    FILE_PERIOD,
    Reloads,
    Tasks,
    allow_connections,
    handle_signals,
    regularly,
)
from isocline.gateway.serve.log import LOG
from isocline.gateway.serve.operations import came_and_left, log_notes, read_at_start, summary
from isocline.gateway.serve.ports import reserve
from isocline.model.endpoint import Found
from isocline.model.systemfile.serving import served
from isocline.planes.envoy.addresses import Address, resolved
from isocline.planes.envoy.admin import PlaneAdmin
from isocline.planes.envoy.admin_client import AdminClient, AdminError
from isocline.planes.envoy.binary import require_valid
from isocline.planes.envoy.bootstrap import Folder, complete
from isocline.planes.envoy.configuration import Configuration
from isocline.planes.envoy.core import PlaneCore, rehearse
from isocline.planes.envoy.health import Health
from isocline.planes.envoy.pricing import Pricing
from isocline.planes.envoy.process import EnvoyError, EnvoyProcess
from isocline.planes.envoy.statistics import Attempt, Checked, Event, Pipe
from isocline.planes.envoy.support import same_addresses
from isocline.structured_log import event

_NAMES_PERIOD = 5.0  # s between two look-ups of backends' names
_PRICES_PERIOD = 0.05  # s between two tables of prices: 0.1 ms each for 2 backends

Started = Callable[[Serving, Sequence[tuple[str, str, int]], ListenAddress | None, str], None]


def run(path: Path, overrides: Overrides, binary: Path, started: Started) -> None:
    """Serve until a signal ends the router.

    Args:
        path: System file.
        overrides: Settings of the command line, with `fit` of this plane.
        binary: Envoy's program.
        started: Called once requests are served.

    Raises:
        IsoclineError: It cannot start.
        KeyboardInterrupt: A second stop signal aborted requests.
    """
    file, serving, found = read_at_start(path, overrides)
    log_notes(serving)
    rehearse(serving)
    allow_connections()
    with tempfile.TemporaryDirectory(prefix="isocline-envoy-") as folder, ExitStack() as ports:
        listeners, kept = reserve(serving.proxy.listeners)
        ports.enter_context(kept)
        fixed = _Fixed(file, overrides, [it.port for it in listeners])
        place = Path(folder) / "files"
        place.mkdir(mode=0o700)
        pricing = Pricing(Folder(place).prices)
        missing = pricing.build(binary)
        if missing:
            LOG.warning("%s", missing, extra=event("module.missing", problem=missing))
        plane = _Plane(fixed, serving, found, binary, Folder(place), pricing)
        if not uvloop.run(plane.run(started)):
            raise KeyboardInterrupt


def check(path: Path, serving: Serving, found: Found, binary: Path) -> list[str]:
    """Check that Envoy can do what a file asks for, and build the module.

    Returns:
        What an operator should know, as `run` would log it.

    Raises:
        IsoclineError: Envoy cannot do it, or the program is no Envoy.
    """
    entries = served(opened(path).document, found)
    addresses, _ = resolved(serving.proxy.backends)
    same_addresses(entries, addresses)
    with tempfile.TemporaryDirectory(prefix="isocline-envoy-") as folder:
        place = Folder(Path(folder))
        serving = replace(serving, access_log=None)  # Envoy would make the file
        pricing = Pricing(place.prices)
        problem = pricing.build(binary)
        asyncio.run(require_valid(binary, complete(serving, place, pricing.balancing, addresses)))
    return [problem] if problem else []


def _about_prices(before: Serving, after: Serving) -> str:
    """Describe what a change that Envoy has no part in does to prices."""
    were, are = ({it.name: it.curve for it in each.system.backends} for each in (before, after))
    weighed = any(before.controls.of(it).weight != after.controls.of(it).weight for it in are)
    if weighed or before.policy != after.policy or (were != are and after.learning is None):
        return "prices alone have changed"
    return "no price has changed" + ", as curves are learned" * (were != are)


@final
class _Fixed:
    """What stays while the router runs: the file's path, the command line, the ports in use."""

    def __init__(self, file: SystemFile, overrides: Overrides, ports: Sequence[int]) -> None:
        self.file = file  # as last read with success
        self.overrides = overrides
        self._ports = ports

    def with_ports(self, serving: Serving) -> Serving:
        """Settings with the ports of the listeners, where the file says 0."""
        listeners = tuple(
            replace(it, port=port)
            for it, port in zip(serving.proxy.listeners, self._ports, strict=True)
        )
        return replace(serving, proxy=replace(serving.proxy, listeners=listeners))


@final
class _Plane:
    """One run of the plane."""

    def __init__(
        self,
        fixed: _Fixed,
        asked: Serving,
        found: Found,
        binary: Path,
        folder: Folder,
        pricing: Pricing,
    ) -> None:
        """Initialise; `asked` are the settings as the file has them, port 0 included."""
        serving = fixed.with_ports(asked)
        self._fixed, self._serving, self._binary, self._folder = fixed, serving, binary, folder
        self._asked = asked
        self._found = found
        self._files = KnownFiles(serving.sources)
        self._pricing = pricing
        self._core = self._make_core(serving, known_curves(serving))
        self._addresses: dict[str, Address] = {}
        self._frontends: dict[str, int] = {}
        self._backends: dict[str, int] = {}  # by address
        self._numbers: dict[str, int] = {}  # of backends, by name
        self._health = Health()
        self._learned_file = LearnedFile()
        self._reloads = Reloads()
        self._moved = False  # whether a backend has another address
        self._discovery = Discovery(self._reloads.others_changed, found)
        self._drain = Drain()
        client = AdminClient(folder.admin)
        # A listener that has changed keeps its connections as long as a request may last.
        longest = str(math.ceil(serving.proxy.times.total))
        options = ("--concurrency", str(serving.workers), "--drain-time-s", longest)
        self._envoy = EnvoyProcess(binary, folder.bootstrap, client, options)
        self._configuration = Configuration(folder, client)
        self._pipe: Pipe | None = None

    async def run(self, started: Started) -> bool:
        """Serve; returns False if a second signal aborted requests."""
        handle_signals(self._reloads.file_changed, self._drain.signalled)
        admin: PlaneAdmin | None = None
        try:
            await self._start()
            admin = await self._start_admin()
            listeners = [(it.name, it.host, it.port) for it in self._serving.proxy.listeners]
            address = admin.address if admin else None
            started(self._serving, listeners, address, f"Envoy, {self._pricing.says}")
            self._discovery.use(self._serving.discover, self._serving.path.parent)
            changes = Tasks(
                self._reloads.watch(self._files),
                self._reloads.carry_out(self._read_again, self._follow),
                regularly(lambda: FILE_PERIOD, self._reopen_log),
                regularly(lambda: _NAMES_PERIOD, self._look_up_again),
            )
            serves = Tasks(
                self._envoy.keep_running(self._lost),
                regularly(lambda: _PRICES_PERIOD, self._price),
                regularly(self._learning_period, self._write_learned),
            )
            await serves.until(changes.until(self._drain.requested()))
            changes.cancel()
            if admin is not None:
                admin.draining = True
            await self._discovery.close()
            await self._envoy.announce()
            serving = self._serving
            drained = await self._drain.run(self._end, serving.drain_delay, serving.drain)
            serves.cancel()
            await changes.ended()
            await serves.ended()
            await self._write_learned()
            return drained
        finally:
            await self._envoy.close()
            if admin is not None:
                await admin.close()
            if self._pipe is not None:
                self._pipe.close()
            self._pricing.close()

    # Start and stop

    async def _start(self) -> None:
        self._addresses = await self._look_up(self._serving)
        same_addresses(served(self._fixed.file.document, self._found), self._addresses)
        self._number()
        self._pricing.begin(self._core, self._addresses)
        try:
            self._pipe = Pipe(self._folder.events, self._heard)  # before Envoy makes a file of it
            await self._require_valid(self._serving, self._addresses)
            self._configuration.write(self._serving, self._pricing.balancing, self._addresses)
        except OSError as error:
            problem = error.strerror or error
            raise EnvoyError(f"{self._folder.path}: cannot be written: {problem}") from error
        await self._envoy.start()

    async def _start_admin(self) -> PlaneAdmin | None:
        if self._serving.admin is None:
            return None
        admin = PlaneAdmin(
            self._serving.admin,
            self._envoy.admin,
            self._statistics,
            lambda: self._core.not_ready,
        )
        await admin.start()
        return admin

    async def _end(self, grace: float) -> None:
        """End Envoy once requests under way have, or after `grace` s."""
        if grace:
            await self._envoy.drain(grace)
        else:
            await self._envoy.stop()

    # Attempts and prices

    def _heard(self, events: Sequence[Event]) -> None:
        attempts = [it for it in events if isinstance(it, Attempt)]
        for attempt in attempts:
            self._take(attempt)
        for checked in (it for it in events if isinstance(it, Checked)):
            self._take_health(checked)
        if attempts:
            self._core.look(attempts[-1].now)
        if self._noticed(self._core.take_notices()):
            self._pricing.write(self._core)
        elif attempts:
            self._pricing.correct(self._core)

    def _take(self, attempt: Attempt) -> None:
        frontend = self._frontends.get(attempt.frontend)
        backend = self._backends.get(attempt.address)
        if frontend is None or backend is None:
            return  # of before a reload
        if attempt.end is None:
            self._core.began(backend, attempt.now)
        else:
            self._core.ended(frontend, backend, attempt.now, attempt.sent, attempt.end)
        reports = self._serving.proxy.backends[backend].reports
        if attempt.load is not None and reports != "ignore":
            self._core.reported(backend, attempt.load, attempt.now, attempt.measured)

    def _take_health(self, checked: Checked) -> None:
        frontend = self._frontends.get(checked.frontend)
        backend = self._numbers.get(checked.backend)
        if frontend is None or backend is None:
            return  # of before a reload
        if self._core.has_edge(frontend, backend) and self._health.heard(checked):
            self._core.checked(backend, time(), up=checked.up)

    def _noticed(self, notices: Sequence[Notice]) -> bool:
        """Log notices of the core; returns whether there are any."""
        if notices:
            log_notices(notices, [it.name for it in self._serving.system.backends])
        return bool(notices)

    def _lost(self) -> None:
        if self._pipe is not None:
            self._pipe.lost()
        self._core.all_lost(time())

    async def _price(self) -> None:
        now = time()
        self._noticed(self._core.tick(now))
        self._core.look(now)
        self._pricing.write(self._core)

    def _learning_period(self) -> float:
        learning = self._serving.learning
        return learning.every if learning else FILE_PERIOD

    async def _write_learned(self) -> None:
        learned = self._core.learned()
        await self._learned_file.write(self._serving, [learned] if learned else [])

    def _statistics(self) -> dict[str, Any]:
        names = [backend.name for backend in self._serving.system.backends]
        curves = self._core.curves()
        return {
            "plane": "envoy",
            "policy": self._serving.policy,
            "decides": self._pricing.decides,
            "restarts": self._envoy.restarts,
            "backends": [
                {
                    "name": name,
                    "address": str(self._addresses.get(name, "")),
                    "in_flight": jobs,
                    "of_others": others,
                    **self._core.state(number),
                    "curve": curves[name],
                }
                for number, (name, jobs, others) in enumerate(
                    zip(names, self._core.workloads, self._core.of_others, strict=True)
                )
            ],
        }

    # Changes

    async def _reopen_log(self) -> None:
        """Have Envoy open the access log again if it was moved away."""
        log = self._serving.access_log
        if log not in (None, "-") and not await asyncio.to_thread(Path(log).exists):
            with suppress(AdminError):
                await self._envoy.admin.post("/reopen_logs")

    async def _look_up_again(self) -> None:
        """Look for other addresses of backends."""
        before = dict(self._addresses)
        addresses, _ = await asyncio.to_thread(resolved, self._serving.proxy.backends)
        if before | addresses != before:
            self._moved = True
            self._reloads.others_changed()

    async def _read_again(self) -> bool:
        return await self._done(self._serve_file())

    async def _follow(self) -> bool:
        if not self._moved and self._discovery.found == self._found:
            return True
        return await self._done(self._serve(self._fixed.file))

    async def _done(self, change: Coroutine[None, None, None]) -> bool:
        try:
            await change
        except AdminError as error:  # it is being started again, with the files as they are
            LOG.warning("%s; the change is made once Envoy serves", error)
            self._reloads.file_changed()
            await asyncio.sleep(FILE_PERIOD)
            return True
        except (IsoclineError, OSError) as error:
            fields = event("reload.failed", problem=str(error))
            LOG.error("reload failed, the settings stay in force: %s", error, extra=fields)
            return False
        return True

    async def _serve_file(self) -> None:
        file = await asyncio.to_thread(opened, self._serving.path)
        await self._serve(file)
        self._files.read(self._serving.sources)
        self._discovery.use(self._serving.discover, self._serving.path.parent)

    async def _serve(self, file: SystemFile) -> None:
        """Serve what a file says, with the endpoints discovered now; raises an IsoclineError."""
        before, found = self._serving, self._discovery.found
        self._moved = False
        asked = await asyncio.to_thread(serving_of, file, self._fixed.overrides, found)
        asked.require_reloadable(self._asked)
        entries = served(file.document, found)
        serving = self._fixed.with_ports(asked)
        addresses = await self._look_up(serving)
        same_addresses(entries, addresses)
        await self._require_valid(serving, addresses)
        was = self._addresses
        await self._adopt(serving, addresses)
        try:
            changed = await self._configuration.change(serving, self._pricing.balancing, addresses)
        except IsoclineError:
            await self._adopt(before, was)
            raise
        self._asked, self._fixed.file, self._found = asked, file, found
        how = "" if changed else f"; {_about_prices(before, serving)}"
        text = summary(serving) + came_and_left(serving, before) + how
        LOG.info("reloaded: %s", text, extra=event("reloaded", by=""))
        log_notes(serving, before)

    async def _adopt(self, serving: Serving, addresses: dict[str, Address]) -> None:
        """Price by other settings; attempts under way and what was learned go on."""
        # In a thread, as fitting many curves would delay the reading of attempts.
        core = await asyncio.to_thread(self._make_core, serving, self._core.learned())
        core.take_over(self._core, now := time())
        self._health.keep(serving)
        for number, backend in enumerate(serving.system.backends):
            if not self._health.is_up(backend.name):
                core.checked(number, now, up=False)
        self._serving, self._core, self._addresses = serving, core, addresses
        self._number()
        self._pricing.begin(core, addresses)

    def _make_core(self, serving: Serving, known: LearnedCurves | None) -> PlaneCore:
        return PlaneCore(serving, known, ejects=not self._pricing.balancing.ejects)

    async def _require_valid(self, serving: Serving, addresses: dict[str, Address]) -> None:
        made = complete(serving, self._folder, self._pricing.balancing, addresses)
        await require_valid(self._binary, made)

    async def _look_up(self, serving: Serving) -> dict[str, Address]:
        """Look backends up; one that has no address now keeps the one it had."""
        found, problems = await asyncio.to_thread(resolved, serving.proxy.backends)
        for name, problem in problems.items():
            fields = event("backend.unresolved", backend=name, problem=problem)
            LOG.warning("backend %s: %s", name, problem, extra=fields)
            if name in self._addresses:
                found[name] = self._addresses[name]
        return found

    def _number(self) -> None:
        system = self._serving.system
        self._frontends = {it.name: f for f, it in enumerate(system.frontends)}
        self._numbers = {it.name: b for b, it in enumerate(system.backends)}
        self._backends = {
            str(self._addresses[it.name]): b
            for b, it in enumerate(system.backends)
            if it.name in self._addresses
        }
