"""Worker processes killed at random, also while they start: every task is to end right, and once.

    python -m benchmarks.dispatch_kills --seeds 10 --tasks 3000

Each chunk has one holder, so that nothing is to be had elsewhere while that is started again. Every
0.3 s one of the nodes is drawn, and the worker that it has, if any, gets a SIGKILL; now and then
all of them do for a second, so that those which are being started do not come up. Retries are off,
and all rules are as by default. A line for each seed; exit status 1 if a task has failed. Ten seeds
of 3 000 tasks take some three minutes.
"""

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import cloudpickle

from isocline.dispatch.scheduler import Scheduler

cloudpickle.register_pickle_by_value(sys.modules[__name__])

NODES = 4
EVERY = 0.3  # s between kills
STORM, EVERY_IN_STORM = 1.0, 0.1  # s that all are killed, and how often
STORMS = 0.1  # share of kills that begin one


def square(value: int) -> int:
    time.sleep(0.003)
    return value**2


def workers() -> list[int]:
    """The processes that this one has started, and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


class Killer(threading.Thread):
    """Kills until it is told to stop."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.kills = 0
        self._draw = random.Random(seed)

    def run(self) -> None:
        while not self.over.wait(EVERY):
            if self._draw.random() < STORMS:
                end = time.monotonic() + STORM
                while time.monotonic() < end and not self.over.wait(EVERY_IN_STORM):
                    for pid in workers():
                        self._kill(pid)
                continue
            at, there = self._draw.randrange(NODES), workers()
            if at < len(there):
                self._kill(there[at])

    def _kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills += 1


def run(seed: int, tasks: int) -> int:
    """How many tasks have failed, or have a wrong result."""
    killer, wrong, errors = Killer(seed), 0, Counter[str]()
    begin = time.monotonic()
    with Scheduler(
        nodes=NODES, locations=lambda chunk: [f"n{int(chunk) % NODES}"], loader=int, seed=seed
    ) as live:
        killer.start()
        for future in live.completed(square, map(str, range(tasks)), in_order=True, window=tasks):
            error = future.exception()
            if error is not None:
                errors[f"{type(error).__name__}: {error}"] += 1
            wrong += error is None and future.result() != int(future.key[7:-1]) ** 2
        killer.over.set()
        killer.join()
    attempts = live.statistics().attempts
    print(
        f"seed {seed}: {tasks} tasks in {time.monotonic() - begin:.1f} s, {killer.kills} kills, "
        f"{attempts['lost']} attempts lost, {wrong} wrong, {sum(errors.values())} failed",
        flush=True,
    )
    for text, count in errors.most_common(3):
        print(f"  {count} x {text}")
    return wrong + sum(errors.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=3000)
    given = parser.parse_args()
    sys.exit(sum(run(seed, given.tasks) for seed in range(given.seeds)) > 0)


if __name__ == "__main__":
    main()
