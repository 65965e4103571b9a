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
    """One or more workers."""

    async def start(self) -> Sequence[Address]:
        """Serve; raises an IsoclineError if one cannot."""

    async def reload(self, serving: Serving) -> None:
        """Serve what another file says; raises an IsoclineError if that cannot be done."""

    async def snapshots(self) -> list[Snapshot]:
        """What each one has seen."""

    async def learned(self) -> list[LearnedCurves]:
        """What each one has learned, as last heard."""

    async def stop(self, grace: float) -> None:
        """Take no more; what is under way has `grace` s to end. A second call may give less."""


@final
class SingleWorker:
    """One, here."""

    def __init__(self, serving: Serving, known: LearnedCurves | None) -> None:
        """Raises an IsoclineError where something cannot be used."""
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
