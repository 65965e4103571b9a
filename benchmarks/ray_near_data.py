"""Ray tasks and Ray Data reads near Parquet files: `python -m benchmarks.ray_near_data`.

Eight Ray nodes of one CPU, files with three replicas, hot-spot arrivals (0.8 of the tasks on 0.5 of
the nodes; near-data paper, Section 6), Poisson and in open loop, at shares of the capacity that
`isocline.plan` finds. A task reads a file and adds up its values, which takes 0.6 s where a replica
is and twice that elsewhere, nearly all of it waiting, so that two cores do. The same arrivals for
`NearData`, and for Ray with nodes that tell one another ten times as often what is free: where it
decides itself, as it knows no files, and where the program pins each task softly to that holder to
which it has given the fewest that have not ended. Printed are mean times from arrival to result, in
local service times, with 95 % intervals over batches of arrivals.

Then one batch of files through Ray Data: `from_items(files).map(read)` against
`NearData.dataset(read, files)`, time until all are read. It takes nine minutes; `--quick` two.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import isocline
from benchmarks.dispatch_policies import Outcome, run

# Sets up Ray before it is imported.
from benchmarks.dispatch_ray import SETTINGS, cluster_of
from benchmarks.dispatch_task import Answer, sums
from benchmarks.dispatch_work import NODES, Scene, cluster, holders, scene
from benchmarks.dispatch_work import SPEED as THEIRS
from isocline.integrations.ray import NearData
from isocline.simulate.common.statistics.intervals import interval, ratio_interval

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SPEED = 25_000.0  # bytes/s: 0.6 s for a local task
LOCAL = 15_000 / SPEED  # s
LOADS, QUICK_LOADS = (0.3, 0.5, 0.7, 0.9), (0.9,)
SECONDS, QUICK_SECONDS = 35.0, 10.0  # of arrivals in each run
BATCH, QUICK_BATCH = 160, 48  # files that Ray Data reads


def work(path: str, at: tuple[str, ...]) -> Answer:
    """Read a Parquet file and add up its values."""
    node = ray.get_runtime_context().get_node_id()
    data = Path(path).read_bytes()
    return sums(data, SPEED, node, 0.0 if node in at else len(data) / SPEED)


class Corpus:
    """Files of a scene, and the Ray nodes that hold each."""

    def __init__(self, of: Scene, nodes: list[str], root: Path) -> None:
        self.paths = [str(root / f"{number}.parquet") for number in range(len(of.data))]
        self.holders = holders(of, nodes)
        for path, data in zip(self.paths, of.data, strict=True):
            Path(path).write_bytes(data)


class ByRay:
    """Ray decides where tasks run."""

    name = "Ray, tuned"

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._run: Any = ray.remote(num_cpus=1)(work)

    def submit(self, task: int, ended: Callable[[Answer, bool], None]) -> None:
        def hear(future: Any) -> None:
            done = future.result()
            ended(done, done.node in self._corpus.holders[task])

        at = self._corpus.holders[task]
        self._start(task, at).remote(self._corpus.paths[task], at).future().add_done_callback(hear)

    def _start(self, _task: int, _at: tuple[str, ...]) -> Any:
        return self._run


class ByProgram(ByRay):
    """The program pins each task to the holder to which it has given fewest."""

    name = "Ray, tuned and pinned to the holder with fewest"

    def __init__(self, corpus: Corpus) -> None:
        super().__init__(corpus)
        self._given: Counter[str] = Counter()
        self._at: dict[int, str] = {}

    def submit(self, task: int, ended: Callable[[Answer, bool], None]) -> None:
        def hear(answer: Answer, here: bool) -> None:
            self._given[self._at[task]] -= 1
            ended(answer, here)

        super().submit(task, hear)

    def _start(self, task: int, at: tuple[str, ...]) -> Any:
        node = self._at[task] = min(at, key=self._given.__getitem__)
        self._given[node] += 1
        return self._run.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)
        )


class ByPolicy:
    """`NearData` with its default policy."""

    name = "NearData"

    def __init__(self, corpus: Corpus, near: NearData) -> None:
        self._corpus = corpus
        self._near = near

    def submit(self, task: int, ended: Callable[[Answer, bool], None]) -> None:
        at = self._corpus.holders[task]

        def hear(future: Any) -> None:
            future.result().future().add_done_callback(got)

        def got(future: Any) -> None:
            done = future.result()
            ended(done, done.node in at)

        future = self._near.submit(work, self._corpus.paths[task], at)
        future.add_done_callback(hear)


@contextmanager
def near(corpus: Corpus) -> Iterator[NearData]:
    """Scheduler that has seen each node run a task."""
    locations = dict(zip(corpus.paths, corpus.holders, strict=True))
    with NearData(locations, seed=1) as found:
        yield found


def warm(nodes: list[str]) -> None:
    """Have each node's worker load Arrow and what tasks call."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(scene(1.0, 4.0 * NODES, 0, ["sums"]), nodes, Path(folder))
        pinned = ByProgram(corpus)
        left: list[Answer] = []
        for task in range(len(corpus.paths)):
            pinned.submit(task, lambda answer, _: left.append(answer))
        with near(corpus) as found:
            ray.get(list(found.map(work, corpus.paths, ())))
        while len(left) < len(corpus.paths):
            time.sleep(0.05)


