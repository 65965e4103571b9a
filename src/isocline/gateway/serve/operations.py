"""Changes of a running router, one after the other: reloads, and controls by operators."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any, NamedTuple, final

from isocline.errors import IsoclineError
from isocline.gateway.discovery.discovery import Discovery, look_once
from isocline.gateway.file_stamps import KnownFiles
from isocline.gateway.metrics import Snapshot
from isocline.gateway.metrics.live_page import Event
from isocline.gateway.metrics.snapshot import merged
from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.controls import CONTROL_OF, BackendControl, ControlName, differences
from isocline.gateway.serve.from_file import SystemFile, opened, serving_of
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learned_curves_file import LearnedFile
from isocline.gateway.serve.learning import combined
from isocline.gateway.serve.log import LOG, log_to_stderr
from isocline.gateway.serve.single_worker import Workers
from isocline.gateway.serve.worker_core import idle_weights, make_core
from isocline.model.endpoint import Found
from isocline.plural import counted
from isocline.structured_log import event

_FEW = 8  # most names in a line of the log


class ConflictError(IsoclineError):
    """A change conflicts with the present state of the router."""


class Controlled(NamedTuple):
    """Result of a control call."""

    changed: dict[str, tuple[Any, Any]]  # values before and after, by field
    workers: int  # workers that have applied it
    notes: list[str]  # remarks for the operator


@final
class Operations:
    """Runs all changes of one router.

    Attributes:
        serving: Settings in force.
        workers: Workers that serve.
        files: Files from which the settings were read.
        stopping: Whether the router is about to stop; all changes are then refused.
    """

    def __init__(
        self,
        file: SystemFile,
        overrides: Overrides,
        serving: Serving,
        workers: Workers,
        discovery: Discovery,
        show: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """Initialise; `show` takes events for the live page."""
        self.serving = serving
        self.workers = workers
        self.files = KnownFiles(serving.sources)
        self.stopping = False
        self._file = file  # the one in force
        self._discovery = discovery
        self._show = show
        self._found = discovery.found  # the endpoints being served
        self._overrides = overrides
        self._learned_file = LearnedFile()
        self._changing = asyncio.Lock()
        self._counts: dict[str, dict[str, int]] = {}
        self._reloads = Snapshot()  # counts of reloads and of control calls

    def discover(self) -> None:
        """Run the discovery sources of the settings in force."""
        self._discovery.use(self.serving.discover, self.serving.path.parent)

    async def reload(self, by: str = "") -> Serving:
        """Read the file again; returns the settings, which are then in force.

        Raises:
            IsoclineError: The settings cannot be used; nothing has changed.
        """
        async with self._changing:
            self._require_running()
            try:
                # In a thread, as reading would delay requests.
                file = await asyncio.to_thread(opened, self.serving.path)
                await self._serve(file, by)
            except IsoclineError:
                self._count_reload(refused=True)
                raise
            self._count_reload(refused=False)
            self.files.read(self.serving.sources)
            self.discover()
            if by:
                self.count("reload", by)
            return self.serving

    async def follow(self) -> None:
        """Serve the endpoints discovered now, by the contents of the file read last.

        Raises:
            IsoclineError: The backends cannot be used; nothing has changed.
        """
        async with self._changing:
            self._require_running()
            if self._discovery.found != self._found:
                await self._serve(self._file)

    async def _serve(self, file: SystemFile, by: str = "") -> None:
        before, found = self.serving, self._discovery.found
        serving = await asyncio.to_thread(serving_of, file, self._overrides, found)
        serving.require_reloadable(before)
        allowed = serving.control.allowed if serving.control else ()
        controls, notes = before.controls.reloaded(serving.controls.given, allowed)
        serving = replace(serving, controls=controls)
        if controls.changes:  # the new policy must accept the operators' changes
            await asyncio.to_thread(make_core, serving)
        await self.workers.reload(serving)
        self.serving, self._file, self._found = serving, file, found
        changes = came_and_left(serving, before)
        who = f" by {by}" if by else ""
        LOG.info("reloaded%s: %s%s", who, summary(serving), changes, extra=event("reloaded", by=by))
        self._show(Event("reload", "", summary(serving) + changes, "ok"))
        for note in notes:
            LOG.warning("%s", note, extra=event("note"))
        log_notes(serving, before)

    async def control(
        self, name: str, values: Mapping[str, Any], by: str, *, force: bool = False
    ) -> Controlled:
        """Change controls of a backend.

        Args:
            name: Name of the backend.
            values: Values by field of `BackendControl`; None: the file's value.
            by: Name of the operator's key.
            force: Drain the backend even if it is the last in service of a frontend.

        Raises:
            ConflictError: A frontend would be left without a backend, no curve is learned that
                could be frozen, or the router is stopping.
            IsoclineError: The policy cannot use a weight.
        """
        async with self._changing:
            self._require_running()
            before = self.serving.controls
            after = before.changed(name, values, by, time())
            changed = differences(before.of(name), after.of(name))
            serving = replace(self.serving, controls=after)
            if "frozen" in changed and serving.learning is None:
                raise ConflictError("curves are as the file gives them; none is learned")
            if changed.get("draining") == (False, True) and not force:
                await self._require_others(name)
            note = ""
            if "weight" in changed:  # raises before anything is changed
                note = idle_weights(serving, await asyncio.to_thread(make_core, serving))
            workers = await self.workers.control(serving)
            self.serving = serving
            for what, (was, now) in changed.items():
                self.count(CONTROL_OF[what], by)
                fields = event("backend.controlled", backend=name, control=what, value=now, by=by)
                LOG.info("backend %s: %s %s -> %s, by %s", name, what, was, now, by, extra=fields)
                self._show(Event("control", name, f"{what} {was} -> {now}, by {by}", "idle"))
            return Controlled(changed, workers, [note] if note else [])

    async def forget(self, name: str, by: str) -> str:
        """Discard the learned curve of a backend.

        Returns:
            What happens to its curve from now on, in words.

        Raises:
            ConflictError: Curves are not learned, or the router is stopping.
        """
        async with self._changing:
            self._require_running()
            if self.serving.learning is None:
                raise ConflictError("curves are as the file gives them; none is learned")
            await self.workers.reload(self.serving, [name])
            await self._write_learned()
            self.count("curves", by)
            fields = event("backend.curve_reset", backend=name, by=by)
            said = "its curve is learned anew"
            if self.serving.controls.of(name).frozen:
                said = "what was learned is forgotten; it is frozen, so that nothing new is learned"
            LOG.info("backend %s: %s, by %s", name, said, by, extra=fields)
            return said

    async def write_learned(self) -> None:
        """Write the file of learned curves, if there is one."""
        async with self._changing:
            await self._write_learned()

    async def learned(self) -> LearnedCurves | None:
        """Return the combined curves of all workers; None if curves are not learned."""
        parts = await self.workers.learned()
        return await asyncio.to_thread(combined, self.serving, parts)

    async def snapshots(self) -> list[Snapshot]:
        """Return the snapshots of all workers, and one with the counts of reloads and controls."""
        changes = {control: dict(by) for control, by in self._counts.items()}
        own = replace(self._reloads, control_changes=changes)
        return [own, *await self.workers.snapshots()]  # merged, the policy is that of the last

    def count(self, control: ControlName, by: str) -> None:
        """Count a control call that changed something, by the name of its key."""
        counts = self._counts.setdefault(control, {})
        counts[by] = counts.get(by, 0) + 1

    async def _write_learned(self) -> None:
        await self._learned_file.write(self.serving, await self.workers.learned())

    async def _require_others(self, name: str) -> None:
        """Raise ConflictError if a backend is a frontend's last one in service."""
        system, controls = self.serving.system, self.serving.controls
        seen = merged(await self.workers.snapshots()).backends
        names = [backend.name for backend in system.backends]
        serving = {
            it
            for it in names
            if it != name
            and not controls.of(it).draining
            and (it not in seen or (live := seen[it].live) is None or live.up)
        }
        for f, frontend in enumerate(system.frontends):
            own = {names[b] for b in system.graph.neighbours(f).tolist()}
            if name in own and not own & serving:
                raise ConflictError(
                    f"frontend {frontend.name} has no other backend in service; "
                    'give "force": true, or --force, to drain this one anyway'
                )

    def _require_running(self) -> None:
        if self.stopping:
            raise ConflictError("the router is stopping")

    def _count_reload(self, *, refused: bool) -> None:
        self._reloads = Snapshot(
            reloads=self._reloads.reloads + 1,
            reloads_refused=self._reloads.reloads_refused + refused,
            last_reload_refused=int(refused),
        )


