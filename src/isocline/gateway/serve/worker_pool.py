"""Pool of workers, each in a process of its own, on the same ports (SO_REUSEPORT).

Each is a frontend of its own in the GMSR paper's sense, and sees what the others have in flight
(`shared_counts`). One that dies is started again, after a pause that doubles as long as it does not
live long; the others go on.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import final

from isocline.errors import IsoclineError
from isocline.gateway.metrics import Snapshot, merged
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learning import divided
from isocline.gateway.serve.log import LOG
from isocline.gateway.serve.ports import reserve
from isocline.gateway.serve.rpc import GoneError
from isocline.gateway.serve.single_worker import Address
from isocline.gateway.serve.worker_core import warm
from isocline.gateway.serve.worker_handle import WorkerHandle, WorkerSetup
from isocline.gateway.shared_counts import SharedCounts
from isocline.subprocesses.supervise import Backoff

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # s before a dead worker is started again
_LONG = 60.0  # s: who lived as long has died of something new
# s between two collections of the workers' snapshots: of one that is killed, so much is lost.
_COLLECT = 5.0


@final
@dataclass
class _Slot:
    """Slot of a worker, through all its restarts."""

    number: int
    known: LearnedCurves | None
    snapshot: Snapshot | None = None  # last report of the process that runs
    handle: WorkerHandle | None = None


@final
class WorkerPool:
    """Pool of as many workers as the file asks for."""

    def __init__(
        self,
        serving: Serving,
        known: LearnedCurves | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Initialise; `clock`, s, measures how long workers live.

        Raises:
            UsageError: A port is not available.
        """
        self._clock = clock
        listeners, self._reserved = reserve(serving.proxy.listeners)
        self._serving = serving
        self._listeners = listeners
        self._counts = SharedCounts.create(serving.workers)
        share = divided(known, serving.workers) if known else None
        self._slots = [_Slot(number, share) for number in range(serving.workers)]
        self._past: list[Snapshot] = []  # of lives that are over, one at most
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> Sequence[Address]:
        await self._compile(self._serving)
        outcomes = await asyncio.gather(
            *(self._launch(slot) for slot in self._slots), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                await self.stop(0.0)
                raise outcome
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(slot)) for slot in self._slots]
        self._tasks.append(loop.create_task(self._keep_collecting()))
        return [(listener.name, listener.host, listener.port) for listener in self._listeners]

    async def reload(self, serving: Serving) -> None:
        await self._compile(serving)
        self._serving = serving  # for those that are just being started
        handles = [(slot.number, slot.handle) for slot in self._slots if slot.handle]
        outcomes = await asyncio.gather(
            *(handle.reload(self._with_ports(serving)) for _, handle in handles),
            return_exceptions=True,
        )
        for (number, _), outcome in zip(handles, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                LOG.error("worker %d: not reloaded: %s", number, _said(outcome))

    async def snapshots(self) -> list[Snapshot]:
        await asyncio.gather(*(self._collect(slot) for slot in self._slots))
        return [*(slot.snapshot for slot in self._slots if slot.snapshot), *self._past]

    async def learned(self) -> list[LearnedCurves]:
        await asyncio.gather(*(self._collect_learned(slot) for slot in self._slots))
        return [slot.known for slot in self._slots if slot.known]

    async def stop(self, grace: float) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(self._dismiss(slot, grace) for slot in self._slots))
        self._reserved.close()

    async def _compile(self, serving: Serving) -> None:
        """Compile kernels here, once and with a notice; workers then find them on disk."""
        await asyncio.to_thread(warm, serving)

    # One worker

    async def _launch(self, slot: _Slot) -> None:
        """Start a worker, and wait until it serves."""
        serving = self._serving
        ports = self._with_ports(serving)
        setup = WorkerSetup(slot.number, ports, slot.known, self._counts.handle)
        slot.handle = await WorkerHandle.start(setup)
        if serving is not self._serving:  # a reload came meanwhile
            await slot.handle.reload(self._with_ports(self._serving))
        LOG.info("worker %d serves, process %d", slot.number, slot.handle.pid)

    async def _keep(self, slot: _Slot) -> None:
        """Restart a worker whenever it ends."""
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            since = self._clock()
            if slot.handle is not None:
                status = await slot.handle.ended()
                LOG.error("worker %d ended with status %d", slot.number, status)
            self._bury(slot)
            if self._clock() - since > _LONG:
                backoff.reset()
            await asyncio.sleep(backoff.pause())
            try:
                await self._launch(slot)
            except (IsoclineError, TimeoutError, OSError) as error:
                LOG.error("worker %d cannot be started: %s", slot.number, _said(error))

    def _bury(self, slot: _Slot) -> None:
        """Drop the jobs in flight of a dead worker, and keep its counts."""
        slot.handle = None
        self._counts.clear(slot.number)
        if slot.snapshot is not None:
            self._past = [merged([*self._past, slot.snapshot.counted()])]
            slot.snapshot = None

    async def _dismiss(self, slot: _Slot, grace: float) -> None:
        if slot.handle is None:
            return
        try:
            slot.known = await slot.handle.stop(grace) or slot.known
        except (GoneError, TimeoutError) as error:
            LOG.error("worker %d: %s", slot.number, _said(error))
        await slot.handle.kill()

    # Reports of workers

    async def _keep_collecting(self) -> None:
        while True:
            await asyncio.sleep(_COLLECT)
            await self.snapshots()

    async def _collect(self, slot: _Slot) -> None:
        handle = slot.handle
        if handle is None:
            return
        try:
            snapshot = await handle.snapshot()
        except (GoneError, TimeoutError):
            return
        if slot.handle is handle:
            slot.snapshot = snapshot

    async def _collect_learned(self, slot: _Slot) -> None:
        if slot.handle is None or self._stopping:
            return
        try:
            slot.known = await slot.handle.learned() or slot.known
        except (GoneError, TimeoutError):
            return

    def _with_ports(self, serving: Serving) -> Serving:
        return replace(serving, proxy=replace(serving.proxy, listeners=self._listeners))


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