def at_load(load: float, seconds: float, nodes: list[str]) -> list[Outcome]:
    capacity = isocline.plan(cluster(LOCAL, 2 * LOCAL)).capacity_scale  # tasks/s
    of = scene(load * capacity, seconds, round(100 * load), ["sums"])
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(of, nodes, Path(folder))
        found = [run(contestant, of, load) for contestant in (ByRay(corpus), ByProgram(corpus))]
        with near(corpus) as scheduler:
            return [*found, run(ByPolicy(corpus, scheduler), of, load)]


def in_ray_data(files: int, nodes: list[str]) -> dict[str, float]:
    """Seconds until Ray Data has read all files, by contestant."""
    of = scene(1.0, float(files), 7, ["sums"])
    ray.data.from_items([{"path": ""}] * 2 * NODES, override_num_blocks=2 * NODES).map(
        _idle
    ).materialize()  # so that workers have loaded what Ray Data needs
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(of, nodes, Path(folder))
        rows = [
            {"path": path, "at": list(at)}
            for path, at in zip(corpus.paths, corpus.holders, strict=True)
        ]
        began = time.monotonic()
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(_row)
        assert dataset.materialize().count() == files
        theirs = time.monotonic() - began
        began = time.monotonic()
        with near(corpus) as scheduler:
            read = partial(_table, dict(zip(corpus.paths, corpus.holders, strict=True)))
            assert scheduler.dataset(read, corpus.paths).count() == files
        return {"Ray Data, tuned": theirs, "NearData": time.monotonic() - began}


def _idle(row: dict[str, Any]) -> dict[str, Any]:
    time.sleep(0.5)
    return row


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {"value": sum(_sums_of(work(row["path"], tuple(row["at"]))))}


def _table(at: dict[str, tuple[str, ...]], path: str) -> Any:
    import pyarrow as pa

    return pa.table({"value": [sum(_sums_of(work(path, at[path])))]})


def _sums_of(answer: Answer) -> list[int]:
    assert isinstance(answer.value, dict)
    return list(answer.value.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with cluster_of(SETTINGS[1]) as nodes:
        warm(nodes)
        for load in QUICK_LOADS if quick else LOADS:
            found = at_load(load, QUICK_SECONDS if quick else SECONDS, nodes)
            for one in found:
                mean = interval(one.times / LOCAL)
                print(
                    f"load {load:g}  {one.name:48} {mean.value:6.2f} +- {mean.half_width:.2f}"
                    f"  at their data {one.held:4.0%}  stretch {one.stretch * SPEED / THEIRS:.2f}",
                    flush=True,
                )
            for rival in found[:-1]:
                ratio = ratio_interval(found[-1].times, rival.times)
                print(
                    f"load {load:g}  NearData / {rival.name}: {ratio.value:.2f} "
                    f"+- {ratio.half_width:.2f}",
                    flush=True,
                )
        for name, seconds in in_ray_data(QUICK_BATCH if quick else BATCH, nodes).items():
            print(f"Ray Data  {name:48} {seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
