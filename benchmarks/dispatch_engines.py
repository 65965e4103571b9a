"""What engines cost a task: `python -m benchmarks.dispatch_engines`.

Tasks that do nothing, on two nodes. Per task, with so many given to each node at a time: seconds
from functools import partial
from first to last over their number, and the CPU of the scheduler's process; and the time from
giving one to hearing its end while nothing else is there. The goal for worker processes is 300 us.
Below, what the bare machinery costs without our contract; then how fast chunks go between workers.
"""

import queue
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from typing import NamedTuple

import cloudpickle

from isocline.dispatch.engines.base import Done, Engine, Event, WorkItem
from isocline.dispatch.engines.fake import FakeEngine
from isocline.dispatch.engines.processes import ProcessEngine

TASKS, NODES, DEPTHS = 4_000, 2, (1, 2, 8)
MIB = 1 << 20


class Cost(NamedTuple):
    """Microseconds a task."""

    wall: float
    cpu: float  # of this process


def nothing() -> None:
    """The task."""


CODE, ARGUMENTS = cloudpickle.dumps(nothing), cloudpickle.dumps(((), {}))

ENGINES: dict[str, Callable[[], Engine]] = {
    "fake": lambda: FakeEngine(NODES, speed=float("inf")),
    "processes": lambda: ProcessEngine(NODES),
}


def timed(run: Callable[[], None], tasks: int = TASKS) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(1e6 * wall / tasks, 1e6 * cpu / tasks)


class Driven:
    """An engine fed as a scheduler would feed it, each node with `depth` tasks at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.nodes = [node.name for node in engine.start(self.heard.put)]
        self.given = 0

    def give(self, node: str) -> None:
        self.given += 1
        self.engine.run(node, WorkItem(self.given, "nothing", CODE, ARGUMENTS))

    def feed(self, depth: int, tasks: int = TASKS) -> None:
        for _ in range(depth):
            for node in self.nodes:
                self.give(node)
        left = tasks - depth * len(self.nodes)
        for _ in range(tasks):
            done = self.heard.get()
            assert isinstance(done, Done)
            if left > 0:
                left -= 1
                self.give(done.node)

    def there_and_back(self) -> None:
        for _ in range(TASKS):
            self.give(self.nodes[0])
            self.heard.get()


def engine_costs(engine: Engine) -> list[Cost]:
    """For each depth, and there and back."""
    try:
        driven = Driven(engine)
        driven.feed(2, 200)  # nodes that are warm
        costs = [timed(partial(driven.feed, depth)) for depth in DEPTHS]
        return [*costs, timed(driven.there_and_back)]
    finally:
        engine.close()


def pool_costs() -> list[Cost]:
    """The standard library's pool, which binds no task to a worker."""
    with ProcessPoolExecutor(NODES) as pool:

        def feed(depth: int, tasks: int = TASKS) -> None:
            running = {pool.submit(nothing) for _ in range(depth * NODES)}
            given = len(running)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                more = min(len(done), tasks - given)
                running |= {pool.submit(nothing) for _ in range(more)}
                given += more

        def there_and_back() -> None:
            for _ in range(TASKS):
                pool.submit(nothing).result()

        feed(2, 200)
        return [
            *[timed(partial(feed, depth)) for depth in DEPTHS],
            timed(there_and_back),
        ]


BARE: dict[str, Callable[[], list[Cost]]] = {"concurrent.futures": pool_costs}


def chunk_rate(size: int) -> float:
    """MiB/s of chunks of so many bytes, from one worker's memory to another's task."""
    count = max(8, 256 * MIB // size)
    engine = ProcessEngine(NODES, loader=lambda _chunk: bytes(size), cache=0)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    engine.start(heard.put)
    code, seconds = cloudpickle.dumps(lambda _chunk: None), 0.0
    for number in range(count):
        engine.run("n1", WorkItem(number, "read", code, ARGUMENTS, "chunk", ("n0",)))
        done = heard.get()
        assert isinstance(done, Done)
        seconds += done.read_seconds
    engine.close()
    return count * size / MIB / seconds


def row(name: str, costs: list[Cost]) -> None:
    cells = "".join(f"{cost.wall:>9.0f} ({cost.cpu:>4.0f})" for cost in costs)
    print(f"{name:24}{cells}", flush=True)


def main() -> None:
    heads = [*(f"{depth} at a time" for depth in DEPTHS), "to and fro"]
    print(f"{'us a task (CPU here)':24}" + "".join(f"{head:>16}" for head in heads))
    for name, engine in ENGINES.items():
        row(name, engine_costs(engine()))
    for name, costs in BARE.items():
        row(f"bare: {name}", costs())
    for size in (MIB // 16, MIB, 64 * MIB):
        print(f"chunks of {size / MIB:g} MiB from worker to worker: {chunk_rate(size):.0f} MiB/s")


if __name__ == "__main__":
    main()
