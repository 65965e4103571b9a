"""A single worker in this process, with the interface of a pool of workers."""

from collections.abc import Collection, Sequence
from typing import Protocol, final

from isocline.gateway.metrics import Snapshot
from isocline.gateway.proxy import Proxy
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.data_plane import Plane
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.worker import Worker

Address = tuple[str, str, int]
"""(listener, host, port)."""


class Workers(Protocol):
    """Interface of one or more workers."""

    async def start(self) -> Sequence[Address]:
        """Start the workers; raises an IsoclineError on failure."""

    async def reload(self, serving: Serving, forgotten: Collection[str] = ()) -> None:
        """Apply new settings, see `Worker.reload`; raises an IsoclineError on failure."""

    async def control(self, serving: Serving) -> int:
        """Apply the controls in `serving`, whose other settings are as before.

        Returns the number of workers that have done so. Raises an IsoclineError on failure.
        """

    async def snapshots(self) -> list[Snapshot]:
        """Return the snapshots of all workers."""

    async def learned(self) -> list[LearnedCurves]:
        """Return the curves last reported by each worker."""

    async def stop(self, grace: float) -> None:
        """Drain: requests in flight have `grace` s to finish. A second call may shorten that."""


@final
class SingleWorker:
    """One worker in this process."""

    def __init__(self, serving: Serving, known: LearnedCurves | None, plane: Plane = Proxy) -> None:
        """Initialise; raises an IsoclineError if settings cannot be used."""
        self._worker = Worker(serving, known, plane=plane)

    async def start(self) -> Sequence[Address]:
        await self._worker.start()
        return self._worker.addresses

    async def reload(self, serving: Serving, forgotten: Collection[str] = ()) -> None:
        await self._worker.reload(serving, forgotten)

    async def control(self, serving: Serving) -> int:
        await self._worker.control(serving.controls)
        return 1

    async def snapshots(self) -> list[Snapshot]:
        return [self._worker.snapshot()]

    async def learned(self) -> list[LearnedCurves]:
        learned = self._worker.learned()
        return [] if learned is None else [learned]

    async def stop(self, grace: float) -> None:
        await self._worker.stop(grace)
