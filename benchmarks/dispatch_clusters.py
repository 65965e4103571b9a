"""What the engines on Ray and Dask cost a task beside what those cost bare.

`python -m benchmarks.dispatch_clusters`: the same tasks as in `dispatch_engines`, which do nothing,
on two nodes of this machine. Bare is a loop over `ray.wait` or `as_completed` that keeps as many
tasks at each actor or pinned to each worker; Ray's actors are given the arguments, and give the
value back, in the same bytes. Both in turns, four times; the goal is 1.2 times the bare cost.
"""

import os
import pickle
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from benchmarks.dispatch_engines import ARGUMENTS, DEPTHS, NODES, Cost, Driven, nothing, row, timed
from isocline.dispatch.engines.base import Engine

RAY_TASKS, DASK_TASKS, WARM, ROUNDS = 2_000, 400, 100, 4

Feed = Callable[[int, int], None]  # with so many tasks at each node at a time, so many in all


def measured(feed: Feed, tasks: int) -> list[Cost]:
    """For each depth."""
    feed(2, WARM)
    return [timed(partial(feed, depth, tasks), tasks) for depth in DEPTHS]


def in_turns(
    name: str,
    engine: Callable[[], Engine],
    bare: Callable[[], AbstractContextManager[Feed]],
    tasks: int,
) -> None:
    """Ours and theirs, the least of each, as other work on the machine only adds."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        made = engine()
        try:
            ours.append(measured(Driven(made).feed, tasks))
        finally:
            made.close()
        with bare() as feed:
            theirs.append(measured(feed, tasks))
    least = [[min(costs) for costs in zip(*rounds, strict=True)] for rounds in (ours, theirs)]
    row(name, least[0])
    row(f"bare: {name}", least[1])
    ratios = (a.wall / b.wall for a, b in zip(*least, strict=True))
    print(f"{'ratio':24}" + "".join(f"{ratio:>9.2f}       " for ratio in ratios), flush=True)


@contextmanager
def ray_bare() -> Iterator[Feed]:
    import ray

    class Actor:
        def run(self, arguments: bytes) -> bytes:
            args, kwargs = pickle.loads(arguments)
            nothing(*args, **kwargs)
            return pickle.dumps(None)

    kind = ray.remote(num_cpus=1)(Actor)
    actors = [kind.remote() for _ in range(NODES)]

    def feed(depth: int, tasks: int) -> None:
        at = {actor.run.remote(ARGUMENTS): actor for actor in actors for _ in range(depth)}
        given = len(at)
        while at:
            done, _ = ray.wait(list(at))
            for ref in done:
                ray.get(ref)
                actor = at.pop(ref)
                if given < tasks:
                    given += 1
                    at[actor.run.remote(ARGUMENTS)] = actor

    yield feed
    for actor in actors:
        ray.kill(actor)


def on_ray() -> None:
    # On the loopback only, with a token of this run alone.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    from isocline.dispatch.engines.ray import RayEngine

    ray.init(
        "local",
        num_cpus=NODES,
        object_store_memory=80 << 20,
        include_dashboard=False,
        logging_level="error",
    )
    try:
        in_turns("ray", lambda: RayEngine(slots=NODES), ray_bare, RAY_TASKS)
    finally:
        ray.shutdown()


@contextmanager
def dask_client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=NODES, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def on_dask() -> None:
    from distributed import as_completed

    from isocline.dispatch.engines.dask import DaskEngine

    with dask_client() as client:
        workers = list(client.scheduler_info()["workers"])

        def submit(worker: str) -> Any:
            return client.submit(nothing, workers=[worker], allow_other_workers=False, pure=False)

        def feed(depth: int, tasks: int) -> None:
            at = {submit(worker): worker for worker in workers for _ in range(depth)}
            given, coming = len(at), as_completed(list(at), with_results=True)
            for future, _ in coming:
                worker = at.pop(future)
                if given < tasks:
                    given += 1
                    again = submit(worker)
                    at[again] = worker
                    coming.add(again)

        in_turns("dask", lambda: DaskEngine(client), lambda: nullcontext(feed), DASK_TASKS)


def main() -> None:
    heads = (f"{depth} at a time" for depth in DEPTHS)
    print(f"{'us a task (CPU here)':24}" + "".join(f"{head:>16}" for head in heads))
    on_ray()
    on_dask()


if __name__ == "__main__":
    main()
