"""What the plugin costs Dask's scheduler: `python -m benchmarks.dask_plugin_cost`.

Processor time for each task of a scheduler in a process of its own, with eight workers in another,
in turns without the plugin and with it. Programs: tasks that read chunks with three replicas, in
one graph (`map`) or each in its own (`submit`); and as many of which half read none but use the
results of the others (`two layers`), which Dask places itself. A task waits for 20 ms: with tasks
that do nothing, how many messages happen to share a packet would count for more than the plugin.
Printed are the medians of the rounds, and the time in the plugin alone, by the same clock, in turns
of their own, as that clock takes long to read.
"""

import argparse
import statistics as moments
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, SpecCluster, Worker
from distributed.deploy.subprocess import SubprocessScheduler

from isocline.integrations.dask import binding, install, plugin, statistics, uninstall

NODES = 8
SECONDS = 0.02


def nap(_: Any) -> None:
    """The programs' task."""
    time.sleep(SECONDS)


def by_map(client: Any, chunks: list[str]) -> list[Any]:
    futures: list[Any] = client.map(nap, chunks, pure=False)
    return futures


def by_submit(client: Any, chunks: list[str]) -> list[Any]:
    return [client.submit(nap, chunk, pure=False) for chunk in chunks]


def in_two_layers(client: Any, chunks: list[str]) -> list[Any]:
    futures: list[Any] = client.map(nap, by_map(client, chunks[::2]), pure=False)
    return futures


PROGRAMS: dict[str, Callable[[Any, list[str]], list[Any]]] = {
    "map": by_map,
    "submit": by_submit,
    "two layers": in_two_layers,
}


@contextmanager
def scheduler_apart() -> Iterator[Any]:
    """Cluster whose scheduler is a process of its own."""
    cluster_of: Any = SpecCluster  # Dask has types for some of its functions only
    client_of: Any = Client
    options = {"host": "127.0.0.1", "dashboard": False}
    workers = {
        i: {"cls": Worker, "options": {"nthreads": 1, "name": i, **options}} for i in range(NODES)
    }
    scheduler = {"cls": SubprocessScheduler, "options": {"scheduler_kwargs": options}}
    with (
        cluster_of(scheduler=scheduler, workers=workers, silence_logs=50) as made,
        client_of(made, set_as_default=False) as client,
    ):
        client.wait_for_workers(NODES)
        yield client


def processor_time() -> float:
    return time.process_time()


def count(clock: Callable[[], float]) -> None:
    """Let the plugin count its time by a clock, on the scheduler."""
    for module in (plugin, binding):
        vars(module)["perf_counter"] = clock


def cost(name: str, client: Any, tasks: int, rounds: int) -> str:
    spent: dict[str, list[float]] = {"without": [], "with": [], "counted": []}
    inside = []
    for turn in range(3 * (rounds + 1)):
        kind = list(spent)[turn % 3]
        chunks = [f"/{name}/{turn}/{i}" for i in range(tasks)]
        if kind != "without":
            at = {c: [str((i + j) % NODES) for j in range(3)] for i, c in enumerate(chunks)}
            clock = time.thread_time if kind == "counted" else time.perf_counter
            client.run_on_scheduler(count, clock)
            install(client, at)
        began = client.run_on_scheduler(processor_time)
        client.gather(PROGRAMS[name](client, chunks))
        each = 1e6 * (client.run_on_scheduler(processor_time) - began) / tasks
        if kind == "counted":
            inside.append(1e6 * statistics(client).scheduler_seconds / tasks)
        if kind != "without":
            uninstall(client)
        spent[kind].append(each)
    without, through = (moments.median(spent[kind][1:]) for kind in ("without", "with"))
    return (
        f"{name:10}  {without:5.0f} us a task without, {through:5.0f} us with: "
        f"{through - without:+.0f} us or {through / without - 1:+.0%}, "
        f"of that in the plugin {moments.median(inside[1:]):.0f} us"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=1000, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    chosen = parser.parse_args()
    with scheduler_apart() as client:
        for name in chosen.only:
            print(cost(name, client, chosen.tasks, chosen.rounds), flush=True)


if __name__ == "__main__":
    main()
