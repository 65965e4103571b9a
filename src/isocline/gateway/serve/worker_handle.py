"""Parent-side handle to a worker process."""

import asyncio
import os
import socket
import sys
from dataclasses import dataclass
from typing import Self, final

from isocline.gateway.metrics import Snapshot
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.rpc import RpcClient

_LATE = 5.0  # s beyond the grace after which a process that should have ended is killed
_SOON = 1.0  # s in which a worker says what it has seen, or does without
_START = 60.0  # s, on a busy machine that compiles a policy


_PROGRAM = "isocline.gateway.serve.worker_main"


@final
@dataclass(frozen=True)
class Orders:
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
    """Handle to a worker in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, asker: RpcClient) -> None:
        self._process = process
        self._asker = asker

    @classmethod
    async def start(cls, orders: Orders) -> Self:
        """Start a process, and wait until it serves.

        Raises:
            UsageError: The worker reports an error.
            GoneError: The process has ended.
            TimeoutError: The start takes too long; the process is killed.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", _PROGRAM, str(theirs.fileno())),
                pass_fds=(theirs.fileno(), orders.counts),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        hand = cls(process, await RpcClient.over(ours))
        try:
            await hand._asker.ask("start", orders, _START)
        except BaseException:
            await hand.kill()
            raise
        return hand

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    async def ended(self) -> int:
        """Wait for its end; returns its exit status, below 0 for a signal."""
        status = await self._process.wait()
        self._asker.close()
        return status

    async def reload(self, serving: Serving) -> None:
        """Reload settings; raises UsageError, GoneError or TimeoutError."""
        await self._asker.ask("reload", serving, _START)

    async def snapshot(self) -> Snapshot:
        """Return its snapshot; raises GoneError or TimeoutError."""
        seen: Snapshot = await self._asker.ask("snapshot", None, _SOON)
        return seen

    async def learned(self) -> LearnedCurves | None:
        """Return its learned curves; raises GoneError or TimeoutError."""
        known: LearnedCurves | None = await self._asker.ask("learned", None, _SOON)
        return known

    async def stop(self, grace: float) -> LearnedCurves | None:
        """Drain it for at most `grace` s; returns its curves. Raises GoneError or TimeoutError."""
        known: LearnedCurves | None = await self._asker.ask("stop", grace, grace + _LATE)
        return known

    async def kill(self) -> None:
        """Kill it at once, if it has not ended."""
        self._asker.close()
        try:
            async with asyncio.timeout(_SOON):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
