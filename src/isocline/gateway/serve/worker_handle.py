"""Parent-side handle to a worker process."""

import asyncio
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self, final

from isocline.gateway.metrics import Snapshot
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.controls import Controls
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.rpc import RpcClient
from isocline.subprocesses.fork import ForkedProcess
from isocline.subprocesses.spawn import start_in_loop
from isocline.subprocesses.supervise import end_in_loop

_LATE = 5.0  # s after the grace period at which a process that has not ended is killed
_SOON = 1.0  # s that a worker has to report a snapshot or curves
_PATIENCE = 5.0  # s that a worker has to apply controls
_START = 60.0  # s that a worker has to start; a busy machine may be compiling a policy

_WORKER = "isocline.gateway.serve.worker_main"


@final
@dataclass(frozen=True)
class WorkerSetup:
    """Arguments with which a worker process is started.

    Attributes:
        number: Number of the worker, from 0.
        serving: Settings.
        known: Curves learned so far.
        counts: Handle of the shared counts.
        buckets: Handle of the shared buckets of the key limits.
    """

    number: int
    serving: Serving
    known: LearnedCurves | None
    counts: int
    buckets: int


@final
class WorkerHandle:
    """Handle to a worker process: calls it, waits for its end, or kills it."""

    def __init__(
        self, process: asyncio.subprocess.Process | ForkedProcess, client: RpcClient
    ) -> None:
        self._process = process
        self._client = client

    @classmethod
    async def start(
        cls, setup: WorkerSetup, forked: tuple[ForkedProcess, socket.socket] | None = None
    ) -> Self:
        """Start a process, or take one that was forked, and wait until it serves.

        Raises:
            UsageError: The worker reported an error.
            GoneError: The process has ended.
            TimeoutError: The start takes too long; the process is killed.
        """
        process, end = forked or await start_in_loop(
            _WORKER, descriptors=[setup.counts, setup.buckets]
        )
        handle = cls(process, await RpcClient.connect(end))
        try:
            await handle._client.call("start", setup, _START)
        except BaseException:
            await handle.kill()
            raise
        return handle

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def ended(self) -> int:
        """Wait until the process ends; returns its exit status, below 0 for a signal."""
        status = await self._process.wait()
        self._client.close()
        return status

    async def reload(self, serving: Serving, forgotten: Collection[str] = ()) -> None:
        """Apply new settings, see `Worker.reload`; raises UsageError, GoneError or TimeoutError."""
        await self._client.call("reload", (serving, tuple(forgotten)), _START)

    async def control(self, controls: Controls) -> None:
        """Apply controls of backends; raises UsageError, GoneError or TimeoutError."""
        await self._client.call("control", controls, _PATIENCE)

    async def snapshot(self) -> Snapshot:
        """Return the worker's snapshot; raises GoneError or TimeoutError."""
        snapshot: Snapshot = await self._client.call("snapshot", None, _SOON)
        return snapshot

    async def learned(self) -> LearnedCurves | None:
        """Return the worker's learned curves; raises GoneError or TimeoutError."""
        known: LearnedCurves | None = await self._client.call("learned", None, _SOON)
        return known

    async def stop(self, grace: float) -> LearnedCurves | None:
        """Drain it for at most `grace` s; returns its curves. Raises GoneError, TimeoutError."""
        known: LearnedCurves | None = await self._client.call("stop", grace, grace + _LATE)
        return known

    async def kill(self) -> None:
        """Kill the process if it has not ended."""
        self._client.close()
        await end_in_loop(self._process, _SOON)
