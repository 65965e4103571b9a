"""Main function of a worker process: answers its parent's calls until it may end."""

import asyncio
import signal
import socket
from typing import Any, final

import uvloop

from isocline.gateway.serve.log import log_to_stderr
from isocline.gateway.serve.rpc import GoneError, answer_all
from isocline.gateway.serve.worker import Worker
from isocline.gateway.serve.worker_handle import WorkerSetup
from isocline.gateway.shared_buckets import SharedBuckets
from isocline.gateway.shared_counts import SharedCounts
from isocline.subprocesses.spawn import connection


@final
class _Served:
    """Answers to the parent's calls.

    Attributes:
        over: Event that is set when the process may end.
    """

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._drain = self._delay = 0.0  # s
        self._ending: asyncio.Task[None] | None = None
        self.over = asyncio.Event()

    async def answer(self, method: str, argument: Any) -> Any:
        """Answer a call."""
        if method == "start":
            return await self._start(argument)
        worker = self._worker
        if worker is None:
            raise GoneError("the worker has not been started")
        if method == "snapshot":
            return worker.snapshot()
        if method == "learned":
            return worker.learned()
        if method == "reload":
            serving, forgotten = argument
            self._drain, self._delay = serving.drain, serving.drain_delay
            return await worker.reload(serving, forgotten)
        if method == "control":
            return await worker.control(argument)
        await worker.stop(argument)
        asyncio.get_running_loop().call_soon(self.over.set)  # after the answer is written
        return worker.learned()

    def terminated(self) -> None:
        """Handle SIGTERM, which a service manager sends to all processes, parent included."""
        self._end(self._delay)

    def orphaned(self) -> None:
        """Handle the end of the parent process."""
        self._end(0.0)

    def _end(self, delay: float) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._stop(delay))

    async def _stop(self, delay: float) -> None:
        await asyncio.sleep(delay)
        if self._worker is not None:
            await self._worker.stop(self._drain)
        self.over.set()

    async def _start(self, setup: WorkerSetup) -> None:
        log_to_stderr(setup.serving.log_format, f"worker {setup.number}")
        self._drain, self._delay = setup.serving.drain, setup.serving.drain_delay
        counts = SharedCounts.attach(setup.counts, setup.number)
        buckets = SharedBuckets.attach(setup.buckets)
        self._worker = Worker(setup.serving, setup.known, counts, buckets)
        await self._worker.start(reuse_port=True)


async def _serve(end: socket.socket) -> None:
    served = _Served()
    loop = asyncio.get_running_loop()
    # A terminal sends Ctrl-C and hang-up to all processes; workers leave them to the parent.
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGTERM, served.terminated)
    answering = loop.create_task(answer_all(end, served.answer))
    answering.add_done_callback(lambda _: served.orphaned())
    await served.over.wait()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)


def serve(end: socket.socket) -> None:
    """Serve until the parent, at the other end of a connection, ends the process or itself."""
    uvloop.run(_serve(end))


def main() -> None:
    """Serve in a process of `spawn`."""
    serve(connection())
