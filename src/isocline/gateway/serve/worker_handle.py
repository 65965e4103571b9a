"""Parent-side handle to a worker process."""

import asyncio
from dataclasses import dataclass
from typing import Self, final

from isocline.gateway.metrics import Snapshot
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.rpc import RpcClient
from isocline.subprocesses.spawn import start_in_loop
from isocline.subprocesses.supervise import end_in_loop

_LATE = 5.0  # s beyond the grace after which a process that should have ended is killed
_SOON = 1.0  # s in which a worker says what it has seen, or does without
_START = 60.0  # s, on a busy machine that compiles a policy

_WORKER = "isocline.gateway.serve.worker_main"


@final
@dataclass(frozen=True)
class WorkerSetup:
    """Arguments that a worker process is started with.

    Attributes:
        number: Number of the worker, from 0.
        serving: Settings.
        known: Curves to go on from.
        counts: Handle of the shared counts.
    """

    number: int
    serving: Serving
    known: LearnedCurves | None
    counts: int


@final
class WorkerHandle:
    """Handle to a worker process: its calls and its end."""

    def __init__(self, process: asyncio.subprocess.Process, client: RpcClient) -> None:
        self._process = process
        self._client = client

    @classmethod
    async def start(cls, setup: WorkerSetup) -> Self:
        """Start a process, and wait until it serves.

        Raises:
            UsageError: The worker reports an error.
            GoneError: The process has ended.
            TimeoutError: The start takes too long; the process is killed.
        """
        process, end = await start_in_loop(_WORKER, descriptors=[setup.counts])
        handle = cls(process, await RpcClient.connect(end))
        try:
            await handle._client.call("start", setup, _START)
        except BaseException:
            await handle.kill()
            raise
        return handle

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    async def ended(self) -> int:
        """Wait for its end; returns its exit status, below 0 for a signal."""
        status = await self._process.wait()
        self._client.close()
        return status

    async def reload(self, serving: Serving) -> None:
        """Reload settings; raises UsageError, GoneError or TimeoutError."""
        await self._client.call("reload", serving, _START)

    async def snapshot(self) -> Snapshot:
        """Return its snapshot; raises GoneError or TimeoutError."""
        snapshot: Snapshot = await self._client.call("snapshot", None, _SOON)
        return snapshot

    async def learned(self) -> LearnedCurves | None:
        """Return its learned curves; raises GoneError or TimeoutError."""
        known: LearnedCurves | None = await self._client.call("learned", None, _SOON)
        return known

    async def stop(self, grace: float) -> LearnedCurves | None:
        """Drain it for at most `grace` s; returns its curves. Raises GoneError or TimeoutError."""
        known: LearnedCurves | None = await self._client.call("stop", grace, grace + _LATE)
        return known

    async def kill(self) -> None:
        """Kill it at once, if it has not ended."""
        self._client.close()
        await end_in_loop(self._process, _SOON)
