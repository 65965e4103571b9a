"""Real work near its data: `python -m benchmarks.dispatch_policies`.

Words are counted in chunks of text, and the values of each key added up in chunks that are Parquet
files, half of each kind, on eight worker processes, three replicas of each chunk, with hot-spot
arrivals (0.8 of the tasks on 0.5 of the nodes; near-data paper, Section 6), Poisson and in open
loop, at three shares of the capacity that `isocline.plan` finds for the measured rates. The same
arrivals for four policies of our scheduler, and for Dask and Ray where they decide themselves
(those that are installed), as shipped and as well set as we could. A task takes 0.15 s where its
chunk is and 0.3 s elsewhere, nearly all of it waiting (`dispatch_work`), so that two cores do.

Printed are mean times from arrival to result, in local service times, with 95 % intervals over
batches of arrivals, and the ratio of late binding to the best of the others, paired. It takes 25
minutes; `--quick` two, with wide intervals. `--json FILE` keeps all numbers.
"""

import argparse
import importlib.util
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import isocline
from benchmarks import dispatch_ours
from benchmarks.dispatch_task import Answer
from benchmarks.dispatch_work import (
    Contestant,
    FloatArray,
    Scene,
    Start,
    cluster,
    scene,
)
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics.intervals import interval, ratio_interval

# Windows end before queues at 0.9 are quite in their steady state, for all alike.
LOADS, QUICK_LOADS = (0.5, 0.8, 0.9), (0.9,)
SECONDS, QUICK_SECONDS = 30.0, 6.0  # of arrivals in each run
BATCHES, WARMUP = 8, 1.0 / 9.0  # the first ninth of the arrivals is not counted
OURS = "late_binding"
GOAL = 0.8  # of the best of Dask and Ray at the highest load
TOO_SLOW = 1.1  # times what they wait for, that tasks take: then the machine is measured
PATIENCE = 120.0  # s after the last arrival


class Outcome(NamedTuple):
    """One contestant at one load."""

    load: float
    name: str
    times: FloatArray  # (BATCHES,) s, mean from arrival to result
    held: float  # share of tasks that ran where their chunk was put
    stretch: float  # what tasks took over what they wait for
    late: float  # s, mean, that the load generator was late


def run(contestant: Contestant, of: Scene, load: float) -> Outcome:
    """All tasks, each given when it comes."""
    count = len(of.data)
    ended, held = np.full(count, np.nan), np.zeros(count, bool)
    results: list[Answer | None] = [None] * count
    left = threading.Semaphore(0)
    begin, late = time.monotonic() + 0.2, np.zeros(count)

    def hear(task: int, result: Answer, here: bool) -> None:
        ended[task] = time.monotonic() - begin
        results[task], held[task] = result, here
        left.release()

    for task, at in enumerate(of.times.tolist()):
        time.sleep(max(0.0, begin + at - time.monotonic()))
        late[task] = time.monotonic() - begin - at
        contestant.submit(task, partial(hear, task))
    end = time.monotonic() + PATIENCE
    for _ in range(count):
        if not left.acquire(timeout=max(0.0, end - time.monotonic())):
            raise TimeoutError(f"{contestant.name}: tasks without a result at load {load:g}")
    done = [result for result in results if result]
    assert [result.value for result in done] == of.right, f"{contestant.name}: wrong results"
    return Outcome(
        load,
        contestant.name,
        batched(ended - of.times),
        float(held.mean()),
        stretch(of, done, held),
        float(late.mean()),
    )


def batched(times: FloatArray) -> FloatArray:
    counted = times[int(WARMUP * times.size) :]
    return np.array([batch.mean() for batch in np.array_split(counted, BATCHES)])


def stretch(of: Scene, done: Sequence[Answer], held: "np.typing.NDArray[np.bool_]") -> float:
    """Of tasks that were held: elsewhere some wait in the task and some before."""
    took = np.array([result.seconds for result in done])
    return float(took[held].sum() / of.nominal[held].sum())


def contestants() -> list[Start]:
    starts: list[Start] = list(dispatch_ours.ALL)
    if importlib.util.find_spec("distributed"):
        from benchmarks import dispatch_dask

        starts += dispatch_dask.ALL
    if importlib.util.find_spec("ray"):
        from benchmarks import dispatch_ray

        starts += dispatch_ray.ALL
    for name, extra in (("distributed", "dask"), ("ray", "ray")):
        if not importlib.util.find_spec(name):
            print(f"{extra} is left out: pip install 'isocline[{extra}]'", file=sys.stderr)
    return starts


