"""Our scheduler on worker processes, as a contestant of `dispatch_policies`."""

import queue
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import sleep

import cloudpickle
import numpy as np

from benchmarks.dispatch_task import Counted, count
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
)
from isocline.dispatch.engines.contract import Done, Event, Work
from isocline.dispatch.engines.processes import ProcessEngine
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.scheduler import Scheduler

POLICIES = ("late_binding", "local_first", "delay_scheduling", "fifo")


class Ours:
    """One policy."""

    def __init__(self, scheduler: Scheduler, policy: str, of: Scene) -> None:
        self.name = policy
        self._scheduler = scheduler
        self._chunks, self._holders = of.chunks, holders(of)
        # Until all is loaded and compiled; another function, so that rates are measured afresh.
        for future in [scheduler.submit(sleep, None, 0.05) for _ in range(8 * NODES)]:
            future.result()

    def submit(self, task: int, ended: Callable[[Counted, bool], None]) -> None:
        def hear(future: Future[Counted]) -> None:
            assert isinstance(future, TaskFuture)
            ended(future.result(), future.node in self._holders[task])

        self._scheduler.submit(count, self._chunks[task], SPEED).add_done_callback(hear)


@contextmanager
def ours(policy: str, of: Scene, directory: Path) -> Iterator[Contestant]:
    """Eight workers, each with its own directory."""
    with tempfile.TemporaryDirectory(dir=directory) as root:
        nodes = lay_out(of, Path(root))
        places = dict(zip(of.chunks, holders(of), strict=True))
        with Scheduler(policy=policy, locations=places, nodes=nodes, link=LINK, seed=1) as live:
            yield Ours(live, policy, of)


ALL = [partial(ours, policy) for policy in POLICIES]


def calibrated(directory: Path, tasks: int = 64) -> tuple[float, float]:
    """Measured s of a local and of a remote task of mean size."""
    of = scene(1.0, tasks, 0)
    code, arguments = cloudpickle.dumps(count), cloudpickle.dumps(((SPEED,), {}))
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(dir=directory) as root:
        engine = ProcessEngine(lay_out(of, Path(root)), link=LINK, cache=0)
        try:
            engine.start(heard.put)
            found: list[float] = []
            for remote in (False, True):
                for i, (chunk, names) in enumerate(zip(of.chunks, holders(of), strict=True)):
                    others = [name for name in NAMES if name not in names]
                    node = others[i % len(others)] if remote else names[i % len(names)]
                    engine.run(node, Work(2 * i + remote, chunk, code, arguments, chunk, names))
                events = [heard.get() for _ in range(tasks)]
                found.append(sum(e.seconds for e in events if isinstance(e, Done)))
        finally:
            engine.close()
    near, far = found
    mean_tasks = float(np.sum(of.nominal)) * SPEED / SIZE
    return near / mean_tasks, far / mean_tasks
