"""Unchanged Dask programs near their data: `python -m benchmarks.dask_near_data`.

Parquet files with three replicas each on eight workers of one thread; 0.8 of the tasks read files
of 0.5 of the workers (near-data paper, Section 6). A task reads its file and sums a column, and
waits as long as a slow core would need, and as long again where the file is not, as over a slow
link; so two cores do. The program is `client.submit(total, path)` for each arrival, Poisson and in
open loop, at shares of the capacity that `isocline.plan` finds.

Contestants: Dask as shipped; tuned (looks for tasks to steal ten times as often, and is told how
long tasks take); a program that names the holders of each file itself (`workers=`); and ours, where
the program is as in the first two. Printed are mean times from arrival to result, in local service
times, with 95 % intervals over batches, and the ratio of ours to each, on the same arrivals.

All run at the same time, each in a process of its own, so that whatever else the machine does is
the same for all; they mostly sleep. `--quick` runs the highest load alone. The plugin's cost is
measured by `benchmarks.dask_plugin_cost`.
"""

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dask
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client, LocalCluster, get_worker

import isocline
from benchmarks.dispatch_work import cluster
from isocline.integrations.dask import install
from isocline.model.cluster import SampledTasks
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics.intervals import interval, ratio_interval

NODES = 8
LOCAL = 0.5  # s, mean of a task whose file is at its worker
LOADS, QUICK_LOADS = (0.3, 0.5, 0.7, 0.9), (0.9,)
SECONDS = 180.0  # of arrivals
BATCHES, WARMUP = 16, 1.0 / 9.0
PATIENCE = 300.0  # s after the last arrival, and until all are ready
FIXED = {
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.worker.profile.enabled": False,
}
TUNED = {
    "distributed.scheduler.work-stealing-interval": "10ms",
    "distributed.scheduler.default-task-durations": {"total": LOCAL},
}
OURS, RIVAL, NAMED = "Isocline in Dask", "Dask, tuned", "Dask, workers="

FloatArray = npt.NDArray[np.float64]


class Answer(NamedTuple):
    """Result of a task."""

    total: int
    near: bool


def total(path: str) -> Answer:
    """The program's task: sums a column; the file says how slow it is, and where it is."""
    table = pq.read_table(path)
    facts = table.schema.metadata
    near = str(get_worker().name) in facts[b"holders"].decode().split(",")
    time.sleep(float(facts[b"seconds"]) * (1.0 if near else 2.0))
    return Answer(int(table["value"].to_numpy().sum()), near)


class Scene(NamedTuple):
    """Arrivals, each with a file of its own."""

    times: FloatArray  # s
    paths: list[str]
    totals: list[int]
    holders: list[list[str]]  # names of workers


def scene(rate: float, seconds: float, seed: int, folder: Path) -> Scene:
    rng = np.random.default_rng(seed)
    count = round(rate * seconds)
    model = cluster(1.0, 2.0)
    assert isinstance(model.tasks, SampledTasks)
    rows = model.tasks.draw(model, rng, count).tolist()
    holders = [[str(server) for server in row] for row in rows]
    paths, totals = [], []
    folder.mkdir()
    for i, at in enumerate(holders):
        values = rng.integers(0, 1000, 100)
        facts = {"seconds": repr(rng.exponential(LOCAL)), "holders": ",".join(at)}
        path = folder / f"{i:05}.parquet"
        pq.write_table(pa.table({"value": values}).replace_schema_metadata(facts), path)
        paths.append(str(path))
        totals.append(int(values.sum()))
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    return Scene(times, paths, totals, holders)


class Outcome(NamedTuple):
    """One contestant at one load."""

    load: float
    name: str
    times: FloatArray  # (BATCHES,) s, mean from arrival to result
    near: float  # share of tasks that ran where their file was
    late: float  # s, mean, that the arrivals were late


