"""Single worker in this process, with the methods of a pool of workers."""

from collections.abc import Sequence
from typing import Protocol, final

from isocline.gateway.metrics import Snapshot
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.worker import Worker

Address = tuple[str, str, int]
"""(listener, host, port)."""


class Workers(Protocol):
    """Interface of one or more workers."""

    async def start(self) -> Sequence[Address]:
        """Start; raises an IsoclineError on failure."""

    async def reload(self, serving: Serving) -> None:
        """Reload other settings; raises an IsoclineError on failure."""

    async def snapshots(self) -> list[Snapshot]:
        """Return the snapshots of all workers."""

    async def learned(self) -> list[LearnedCurves]:
        """Return the curves of all workers, as last reported."""

    async def stop(self, grace: float) -> None:
        """Drain; requests under way have `grace` s to end. A second call may give less."""


@final
class SingleWorker:
    """One worker in this process."""

    def __init__(self, serving: Serving, known: LearnedCurves | None) -> None:
        """Initialise; raises an IsoclineError if settings cannot be used."""
        self._worker = Worker(serving, known)

    async def start(self) -> Sequence[Address]:
        await self._worker.start()
        return self._worker.addresses

    async def reload(self, serving: Serving) -> None:
        await self._worker.reload(serving)

    async def snapshots(self) -> list[Snapshot]:
        return [self._worker.snapshot()]

    async def learned(self) -> list[LearnedCurves]:
        learned = self._worker.learned()
        return [] if learned is None else [learned]

    async def stop(self, grace: float) -> None:
        await self._worker.stop(grace)
