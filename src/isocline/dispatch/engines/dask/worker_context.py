"""Worker side of the Dask engine; the state of each engine is in its `WorkerContext`."""

import asyncio
import socket
import time
from typing import final

from distributed import Worker, get_worker
from distributed.worker_state_machine import AcquireReplicasEvent

from isocline.dispatch.engines.base import Done, Ending
from isocline.dispatch.engines.common.attempt import Read
from isocline.dispatch.engines.common.remote_node import Answer, RemoteNode, TaskRequest
from isocline.dispatch.engines.common.task_thread import TaskThreads
from isocline.dispatch.inputs import InputData

_AWAY = {"released", "missing"}  # states at a worker of chunks that it could fetch
_COMING = {"fetch", "flight", "cancelled", "resumed"}  # states of chunks that it is fetching
_POLL = 0.005  # s, much less than a worthwhile fetch
_PATIENCE = 60.0  # s: 6 GB at 100 MB/s


@final
class WorkerContext:
    """State of one engine in one process, which may have several workers."""

    def __init__(self, loader: bytes | None) -> None:
        self.node = RemoteNode(loader)
        self.threads = TaskThreads()
        self._fetches: dict[tuple[str, str], float] = {}

    def fetch(self, worker: Worker, key: str) -> float | None:
        """Time for which a worker fetched a chunk since the last call, s; None: it did not.

        Dask fetches a task's data before the task; the worker's log has the times.
        """
        since = self._fetches.get((worker.address, key), 0.0)
        for entry in reversed(tuple(worker.transfer_incoming_log)):
            if entry["stop"] <= since:
                break
            if key in entry["keys"]:
                self._fetches[worker.address, key] = entry["stop"]
                return float(entry["duration"])
        return None


_CONTEXTS: dict[str, WorkerContext] = {}


def open_context(engine: str, loader: bytes | None) -> str:
    """Create the context at a worker, before any other call; returns the name of its machine."""
    if engine not in _CONTEXTS:
        _CONTEXTS[engine] = WorkerContext(loader)
    return socket.gethostname()


def close_context(engine: str) -> None:
    """Close the context and stop running attempts, when the engine closes."""
    if context := _CONTEXTS.pop(engine, None):
        context.threads.close()


def learn(engine: str, number: int, code: bytes) -> None:
    """Store a function for later attempts."""
    _CONTEXTS[engine].node.functions.learn(number, code)


def forget(engine: str, number: int) -> None:
    """Remove a function that no later attempt calls."""
    _CONTEXTS[engine].node.functions.forget(number)


def keep(engine: str, given: InputData) -> None:
    """Keep an input for later attempts."""
    _CONTEXTS[engine].node.inputs.keep(given)


def drop(engine: str, number: int) -> None:
    """Drop an input that no later attempt gets."""
    _CONTEXTS[engine].node.inputs.drop(number)


def cancel(engine: str, attempt: int) -> bool:
    """Stop an attempt; returns whether it has begun."""
    return _CONTEXTS[engine].threads.cancel(attempt)


async def fetch(engine: str, key: str, holders: list[str], size: int, dask_worker: Worker) -> bool:
    """Make a worker hold a chunk; returns whether it does, after at most `_PATIENCE` s.

    The worker fetches in its event loop, concurrently with tasks and other fetches, like the active
    memory manager. (`Client.replicate` moves one set of chunks at a time in the whole cluster.)
    """
    state, end = dask_worker.state, time.monotonic() + _PATIENCE
    if key not in state.tasks or state.tasks[key].state in _AWAY:
        wanted = AcquireReplicasEvent(
            who_has={key: holders}, nbytes={key: size}, stimulus_id=f"isocline-{time.time()}"
        )
        dask_worker.handle_stimulus(wanted)
    while key not in dask_worker.data:
        if (
            key not in state.tasks
            or state.tasks[key].state not in _COMING
            or time.monotonic() > end
        ):
            return False
        await asyncio.sleep(_POLL)
    _CONTEXTS[engine].fetch(dask_worker, key)  # so that the next task is not charged for it
    return True


def run(engine: str, node: str, request: TaskRequest, key: str | None, value: object) -> Answer:
    """Run a task for Dask.

    Args:
        engine: Name of the engine.
        node: Name of the node.
        request: The attempt.
        key: Dask's key of its chunk, if Dask stores it; None: the loader reads it.
        value: Value of that chunk.
    """
    context = _CONTEXTS[engine]
    fetch = context.fetch(get_worker(), key) if key else None  # s
    read = (lambda: Read(value, fetch is None)) if key else None

    def perform() -> Ending:
        return context.node.perform(node, request, read)

    ending = context.threads.perform(request.attempt, node, request.limit, perform)
    if fetch and isinstance(ending, Done):
        seconds, read_seconds = ending.seconds + fetch, ending.read_seconds + fetch
        ending = ending._replace(seconds=seconds, read_seconds=read_seconds)
    return Answer(ending, fetch is not None)