def in_file(serving: Serving, name: str) -> BackendControl:
    """Controls of a backend according to the file."""
    return serving.controls.given.get(name, BackendControl())


def summary(serving: Serving) -> str:
    """Size and policy of a router, in one line."""
    system = serving.system
    frontends = counted(len(system.frontends), "frontend")
    backends = counted(len(system.backends), "backend")
    learned = ", curves learned" if serving.learning else ""
    return f"{frontends}, {backends}, policy {serving.policy}{learned}"


def came_and_left(serving: Serving, before: Serving) -> str:
    """Description of the backends that a reload added and removed; empty if there are none."""
    now, then = ({it.name for it in each.system.backends} for each in (serving, before))
    return "".join(
        f"; {len(names)} {what} ({_few(names)})"
        for what, names in (("came", now - then), ("left", then - now))
        if names
    )


def _few(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:_FEW]) + (", ..." if len(names) > _FEW else "")


def read_at_start(path: Path, overrides: Overrides) -> tuple[SystemFile, Serving, Found]:
    """Read a system file and look once for the backends to discover, and log what is amiss.

    Raises:
        IsoclineError: The file cannot be used.
    """
    log_to_stderr(overrides.log_format or "text")
    file = opened(path)
    serving = serving_of(file, overrides)
    log_to_stderr(serving.log_format)
    found: Found = {}
    if serving.discover:
        found, problems = look_once(serving.discover, path.parent)
        for name, problem in problems.items():
            fields = event("discovery.failed", source=name, problem=problem)
            LOG.warning("discover %s: %s", name, problem, extra=fields)
        serving = serving_of(file, overrides, found)
    return file, serving, found


def log_notes(serving: Serving, before: Serving | None = None) -> None:
    """Log the notes on a file that it did not have before."""
    for note in serving.notes:
        if before is None or note not in before.notes:
            LOG.warning("%s", note, extra=event("note"))