@contextmanager
def dask_cluster(settings: Mapping[str, Any]) -> Iterator[Any]:
    local_cluster: Any = LocalCluster  # Dask has types for some of its functions only
    client_of: Any = Client
    with (
        dask.config.set({**FIXED, **settings}),
        local_cluster(
            n_workers=NODES,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as made,
        client_of(made, set_as_default=False) as client,
    ):
        yield client


def run(name: str, client: Any, of: Scene, load: float) -> Outcome:
    """All tasks, each when it comes."""
    count = len(of.paths)
    ended, near = np.full(count, np.nan), np.zeros(count, bool)
    late, left = np.zeros(count), threading.Semaphore(0)
    wrong: list[int] = []

    def hear(task: int, future: Any) -> None:
        ended[task] = time.monotonic() - begin
        result = future.result()
        near[task] = result.near
        if result.total != of.totals[task]:
            wrong.append(task)
        left.release()

    begin = time.monotonic() + 0.2
    for task, at in enumerate(of.times.tolist()):
        time.sleep(max(0.0, begin + at - time.monotonic()))
        late[task] = time.monotonic() - begin - at
        where = {"workers": [int(at) for at in of.holders[task]]} if name == NAMED else {}
        future = client.submit(total, of.paths[task], pure=False, **where)
        future.add_done_callback(lambda done, task=task: hear(task, done))
    end = time.monotonic() + PATIENCE
    for _ in range(count):
        if not left.acquire(timeout=max(0.0, end - time.monotonic())):
            raise TimeoutError(f"{name}: tasks without a result at load {load:g}")
    assert not wrong, f"{name}: wrong results"
    counted = (ended - of.times)[int(WARMUP * count) :]
    means = np.array([batch.mean() for batch in np.array_split(counted, BATCHES)])
    return Outcome(load, name, means, float(near.mean()), float(late.mean()))


CONTESTANTS: dict[str, Mapping[str, Any]] = {
    "Dask, as shipped": {},
    RIVAL: TUNED,
    NAMED: TUNED,
    OURS: {},
}


def compete(name: str, load: float, of: Scene, seed: int) -> Outcome:
    """One contestant, in its process, when all are ready."""
    with dask_cluster(CONTESTANTS[name]) as client:
        if name == OURS:
            install(client, dict(zip(of.paths, of.holders, strict=True)), seed=seed)
        _READY[0].wait(PATIENCE)
        return run(name, client, of, load)


def get_ready(barrier: Any) -> None:
    _READY.append(barrier)


_READY: list[Any] = []


def compare(
    loads: Sequence[float], seconds: float, seed: int, only: Sequence[str]
) -> list[Outcome]:
    capacity = isocline.plan(cluster(LOCAL, 2.0 * LOCAL)).capacity_scale  # tasks/s
    names = [name for name in CONTESTANTS if any(part in name for part in only)]
    count, server = len(loads) * len(names), multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["benchmarks.dask_near_data"])  # imported once for all
    with (
        tempfile.TemporaryDirectory(prefix="isocline-") as made,
        ProcessPoolExecutor(count, server, get_ready, (server.Barrier(count),)) as pool,
    ):
        scenes = {
            load: scene(load * capacity, seconds, seed, Path(made, f"{load:g}")) for load in loads
        }
        running = [
            pool.submit(compete, name, load, of, seed)
            for load, of in scenes.items()
            for name in names
        ]
        for each in as_completed(running):
            print(line(each.result()), file=sys.stderr, flush=True)
        return [each.result() for each in running]


def line(one: Outcome) -> str:
    mean = interval(one.times / LOCAL)
    return (
        f"load {one.load:g}  {one.name:18} {mean.value:6.2f} ± {mean.half_width:.2f}  "
        f"{100 * one.near:3.0f} % near, arrivals late by {1e3 * one.late:.1f} ms"
    )


def over(outcomes: list[Outcome], load: float, rival: str) -> Estimate | None:
    here = {one.name: one for one in outcomes if one.load == load}
    if OURS not in here or rival not in here:
        return None
    return ratio_interval(here[OURS].times, here[rival].times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of contestants' names")
    parser.add_argument("--loads", type=float, nargs="+", help="shares of capacity")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of arrivals")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    loads = chosen.loads or (QUICK_LOADS if chosen.quick else LOADS)
    outcomes = compare(loads, chosen.seconds, chosen.seed, chosen.only)
    print("\n".join(map(line, outcomes)))
    for load in loads:
        for rival in CONTESTANTS:
            ratio = over(outcomes, load, rival) if rival != OURS else None
            if ratio:
                print(f"load {load:g}: over {rival}: {ratio.value:.2f} ± {ratio.half_width:.2f}")


if __name__ == "__main__":
    main()
