"""Dask's own placement, as a contestant of `dispatch_policies`.

Chunks are Dask's data, each on three workers; Dask decides where tasks run, fetches what they need
and keeps it. A worker that is asked for data waits as long as the link takes, and can do all else
meanwhile; so Dask fetches for tasks to come while it runs another, as it does. With `in_task` the
link is fast and a task waits itself where its chunk was not put: remote tasks then occupy a worker
for longer, as in the near-data paper, for our scheduler and for Ray.

Told in all settings: the link's bandwidth, which Dask would learn from chunks above 1 MB, how long
tasks take, and to keep the replicas that it is given (its active memory manager drops them).
"""

import asyncio
import functools
import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dask
from distributed import Client, LocalCluster, Worker, WorkerPlugin, get_worker

from benchmarks.dispatch_task import KINDS, Answer, prepare
from benchmarks.dispatch_work import (
    LINK,
    NODES,
    SIZE,
    SPEED,
    Contestant,
    Scene,
    holders,
    start,
)


class Setting(NamedTuple):
    """Of Dask."""

    name: str
    options: dict[str, Any]
    in_task: bool = False


_TOLD = {
    "distributed.scheduler.bandwidth": LINK,
    "distributed.scheduler.default-task-durations": dict.fromkeys(KINDS, SIZE / SPEED),
    "distributed.scheduler.active-memory-manager.start": False,
}
# Looks for tasks to steal ten times as often.
_FAST = {"distributed.scheduler.work-stealing-interval": "10ms"}
SETTINGS = (
    Setting("Dask, as shipped", {}),
    Setting("Dask, tuned", _FAST),
    Setting("Dask, as shipped, reads in the task", {}, in_task=True),
    Setting("Dask, tuned, reads in the task", _FAST, in_task=True),
)


class SlowLink(WorkerPlugin):
    """Makes a worker wait before it sends data to another."""

    def setup(self, worker: Worker) -> None:
        send = worker.get_data

        @functools.wraps(send)
        async def slowly(comm: Any, keys: Any, **more: Any) -> Any:
            data: Any = worker.data
            size = sum(len(data[key]) for key in keys if key in data)
            await asyncio.sleep(size / LINK)
            return await send(comm, keys, **more)

        worker.handlers["get_data"] = slowly


class Dask:
    """One cluster of eight workers with one thread each."""

    def __init__(self, setting: Setting, client: Any, of: Scene) -> None:
        self.name = setting.name
        self._in_task = setting.in_task
        self._client = client
        client.run(prepare, 0.0)
        workers = list(client.scheduler_info(n_workers=-1)["workers"])
        self._holders = holders(of, workers)
        self._keys, self._kinds = of.chunks, of.kinds
        self._chunks = _scattered(client, of, self._holders)
        if not setting.in_task:
            client.register_plugin(SlowLink())

    def submit(self, task: int, ended: Callable[[Answer, bool], None]) -> None:
        def hear(future: Any) -> None:
            done = future.result()
            ended(done, done.node in self._holders[task])

        at = self._holders[task] if self._in_task else None
        # Dask takes what stands before the last dash of a key for the kind of task.
        how = {"key": self._keys[task], "pure": False}
        future = self._client.submit(_run, self._kinds[task], self._chunks[task], at, **how)
        future.add_done_callback(hear)
        self._chunks[task] = None


def _run(kind: str, data: bytes, at: tuple[str, ...] | None) -> Answer:
    """At a worker; `at`: where it need not wait."""
    node = get_worker().address
    late = 0.0 if at is None or node in at else len(data) / LINK
    return KINDS[kind](data, SPEED, node, late)


def _scattered(client: Any, of: Scene, at: list[tuple[str, ...]]) -> list[Any]:
    """The chunks, all of those on the same workers at once."""
    futures: list[Any] = [None] * len(at)
    order = sorted(range(len(at)), key=at.__getitem__)
    for workers, tasks in itertools.groupby(order, at.__getitem__):
        which = list(tasks)
        data = [of.data[i] for i in which]
        sent = client.scatter(data, workers=list(workers), broadcast=True, hash=False)
        for i, future in zip(which, sent, strict=True):
            futures[i] = future
    held = client.who_has([future for future in futures if future])
    for future, workers in zip(futures, at, strict=True):
        assert set(held[future.key]) == set(workers), "Dask has not put the chunks where asked"
    return futures


@contextmanager
def own_placement(setting: Setting, of: Scene, _directory: Path) -> Iterator[Contestant]:
    local_cluster: Any = LocalCluster  # Dask has types for some of its functions only
    client_of: Any = Client
    with (
        dask.config.set(_TOLD | setting.options),
        local_cluster(
            n_workers=NODES,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        client_of(cluster, set_as_default=False) as client,
    ):
        yield Dask(setting, client, of)


ALL = [start(own_placement, setting) for setting in SETTINGS]
