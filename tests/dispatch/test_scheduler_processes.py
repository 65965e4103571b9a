"""The scheduler over real processes: workers and drivers that are killed, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cloudpickle
import pytest

from isocline.dispatch.errors import TimeLimitError
from isocline.dispatch.records import Outcome
from isocline.dispatch.scheduler import Scheduler
from tests.dispatch.rigs import exists

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DRIVER = """
import os, sys, time
from isocline.dispatch.scheduler import Scheduler

def work(chunk, where):
    with open(where, "a") as file:
        file.write(chunk + "\\n")
    time.sleep(0.002)
    return int(chunk) ** 2

where, journal, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Scheduler(nodes=3, locations=lambda c: [f"n{int(c) % 3}"], loader=str,
               journal=journal, resume=True) as live:
    print("begun", flush=True)
    total = sum(live.map(work, map(str, range(count)), where))
    print(total, live.statistics().resumed, flush=True)
"""

INTERRUPTED = """
import sys, time
from isocline.dispatch.scheduler import Scheduler

def work(seconds):
    time.sleep(seconds)
    return seconds

long, grace = float(sys.argv[1]), float(sys.argv[2])
try:
    with Scheduler(nodes=1, grace=grace, journal=sys.argv[3]) as live:
        running = live.submit(work, None, long, key="running")
        queued = [live.submit(work, None, 0.0, key=str(i)) for i in range(100)]
        while not running.running():
            time.sleep(0.01)
        print("begun", flush=True)
        running.result()
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", running.cancelled(), sum(f.cancelled() for f in queued), flush=True)
    raise
"""


def begin(program: str, *arguments: object) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def children(pid: int) -> list[int]:
    """Processes that this one has started."""
    command = ["ps", "-o", "pid=", "--ppid", str(pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [int(word) for word in said.split()]


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_a_driver_that_is_killed_is_resumed(tmp_path: Path) -> None:
    count, where, journal = 600, tmp_path / "ran", tmp_path / "run.db"
    for some in (50, 400):
        with begin(DRIVER, where, journal, count) as process:
            while len(lines(where)) < some:
                assert process.poll() is None
                time.sleep(0.01)
            workers = children(process.pid)
            process.kill()
        while any(exists(pid) for pid in workers):  # they notice
            time.sleep(0.01)
    before = len(lines(where))
    with begin(DRIVER, where, journal, count) as process:
        out, _ = process.communicate()
    total, resumed = map(int, out.split())
    assert process.returncode == 0
    assert total == sum(i * i for i in range(count))
    ran = lines(where)
    assert set(ran) == {str(i) for i in range(count)}
    assert resumed > 0
    assert len(ran) - before == count - resumed


@pytest.mark.parametrize(("long", "grace", "cancelled"), [(3.0, 60.0, False), (60.0, 0.2, True)])
def test_ctrl_c_stops_cleanly(tmp_path: Path, long: float, grace: float, cancelled: bool) -> None:
    process = begin(INTERRUPTED, long, grace, tmp_path / "run.db")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=90)
    assert out.split()[0] == "interrupted"
    assert out.split()[1] == str(cancelled)
    assert out.split()[2] == "100"
    assert process.returncode == -signal.SIGINT
    with Scheduler(nodes=1, journal=tmp_path / "run.db", resume=True) as live:
        assert live.statistics().resumed == 0  # it opens


def test_a_second_ctrl_c_leaves_no_grace(tmp_path: Path) -> None:
    process = begin(INTERRUPTED, 60.0, 60.0, tmp_path / "run.db")
    process.send_signal(signal.SIGINT)
    while True:  # two that come at once may count as one
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            out, _ = process.communicate(timeout=20)
            break
    assert out.split()[:2] == ["interrupted", "True"]


def test_workers_that_are_killed_lose_nothing() -> None:
    def work(chunk: str) -> tuple[str, int]:
        time.sleep(0.003)
        return chunk, os.getpid()

    locations = {str(i): [f"n{i % 3}", f"n{(i + 1) % 3}"] for i in range(900)}
    with Scheduler(nodes=3, locations=locations, loader=str, holder_grace=20.0) as live:
        killed: set[int] = set()
        found: list[str] = []
        for chunk, worker in live.map(work, locations, in_order=False):
            found.append(chunk)
            if len(found) in (100, 300, 500) and worker not in killed:
                killed.add(worker)
                os.kill(worker, signal.SIGKILL)
    assert sorted(found, key=int) == list(locations)
    assert len(killed) == 3
    assert live.records.outcomes[Outcome.FINISHED] == 900
    assert live.records.outcomes[Outcome.LOST] > 0


def test_a_deadly_task_is_quarantined_and_the_rest_is_done() -> None:
    def work(chunk: str) -> str:
        if chunk == "7":
            os.kill(os.getpid(), signal.SIGKILL)
        return chunk

    with Scheduler(nodes=2, loader=str, everywhere=True, locations={}.get) as live:
        ended = list(live.completed(work, map(str, range(20)), in_order=True))
    errors = [type(future.exception()).__name__ for future in ended]
    assert errors[7] == "QuarantinedError"
    assert errors[:7] + errors[8:] == ["NoneType"] * 19


def test_a_limit_is_named_as_it_was_given_though_the_task_ran_on() -> None:
    def deaf() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGALRM])
        time.sleep(3600.0)

    said = r"its limit of 0\.25 s \(it was stopped after \d[.\d]* s\); give it more time"
    with Scheduler(nodes=1, patience=0.5) as scheduler, pytest.raises(TimeLimitError, match=said):
        scheduler.submit(deaf, limit=0.25).result()
