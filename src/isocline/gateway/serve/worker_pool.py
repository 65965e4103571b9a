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
from isocline.gateway.serve.worker_handle import Orders, WorkerHandle
from isocline.gateway.shared_counts import SharedCounts

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # s before a dead worker is started again
_LONG = 60.0  # s: who lived as long has died of something new
# s between two times that each worker is asked what it has seen: of one that is killed, so much is
# lost.
_HEAR = 5.0


@final
@dataclass
class _Place:
    """Slot of a worker, through all its restarts."""

    number: int
    known: LearnedCurves | None
    seen: Snapshot | None = None  # last report of the process that runs
    hand: WorkerHandle | None = None


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
        self._places = [_Place(number, share) for number in range(serving.workers)]
        self._past: list[Snapshot] = []  # of lives that are over, one at most
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> Sequence[Address]:
        await self._compile(self._serving)
        outcomes = await asyncio.gather(
            *(self._launch(place) for place in self._places), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                await self.stop(0.0)
                raise outcome
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(place)) for place in self._places]
        self._tasks.append(loop.create_task(self._keep_hearing()))
        return [(listener.name, listener.host, listener.port) for listener in self._listeners]

    async def reload(self, serving: Serving) -> None:
        await self._compile(serving)
        self._serving = serving  # for those that are just being started
        hands = [(place.number, place.hand) for place in self._places if place.hand]
        outcomes = await asyncio.gather(
            *(hand.reload(self._with_ports(serving)) for _, hand in hands), return_exceptions=True
        )
        for (number, _), outcome in zip(hands, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                LOG.error("worker %d: not reloaded: %s", number, _said(outcome))

    async def snapshots(self) -> list[Snapshot]:
        await asyncio.gather(*(self._hear(place) for place in self._places))
        return [*(place.seen for place in self._places if place.seen), *self._past]

    async def learned(self) -> list[LearnedCurves]:
        await asyncio.gather(*(self._hear_learned(place) for place in self._places))
        return [place.known for place in self._places if place.known]

    async def stop(self, grace: float) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(self._dismiss(place, grace) for place in self._places))
        self._reserved.close()

    async def _compile(self, serving: Serving) -> None:
        """Compile kernels here, once and with a notice; workers then find them on disk."""
        await asyncio.to_thread(warm, serving)

    # One worker

    async def _launch(self, place: _Place) -> None:
        """Start a worker, and wait until it serves."""
        serving = self._serving
        orders = Orders(place.number, self._with_ports(serving), place.known, self._counts.handle)
        place.hand = await WorkerHandle.start(orders)
        if serving is not self._serving:  # a reload came meanwhile
            await place.hand.reload(self._with_ports(self._serving))
        LOG.info("worker %d serves, process %d", place.number, place.hand.pid)

    async def _keep(self, place: _Place) -> None:
        """Restart a worker whenever it ends."""
        pause = _FIRST_PAUSE
        while True:
            since = self._clock()
            if place.hand is not None:
                status = await place.hand.ended()
                LOG.error("worker %d ended with status %d", place.number, status)
            self._bury(place)
            pause = _FIRST_PAUSE if self._clock() - since > _LONG else pause
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, _LONGEST_PAUSE)
            try:
                await self._launch(place)
            except (IsoclineError, TimeoutError, OSError) as error:
                LOG.error("worker %d cannot be started: %s", place.number, _said(error))

    def _bury(self, place: _Place) -> None:
        """Drop the jobs in flight of a dead worker, and keep its counts."""
        place.hand = None
        self._counts.clear(place.number)
        if place.seen is not None:
            self._past = [merged([*self._past, place.seen.counted()])]
            place.seen = None

    async def _dismiss(self, place: _Place, grace: float) -> None:
        if place.hand is None:
            return
        try:
            place.known = await place.hand.stop(grace) or place.known
        except (GoneError, TimeoutError) as error:
            LOG.error("worker %d: %s", place.number, _said(error))
        await place.hand.kill()

    # Reports of workers

    async def _keep_hearing(self) -> None:
        while True:
            await asyncio.sleep(_HEAR)
            await self.snapshots()

    async def _hear(self, place: _Place) -> None:
        hand = place.hand
        if hand is None:
            return
        try:
            seen = await hand.snapshot()
        except (GoneError, TimeoutError):
            return
        if place.hand is hand:
            place.seen = seen

    async def _hear_learned(self, place: _Place) -> None:
        if place.hand is None or self._stopping:
            return
        try:
            place.known = await place.hand.learned() or place.known
        except (GoneError, TimeoutError):
            return

    def _with_ports(self, serving: Serving) -> Serving:
        return replace(serving, proxy=replace(serving.proxy, listeners=self._listeners))


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
