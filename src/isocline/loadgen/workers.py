"""Load from several processes: each runs this module and talks over its pipes in pickles.

To the worker: (settings, schedule), then the time to start at. From it: None when it is ready, then
its tally. CLOCK_MONOTONIC is one for all processes of a machine.
"""

import pickle
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import IO

from isocline.loadgen.drive import drive
from isocline.loadgen.schedule import Schedule
from isocline.loadgen.settings import LoadSettings
from isocline.loadgen.tally import Tally

_SOON = 0.05  # s, so that the last worker hears of the start before it


def drive_in_workers(settings: LoadSettings, schedule: Schedule, workers: int) -> Tally:
    """Run a schedule in `workers` processes that begin at one time."""
    mine = replace(settings, connections=settings.connections // workers)
    total = Tally()
    with ExitStack() as stack:
        running = [stack.enter_context(_started()) for _ in range(workers)]
        # Ctrl-C reaches the workers, too; they answer with what they have.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        stack.callback(signal.signal, signal.SIGINT, before)
        for number, worker in enumerate(running):
            _tell(worker, (mine, schedule.part(number, workers)))
        for worker in running:
            _hear(worker)
        start = time.monotonic() + _SOON
        for worker in running:
            _tell(worker, start)
        for worker in running:
            total += _hear(worker)
    return total


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "isocline.loadgen.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _tell(worker: subprocess.Popen[bytes], message: object) -> None:
    assert worker.stdin is not None
    _send(worker.stdin, message)


def _hear(worker: subprocess.Popen[bytes]) -> Tally:
    assert worker.stdout is not None
    heard: Tally = pickle.load(worker.stdout)
    return heard


def _send(pipe: IO[bytes], message: object) -> None:
    pickle.dump(message, pipe)
    pipe.flush()


def _work() -> None:
    tasks, answers = sys.stdin.buffer, sys.stdout.buffer
    settings, schedule = pickle.load(tasks)

    def start() -> float:
        _send(answers, None)
        when: float = pickle.load(tasks)
        return when

    _send(answers, drive(settings, schedule, start))


if __name__ == "__main__":
    _work()
