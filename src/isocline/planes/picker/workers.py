"""Worker of an endpoint picker: that of `isocline serve`, with settings that a picker can use."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import final

from isocline.errors import UsageError
from isocline.gateway.metrics import Snapshot
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.single_worker import Address, Workers
from isocline.gateway.serve.worker import Worker
from isocline.planes.picker.endpoints import Endpoints
from isocline.planes.picker.picker import Picker


def crew(serving: Serving, known: LearnedCurves | None) -> Workers:
    """Make the worker of a picker.

    Raises:
        IsoclineError: It cannot use the settings.
    """
    return PickerWorker(serving, known)


@final
class PickerWorker:
    """One worker in this process."""

    def __init__(self, serving: Serving, known: LearnedCurves | None) -> None:
        """Initialise; raises an IsoclineError if settings cannot be used."""
        self._worker = Worker(usable(serving), known, plane=Picker)

    async def start(self) -> Sequence[Address]:
        await self._worker.start()
        return self._worker.addresses

    async def reload(self, serving: Serving, forgotten: Collection[str] = ()) -> None:
        await self._worker.reload(usable(serving), forgotten)

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


def usable(serving: Serving) -> Serving:
    """Settings without those that are the gateway's own affair.

    Raises:
        UsageError: A setting that guards requests, which a picker cannot do, or a backend that a
            gateway cannot be given.
    """
    proxy = serving.proxy
    for key, given, remedy in (
        ("workers", serving.workers > 1, "start several pickers; they share nothing"),
        ("api_keys", bool(proxy.key_digests), "have the gateway check keys"),
        ("cors", proxy.cors is not None, "have the gateway answer web pages"),
        ("learn.ask_usage", proxy.ask_usage, "a picker does not change bodies"),
    ):
        if given:
            raise UsageError(f"serve.{key} is not for --plane picker; leave it out: {remedy}")
    for backend in proxy.backends:
        if backend.authorization is not None:
            raise UsageError(
                f"backend {backend.name}: authorization is not for --plane picker; have the "
                "gateway add it"
            )
    Endpoints(proxy.backends)
    return replace(serving, models=None)
