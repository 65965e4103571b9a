"""Threads of Dask workers as nodes of the engine."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from isocline.dispatch.engines.base import Node, WorkItem
from isocline.dispatch.engines.common.node_inputs import SentInputs
from isocline.dispatch.engines.common.remote_node import TaskRequest
from isocline.dispatch.engines.dask import worker_context as at_node
from isocline.dispatch.submission.needs import need_of

if TYPE_CHECKING:
    from distributed import Client, Future


def nodes_of(
    address: str, worker: Mapping[str, Any], racks: Mapping[str, str], host: str
) -> list[Node]:
    """Make a node for each thread of a worker, from the scheduler's description.

    `host` is the name of the worker's machine, as that has it.

    The rack is looked up by the worker's address, else by its name, else by its host.
    """
    threads = worker["nthreads"]
    keys = (address, str(worker["name"]), worker["host"])
    rack = next((racks[key] for key in keys if key in racks), None)
    hosts = tuple(dict.fromkeys((host, worker["host"])))
    resources = need_of(worker.get("resources"))
    if threads == 1:
        return [Node(address, rack, hosts, None, resources)]
    return [Node(f"{address}/{i}", rack, hosts, address, resources) for i in range(threads)]


@final
class Worker:
    """State shared by the threads of one worker process.

    Attributes:
        address: Address of the worker, never reused.
        known: Numbers of the functions that it has.
        inputs: Inputs that it has.
        sending: Lock held while inputs are sent to it.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.known: set[int] = set()
        self.inputs = SentInputs()
        self.sending = asyncio.Lock()


@final
class Server:
    """Node for one thread; used only in the client's event loop.

    Attributes:
        node: Name and rack.
        worker: Worker of the thread.
        turn: Lock held while an attempt is submitted.
        tasks: Asyncio tasks that follow attempts, in order.
        futures: Dask's futures of attempts.
    """

    def __init__(self, node: Node, worker: Worker) -> None:
        self.node = node
        self.worker = worker
        self.turn = asyncio.Lock()
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.futures: dict[int, Future[Any]] = {}

    def submit(
        self,
        client: "Client",
        engine: str,
        work: WorkItem,
        number: int,
        chunk: "Future[Any] | None",
    ) -> "Future[Any]":
        """Submit an attempt to Dask, bound to this worker."""
        name, held = self.node.name, self.node.name in work.holders
        future = self.futures[work.attempt] = client.submit(
            at_node.run,
            engine,
            name,
            TaskRequest(
                work.attempt, number, work.arguments, work.chunk, held, work.limit, work.keep
            ),
            None if chunk is None else chunk.key,
            chunk,
            key=f"isocline-{engine}-{work.attempt}",
            workers=[self.worker.address],
            allow_other_workers=False,
            pure=False,
            fifo_timeout=0,  # in order of submission, however close
        )
        return future

    def end(self, attempt: int) -> "list[Future[Any]]":
        """End an attempt and release its result in Dask."""
        del self.tasks[attempt]
        future = self.futures.pop(attempt, None)
        return [] if future is None else [future]

    def drop(self, attempt: int) -> bool:
        """Drop an attempt and its result in Dask; returns False if it is unknown."""
        task = self.tasks.get(attempt)
        if task is None:
            return False
        for future in self.end(attempt):
            future.release()
        task.cancel()
        return True

    def drop_all(self) -> None:
        """Drop all attempts."""
        for attempt in tuple(self.tasks):
            self.drop(attempt)
