"""Our scheduler on worker processes, as a contestant of `dispatch_policies`."""

import functools
import queue
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
import numpy as np

from benchmarks.dispatch_task import KINDS, Answer, prepare
from benchmarks.dispatch_work import (
    LINK,
    NAMES,
    NODES,
    SIZE,
    SPEED,
    Contestant,
    Scene,
    holders,
    lay_out,
    scene,
    start,
)
from isocline.dispatch.engines.base import Done, Event, WorkItem
from isocline.dispatch.engines.processes import ProcessEngine
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.scheduler import Scheduler

POLICIES = ("late_binding", "local_first", "delay_scheduling", "fifo")


class Ours:
    """One policy."""

    def __init__(self, scheduler: Scheduler, policy: str, of: Scene) -> None:
        self.name = policy
        self._scheduler = scheduler
        self._functions = [KINDS[kind] for kind in of.kinds]
        self._chunks, self._holders = of.chunks, holders(of)
        # Until all is loaded and compiled; another function, so that rates are measured afresh.
        for future in [scheduler.submit(prepare, None, 0.05) for _ in range(8 * NODES)]:
            future.result()

    def submit(self, task: int, ended: Callable[[Answer, bool], None]) -> None:
        def hear(future: Future[Answer]) -> None:
            assert isinstance(future, TaskFuture)
            ended(future.result(), future.node in self._holders[task])

        future = self._scheduler.submit(self._functions[task], self._chunks[task], SPEED)
        future.add_done_callback(hear)


@contextmanager
def ours(policy: str, of: Scene, directory: Path) -> Iterator[Contestant]:
    """Eight workers, each with its own directory."""
    with tempfile.TemporaryDirectory(dir=directory) as root:
        nodes = lay_out(of, Path(root))
        places = dict(zip(of.chunks, holders(of), strict=True))
        with Scheduler(policy=policy, locations=places, nodes=nodes, link=LINK, seed=1) as live:
            yield Ours(live, policy, of)


_code = functools.cache(cloudpickle.dumps)
ALL = [start(ours, policy) for policy in POLICIES]


def calibrated(directory: Path, tasks: int = 64) -> tuple[float, float]:
    """Measured s of a local and of a remote task of mean size."""
    of = scene(1.0, tasks, 0)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(dir=directory) as root:
        engine = ProcessEngine(lay_out(of, Path(root)), link=LINK, cache=0)
        try:
            engine.start(heard.put)
            _taken(engine, heard, [(name, _work(prepare, 0.05)) for name in NAMES])
            near, far = (_taken(engine, heard, _works(of, remote)) for remote in (False, True))
        finally:
            engine.close()
    mean_tasks = float(np.sum(of.nominal)) * SPEED / SIZE
    return near / mean_tasks, far / mean_tasks


def _works(of: Scene, remote: bool) -> Iterator[tuple[str, WorkItem]]:
    """All tasks, each at a node that holds its chunk, or at one that does not."""
    for i, (kind, chunk, at) in enumerate(zip(of.kinds, of.chunks, holders(of), strict=True)):
        nodes = [name for name in NAMES if (name in at) != remote]
        work = _work(KINDS[kind], SPEED)
        yield nodes[i % len(nodes)], work._replace(attempt=i, key=chunk, chunk=chunk, holders=at)


def _work(function: Callable[..., object], argument: float) -> WorkItem:
    return WorkItem(0, "", _code(function), cloudpickle.dumps(((argument,), {})))


def _taken(
    engine: ProcessEngine, heard: "queue.SimpleQueue[Event]", works: Iterable[tuple[str, WorkItem]]
) -> float:
    """What work at nodes takes in all, in s."""
    given = list(works)
    for node, work in given:
        engine.run(node, work)
    events = [heard.get() for _ in given]
    return sum(event.seconds for event in events if isinstance(event, Done))
