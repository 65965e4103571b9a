"""What happens in Dask's worker processes. All that an engine has there is in its `Workshop`."""

import pickle
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, final

from distributed import get_worker

from isocline.dispatch.engines.attempt import Read, performed
from isocline.dispatch.engines.contract import Done, Ending
from isocline.dispatch.engines.hand import Hands
from isocline.dispatch.engines.remote import Functions, Loader


class Order(NamedTuple):
    """One attempt, as a worker is asked for it."""

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
    """How an attempt ended, and whether Dask fetched its chunk for it."""

    ending: Ending
    fetched: bool


@final
class Workshop:
    """Of one engine in one process, whose workers may be several."""

    def __init__(self, loader: bytes | None) -> None:
        self.functions = Functions()
        self.hands = Hands()
        self.loader: Loader | None = pickle.loads(loader) if loader else None
        self._fetches: dict[tuple[str, str], float] = {}

    def fetch(self, worker: str, key: str, log: Iterable[Mapping[str, Any]]) -> float | None:
        """How long a worker took to fetch a chunk since it was last asked, in s; None: it did not.

        Args:
            worker: Its address.
            key: The chunk's.
            log: What the worker fetched, the latest first.
        """
        since = self._fetches.get((worker, key), 0.0)
        for entry in log:
            if entry["stop"] <= since:
                break
            if key in entry["keys"]:
                self._fetches[worker, key] = entry["stop"]
                return float(entry["duration"])
        return None


_WORKSHOPS: dict[str, Workshop] = {}


def open_workshop(engine: str, loader: bytes | None) -> None:
    """Called at each worker before it is given anything else."""
    if engine not in _WORKSHOPS:
        _WORKSHOPS[engine] = Workshop(loader)


def close_workshop(engine: str) -> None:
    """The engine is closed: what still runs is stopped."""
    if workshop := _WORKSHOPS.pop(engine, None):
        workshop.hands.close()


def learn(engine: str, number: int, code: bytes) -> None:
    """A function for attempts to come."""
    _WORKSHOPS[engine].functions.learn(number, code)


def forget(engine: str, number: int) -> None:
    """No attempt to come calls it."""
    _WORKSHOPS[engine].functions.forget(number)


def cancel(engine: str, attempt: int) -> bool:
    """Stop an attempt; whether it has begun."""
    return _WORKSHOPS[engine].hands.cancel(attempt)


def run(order: Order, value: object) -> Answer:
    """The task that Dask runs; `value`: the chunk's, if Dask has it."""
    workshop = _WORKSHOPS[order.engine]
    fetch = _fetch(workshop, order.key) if order.key else None

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


def _fetch(workshop: Workshop, key: str) -> float | None:
    """Dask fetches what a task needs before the task: its worker's log says for how long."""
    worker = get_worker()
    return workshop.fetch(worker.address, key, reversed(worker.transfer_incoming_log))
