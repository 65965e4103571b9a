"""Large arguments, plain and broadcast: `python -m benchmarks.dispatch_broadcast [MIB] [TASKS]`.

Tasks on two worker processes, each of which reads one element of an array of so many MiB. Printed:
seconds from the first submission to the last result, CPU seconds of the scheduler's process, and
the greatest memory of all processes beyond what they had before, polled.
"""

import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

from isocline.dispatch import Scheduler

POLL = 0.1  # s


def element(values: Any, at: int) -> float:
    """Read one element."""
    return float(values[at % len(values)])


def resident() -> float:
    """Resident memory of this process and its descendants, MB; pages of both count twice."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
    ).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    family = {os.getpid()}
    for _ in range(3):
        family |= {pid for pid, parent, _ in rows if parent in family}
    return sum(size for pid, _, size in rows if pid in family) / 1e3


class Peak:
    """Greatest memory while it is watched."""

    def __init__(self) -> None:
        self.value, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(POLL):
            self.value = max(self.value, resident())


def main(mib: int = 20, tasks: int = 200) -> None:
    values = np.arange(mib * (1 << 20) // 8, dtype=float)
    print(f"{mib} MiB for {tasks} tasks on 2 worker processes")
    for name in ("broadcast", "plain"):
        with Scheduler(nodes=2) as live:
            for future in [live.submit(element, None, np.zeros(2), 1) for _ in range(8)]:
                future.result()  # workers have begun, and imported NumPy
            before = resident()
            with Peak() as peak:
                began, cpu = time.perf_counter(), time.process_time()
                given: Any = live.broadcast(values) if name == "broadcast" else values
                for future in [live.submit(element, None, given, at) for at in range(tasks)]:
                    future.result()
                took, cpu = time.perf_counter() - began, time.process_time() - cpu
        more = max(peak.value - before, 0.0)
        print(f"{name:10} {took:7.2f} s, scheduler's CPU {cpu:6.2f} s, {more:6.0f} MB more")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