def name_of(start: Start) -> str:
    """Of the contestant that it starts: a policy, or a setting of an engine."""
    what = start.args[0]
    return what if isinstance(what, str) else str(what.name)


def table(outcomes: Sequence[Outcome], local: float) -> str:
    """Markdown: completion time in service times, and the share of tasks that ran at their data."""
    loads = sorted({outcome.load for outcome in outcomes})
    names = list(dict.fromkeys(outcome.name for outcome in outcomes))
    lines = [f"| | {' | '.join(f'load {load:g}' for load in loads)} |"]
    lines.append("|---" * (len(loads) + 1) + "|")
    for name in names:
        cells = [one for one in outcomes if one.name == name]
        lines.append(f"| {name} | {' | '.join(entry(one, local) for one in cells)} |")
    return "\n".join(lines)


def entry(one: Outcome, local: float) -> str:
    mean = interval(one.times / local)
    mark = " (machine too slow)" if one.stretch > TOO_SLOW else ""
    return f"{mean.value:.2f} ± {mean.half_width:.2f} ({100 * one.held:.0f} % local){mark}"


def verdicts(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for load in sorted({outcome.load for outcome in outcomes}):
        here = [outcome for outcome in outcomes if outcome.load == load]
        mine = next((one for one in here if one.name == OURS), None)
        others = [one for one in here if one is not mine]
        if mine is None or not others:
            continue  # as --only leaves nothing to compare
        yield told(f"load {load:g}: late binding over the best of all others", mine, others)
        if rivals := [one for one in others if one.name.startswith(("Dask", "Ray"))]:
            yield told(f"load {load:g}: over the best of Dask and Ray", mine, rivals)


def told(what: str, mine: Outcome, others: Sequence[Outcome]) -> str:
    best = min(others, key=lambda one: float(one.times.mean()))
    over = ratio(mine, best)
    return f"{what} ({best.name}): {over.value:.2f} ± {over.half_width:.2f}"


def ratio(above: Outcome, below: Outcome) -> Estimate:
    return ratio_interval(above.times, below.times)


def document(outcomes: Sequence[Outcome], local: float, remote: float, capacity: float) -> str:
    rows = [
        {**one._asdict(), "times": one.times.tolist(), "mean": float(one.times.mean() / local)}
        for one in outcomes
    ]
    facts = {"local": local, "remote": remote, "capacity": capacity, "outcomes": rows}
    return json.dumps(facts, indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--only", default="", help="contestants whose names contain this")
    parser.add_argument("--seconds", type=float, help="of arrivals in each run")
    parser.add_argument("--loads", type=float, nargs="+", help="shares of capacity")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending what was started
    loads, seconds = (QUICK_LOADS, QUICK_SECONDS) if chosen.quick else (LOADS, SECONDS)
    loads, seconds = chosen.loads or loads, chosen.seconds or seconds
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="isocline-") as made:
        directory = Path(made)
        local, remote = dispatch_ours.calibrated(directory)
        capacity = isocline.plan(cluster(local, remote)).capacity_scale  # tasks/s
        for load in loads:
            of = scene(load * capacity, seconds, chosen.seed)
            for start in contestants():
                if chosen.only not in name_of(start):
                    continue
                with start(of, directory) as contestant:
                    outcomes.append(run(contestant, of, load))
                    print(table(outcomes[-1:], local).splitlines()[-1], file=sys.stderr)
            if chosen.json:
                chosen.json.write_text(document(outcomes, local, remote, capacity))
    print(table(outcomes, local))
    print()
    print(
        f"{seconds:g} s of arrivals in each run, {BATCHES} batches; a local task takes "
        f"{local:.3f} s, a remote one {remote:.3f} s; capacity {capacity:.1f} tasks/s. Tasks took "
        f"at most {max(one.stretch for one in outcomes):.3f} of what they wait for; the load "
        f"generator was late by {1e3 * max(one.late for one in outcomes):.1f} ms at most."
    )
    print("\n".join(verdicts(outcomes)))


if __name__ == "__main__":
    main()
