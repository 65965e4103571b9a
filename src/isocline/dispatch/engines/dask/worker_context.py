"""Worker side of the Dask engine. Each engine's state there is in its `WorkerContext`."""

import asyncio
import pickle
import time
from typing import NamedTuple, final

from distributed import Worker, get_worker
from distributed.worker_state_machine import AcquireReplicasEvent

from isocline.dispatch.engines.base import Done, Ending
from isocline.dispatch.engines.common.attempt import Read, performed
from isocline.dispatch.engines.common.remote_functions import Functions, Loader
from isocline.dispatch.engines.common.task_thread import TaskThreads

_AWAY = {"released", "missing"}  # states at a worker of chunks that it might fetch,
_COMING = {"fetch", "flight", "cancelled", "resumed"}  # and of those that it has begun to
_POLL = 0.005  # s, much less than a fetch that is worth it
_PATIENCE = 60.0  # s: 6 GB at 100 MB/s


class TaskRequest(NamedTuple):
    """Request to a worker for one attempt."""

    engine: str
    node: str
    attempt: int
    function: int
    arguments: bytes
    chunk: str | None
    held: bool  # a loader's chunk: the scheduler says that the node holds it
    key: str | None  # of the chunk, if it is Dask's
    limit: float | None  # s


class Answer(NamedTuple):
    """Outcome of an attempt, and whether Dask fetched its chunk for it."""

    ending: Ending
    fetched: bool


@final
class WorkerContext:
    """Context of one engine in one process, which may have several workers."""

    def __init__(self, loader: bytes | None) -> None:
        self.functions = Functions()
        self.hands = TaskThreads()
        self.loader: Loader | None = pickle.loads(loader) if loader else None
        self._fetches: dict[tuple[str, str], float] = {}

    def fetch(self, worker: Worker, key: str) -> float | None:
        """Time for which a worker fetched a chunk since the last call, s; None: it did not.

        Dask fetches what a task needs before the task; its worker's log says for how long.
        """
        since = self._fetches.get((worker.address, key), 0.0)
        for entry in reversed(tuple(worker.transfer_incoming_log)):
            if entry["stop"] <= since:
                break
            if key in entry["keys"]:
                self._fetches[worker.address, key] = entry["stop"]
                return float(entry["duration"])
        return None


_WORKSHOPS: dict[str, WorkerContext] = {}


def open_context(engine: str, loader: bytes | None) -> bool:
    """Open the context at a worker, before any other call; returns True."""
    if engine not in _WORKSHOPS:
        _WORKSHOPS[engine] = WorkerContext(loader)
    return True


def close_context(engine: str) -> None:
    """Close the context with the engine; running attempts are stopped."""
    if workshop := _WORKSHOPS.pop(engine, None):
        workshop.hands.close()


def learn(engine: str, number: int, code: bytes) -> None:
    """Store a function for later attempts."""
    _WORKSHOPS[engine].functions.learn(number, code)


def forget(engine: str, number: int) -> None:
    """Remove a function that no later attempt calls."""
    _WORKSHOPS[engine].functions.forget(number)


def cancel(engine: str, attempt: int) -> bool:
    """Stop an attempt; returns whether it has begun."""
    return _WORKSHOPS[engine].hands.cancel(attempt)


async def fetch(engine: str, key: str, holders: list[str], size: int, dask_worker: Worker) -> bool:
    """Have a worker hold a chunk; returns whether it does, at the latest after `_PATIENCE` s.

    It fetches in its event loop, beside the tasks and with other chunks, as the active memory
    manager would have it (`Client.replicate` moves one set of chunks at a time in all the cluster).
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
    _WORKSHOPS[engine].fetch(dask_worker, key)  # not on account of the next task
    return True


def run(order: TaskRequest, value: object) -> Answer:
    """Run a task for Dask; `value` is the chunk's, if Dask has it."""
    workshop = _WORKSHOPS[order.engine]
    fetch = workshop.fetch(get_worker(), order.key) if order.key else None

    def read() -> Read:
        if order.key:
            return Read(value, fetch is None)
        assert order.chunk is not None
        loader = workshop.loader
        return Read(loader(order.chunk) if loader else order.chunk, order.held)

    def perform() -> Ending:
        return performed(
            order.attempt,
            order.node,
            lambda: workshop.functions.get(order.function),
            order.arguments,
            None if order.chunk is None else read,
        )

    ending = workshop.hands.perform(order.attempt, order.node, order.limit, perform)
    if fetch and isinstance(ending, Done):
        seconds, read_seconds = ending.seconds + fetch, ending.read_seconds + fetch
        ending = ending._replace(seconds=seconds, read_seconds=read_seconds)
    return Answer(ending, fetch is not None)
