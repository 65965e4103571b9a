"""Pool of worker processes that share the same ports (SO_REUSEPORT).

Each worker is a frontend in the sense of the GMSR paper, and sees what the others have in flight
(`shared_counts`). A worker that dies is restarted while the others keep serving; the pause before
the restart doubles each time, until one lives long.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import final

from isocline.compilation.compiler_pages import release_compiler
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
from isocline.gateway.serve.worker_main import serve
from isocline.gateway.shared_buckets import SharedBuckets
from isocline.gateway.shared_counts import SharedCounts
from isocline.structured_log import event
from isocline.subprocesses.fork import ForkedProcess, can_fork, fork_connected
from isocline.subprocesses.supervise import Backoff, ending

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # s before a dead worker is restarted
_LONG = 60.0  # s of life after which the pause is the first one again: the cause must be new
# s between two collections of snapshots: a killed worker loses the counts of that time.
_COLLECT = 5.0


@final
@dataclass
class _Slot:
    """Slot of a worker, kept through all its restarts."""

    number: int
    known: LearnedCurves | None
    snapshot: Snapshot | None = None  # last report of the present process
    handle: WorkerHandle | None = None


@final
class WorkerPool:
    """Pool of the number of workers that the file sets."""

    def __init__(
        self,
        serving: Serving,
        known: LearnedCurves | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Initialise; `clock`, in s, measures the lives of workers.

        Raises:
            UsageError: A port is not available.
        """
        self._clock = clock
        listeners, self._reserved = reserve(serving.proxy.listeners)
        self._serving = serving
        self._listeners = listeners
        self._counts = SharedCounts.create(serving.workers)
        self._buckets = SharedBuckets.create()
        share = divided(known, serving.workers) if known else None
        self._slots = [_Slot(number, share) for number in range(serving.workers)]
        self._past: list[Snapshot] = []  # merged reports of processes that have ended: one at most
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._forked: list[tuple[ForkedProcess, socket.socket]] = []

    def fork(self) -> None:
        """Fork the first workers, which then share the memory of all that this process has loaded.

        To be called before an event loop or a thread is started; without it, and where it cannot
        be done, workers are started anew, as are those in place of dead ones.
        """
        if not can_fork():
            return
        warm(self._serving)
        release_compiler()
        self._forked = fork_connected(len(self._slots), serve, self._reserved.close)

    async def start(self) -> Sequence[Address]:
        if not self._forked:
            await self._compile(self._serving)
        outcomes = await asyncio.gather(
            *(self._launch(slot) for slot in self._slots), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                await self.stop(0.0)
                raise outcome
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._supervise(slot)) for slot in self._slots]
        self._tasks.append(loop.create_task(self._collect_regularly()))
        return [(listener.name, listener.host, listener.port) for listener in self._listeners]

    async def reload(self, serving: Serving, forgotten: Collection[str] = ()) -> None:
        await self._compile(serving)
        self._serving = serving  # also for workers that are starting just now
        for slot in self._slots:
            if slot.known is not None and forgotten:
                slot.known = slot.known.without(forgotten)
        ported = self._with_ports(serving)
        await self._tell_all("reload", "not reloaded", lambda it: it.reload(ported, forgotten))

    async def control(self, serving: Serving) -> int:
        self._serving = serving
        return await self._tell_all(
            "control", "controls not in force", lambda it: it.control(serving.controls)
        )

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
        await asyncio.gather(*(self._stop(slot, grace) for slot in self._slots))
        self._reserved.close()

    async def _compile(self, serving: Serving) -> None:
        """Compile kernels once, in the parent and with a notice; workers load them from disk."""
        await asyncio.to_thread(warm, serving)
        release_compiler()

    async def _tell_all(
        self, what: str, failed: str, call: Callable[[WorkerHandle], Awaitable[None]]
    ) -> int:
        """Call all running workers; returns the number that succeeded, and logs the others.

        A worker that is starting gets the pool's settings once it serves.
        """
        handles = [(slot.number, slot.handle) for slot in self._slots if slot.handle]
        outcomes = await asyncio.gather(
            *(call(handle) for _, handle in handles), return_exceptions=True
        )
        done = 0
        for (number, _), outcome in zip(handles, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                text = _text_of(outcome)
                fields = event(f"worker.{what}_failed", worker=number, problem=text)
                LOG.error("worker %d: %s: %s", number, failed, text, extra=fields)
            else:
                done += 1
        return done

    # One worker

    async def _launch(self, slot: _Slot) -> None:
        """Start a worker, and wait until it serves."""
        serving = self._serving
        ports = self._with_ports(serving)
        handles = self._counts.handle, self._buckets.handle
        setup = WorkerSetup(slot.number, ports, slot.known, *handles)
        forked = self._forked.pop() if self._forked else None
        slot.handle = await WorkerHandle.start(setup, forked)
        if serving is not self._serving:  # reloaded in the meantime
            await slot.handle.reload(self._with_ports(self._serving))
        fields = event("worker.started", worker=slot.number, pid=slot.handle.pid)
        LOG.info("worker %d serves, process %d", slot.number, slot.handle.pid, extra=fields)

    async def _supervise(self, slot: _Slot) -> None:
        """Restart the worker whenever it ends."""
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            since = self._clock()
            if slot.handle is not None:
                status = await slot.handle.ended()
                fields = event("worker.ended", worker=slot.number, status=status)
                LOG.error("worker %d %s", slot.number, ending(status), extra=fields)
                self._past = [merged([*self._past, Snapshot(ended=1)])]
            self._clear(slot)
            if self._clock() - since > _LONG:
                backoff.reset()
            await asyncio.sleep(backoff.pause())
            try:
                await self._launch(slot)
            except (IsoclineError, TimeoutError, OSError) as error:
                text = _text_of(error)
                fields = event("worker.start_failed", worker=slot.number, problem=text)
                LOG.error("worker %d cannot be started: %s", slot.number, text, extra=fields)

    def _clear(self, slot: _Slot) -> None:
        """Clear a dead worker's jobs in flight, and keep its counts."""
        slot.handle = None
        self._counts.clear(slot.number)
        if slot.snapshot is not None:
            self._past = [merged([*self._past, slot.snapshot.counted()])]
            slot.snapshot = None

    async def _stop(self, slot: _Slot, grace: float) -> None:
        if slot.handle is None:
            return
        try:
            slot.known = await slot.handle.stop(grace) or slot.known
        except (GoneError, TimeoutError) as error:
            fields = event("worker.stop_failed", worker=slot.number, problem=_text_of(error))
            LOG.error("worker %d: %s", slot.number, _text_of(error), extra=fields)
        await slot.handle.kill()

    # Reports of workers

    async def _collect_regularly(self) -> None:
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


def _text_of(error: BaseException) -> str:
    return str(error) or type(error).__name__
