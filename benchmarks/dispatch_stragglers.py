"""What copies of stragglers save: `python -m benchmarks.dispatch_stragglers`.

Tasks of 0.1 s in the mean wait on eight worker processes, three of which hold the data of each;
late binding places them. No worker is slow, or one takes ten times as long, or one stands still
(SIGSTOP) for a third of the time. The same arrivals, Poisson and in open loop, with the rule
`Rules.straggler` and without. Printed are the mean and the largest time from arrival to result,
means over seeds, and their ratios. Times of tasks are even from 0.05 to 0.15 s, as of chunks of
like size, or with `--exponential` as in the near-data paper. It takes less than two minutes.
"""

import argparse
import contextlib
import functools
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from isocline.dispatch.rules import Rules
from isocline.dispatch.scheduler import Scheduler
from isocline.dispatch.telemetry.records import Outcome

NODES, REPLICAS = 8, 3
SERVICE = 0.1  # s
LOAD = 0.5  # of eight workers that are well
SECONDS = 4.5  # of arrivals in each run
SLOWER = 10.0
SEEDS = (1, 2, 3)
SLOW, STOPPED = "one is 10 times slower", "one stands still for a third"
SCENES = ("no worker is slow", SLOW, STOPPED)
FACTORS = (2.0, float("inf"))  # the rule as it is by default, and none


class Found(NamedTuple):
    """One run."""

    mean: float  # s from arrival to result
    largest: float
    copies: int  # attempts that another one was faster than


def work(_chunk: str, seconds: float, slow: int) -> None:
    """Wait; `slow`: the process that takes longer."""
    time.sleep(seconds * (SLOWER if os.getpid() == slow else 1.0))


def process(_chunk: str) -> int:
    """Which one it is; a function of its own, so that the rates of `work` are measured afresh."""
    time.sleep(0.02)
    return os.getpid()


def run(scene: str, factor: float, seed: int, exponential: bool) -> Found:
    """The same arrivals, holders and service times for each factor."""
    rng = np.random.default_rng(seed)
    rate = LOAD * NODES / SERVICE
    count = round(rate * SECONDS)
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    draw = rng.exponential(1.0, count) if exponential else rng.uniform(0.5, 1.5, count)
    services = SERVICE * draw
    names = [f"n{number}" for number in range(NODES)]
    holders = {f"c{i}": rng.choice(names, REPLICAS, replace=False).tolist() for i in range(count)}
    ended = np.zeros(count)
    with Scheduler(
        policy="late_binding",
        locations=holders | {name: [name] for name in names},
        nodes=NODES,
        loader=str,
        rules=Rules(straggler=factor),
        seed=seed,
    ) as scheduler:
        pid = victim(scheduler, names)
        slow = pid if scene == SLOW else 0
        with stopped(pid, SECONDS / 3) if scene == STOPPED else contextlib.nullcontext():

            def record(number: int, _: object) -> None:
                ended.put(number, time.monotonic() - begin)

            begin = time.monotonic()
            for i, at in enumerate(times.tolist()):
                time.sleep(max(0.0, begin + at - time.monotonic()))
                future = scheduler.submit(work, f"c{i}", float(services[i]), slow)
                future.add_done_callback(functools.partial(record, i))
            scheduler.close()
        copies = scheduler.records.outcomes[Outcome.SURPASSED]
    took = ended - times
    return Found(float(took.mean()), float(took.max()), copies)


def victim(scheduler: Scheduler, names: list[str]) -> int:
    """The process of some worker, when all have run some tasks."""
    given = [scheduler.submit(process, name) for name in names * 8]
    pids = [future.result() for future in given]
    return pids[0]


@contextlib.contextmanager
def stopped(pid: int, seconds: float) -> Iterator[None]:
    """A process stands still for so long, from as long after now on."""

    def stop() -> None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exponential", action="store_true", help="times of tasks")
    chosen = parser.parse_args()
    print("| | with the rule: mean, largest (copies) | without | ratio |\n|---|---|---|---|")
    for scene in SCENES:
        ruled, free = (
            [run(scene, factor, seed, chosen.exponential) for seed in SEEDS] for factor in FACTORS
        )
        cells = [entry(ruled), entry(free), ratios(ruled, free)]
        print(f"| {scene} | {' | '.join(cells)} |", flush=True)


def entry(found: list[Found]) -> str:
    mean, largest, copies = (statistics.mean(column) for column in zip(*found, strict=True))
    return f"{mean:.3f} s, {largest:.2f} s ({copies:.0f})"


def ratios(above: list[Found], below: list[Found]) -> str:
    """Of means over seeds."""
    means = [
        [statistics.mean(column) for column in zip(*one, strict=True)] for one in (above, below)
    ]
    return f"{means[0][0] / means[1][0]:.2f}, {means[0][1] / means[1][1]:.2f}"


if __name__ == "__main__":
    main()
