"""The scheduler over real processes: workers and drivers that are killed, Ctrl-C."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cloudpickle
import pytest

from isocline.dispatch.engines.processes import ProcessEngine
from isocline.dispatch.errors import TimeLimitError
from isocline.dispatch.rules import Rules
from isocline.dispatch.scheduler import Scheduler
from isocline.dispatch.telemetry.records import Outcome
from tests.dispatch.rigs import exists
from tests.running import running

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DRIVER = """
import os, sys, time
from isocline.dispatch.scheduler import Scheduler

# No copies of stragglers: each task runs once, however long a busy machine takes for it.
def work(chunk, where, last, gate):
    with open(where, "a") as file:
        file.write(chunk + "\\n")
    time.sleep(0.002)
    while chunk == last and not os.path.exists(gate):
        time.sleep(0.01)
    return int(chunk) ** 2

where, journal, count, gate = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
with Scheduler(nodes=3, locations=lambda c: [f"n{int(c) % 3}"], loader=str,
               journal=journal, resume=True, copies=False) as live:
    print("begun", flush=True)
    total = sum(live.map(work, map(str, range(count)), where, str(count - 1), gate))
    print(total, live.statistics().resumed, flush=True)
"""

INTERRUPTED = """
import os, sys, time
from isocline.dispatch import Scheduler, Settings

def work(gate):
    while not os.path.exists(gate):
        time.sleep(0.01)

# What runs ends once the last that waits was cancelled, where it is to end at all.
ends, grace, journal = sys.argv[1] == "True", float(sys.argv[2]), sys.argv[3]
gate = journal + ".gate"
try:
    with Scheduler(nodes=1, settings=Settings(grace=grace), journal=journal) as live:
        running = live.submit(work, None, gate, key="running")
        queued = [live.submit(work, None, gate, key=str(i)) for i in range(100)]
        if ends:
            queued[-1].add_done_callback(lambda _: open(gate, "w").close())
        while not running.running():
            time.sleep(0.01)
        print("begun", flush=True)
        running.result()
        time.sleep(3600)
except KeyboardInterrupt:
    print("interrupted", running.cancelled(), sum(f.cancelled() for f in queued), flush=True)
    raise
"""


@contextmanager
def begun(program: str, *arguments: object) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process


def children(pid: int) -> list[int]:
    """Processes that this one has started."""
    command = ["ps", "-o", "pid=", "--ppid", str(pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [int(word) for word in said.split()]


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_a_driver_that_is_killed_is_resumed(tmp_path: Path) -> None:
    """Twice, in the midst of it: the last task does not end before."""
    count, where, journal, gate = 600, tmp_path / "ran", tmp_path / "run.db", tmp_path / "gate"
    log = journal.with_name("run.db-wal")
    for some in (50, 400):
        with begun(DRIVER, where, journal, count, gate) as process:
            while len(lines(where)) < some or b"finished" not in log.read_bytes():
                assert process.poll() is None
                time.sleep(0.01)
            workers = children(process.pid)
            process.kill()
        while any(exists(pid) for pid in workers):  # they notice
            time.sleep(0.01)
    before = len(lines(where))
    gate.touch()
    with begun(DRIVER, where, journal, count, gate) as process:
        out, _ = process.communicate()
    total, resumed = map(int, out.split())
    assert process.returncode == 0
    assert total == sum(i * i for i in range(count))
    ran = lines(where)
    assert set(ran) == {str(i) for i in range(count)}
    assert 0 < resumed < count
    assert len(ran) - before == count - resumed


@pytest.mark.parametrize(("ends", "grace", "cancelled"), [(True, 600.0, False), (False, 0.2, True)])
def test_ctrl_c_stops_cleanly(tmp_path: Path, ends: bool, grace: float, cancelled: bool) -> None:
    with begun(INTERRUPTED, ends, grace, tmp_path / "run.db") as process:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=90)
        assert process.returncode == -signal.SIGINT
    assert out.split() == ["interrupted", str(cancelled), "100"]
    with Scheduler(nodes=1, journal=tmp_path / "run.db", resume=True) as live:
        assert live.statistics().resumed == 0  # it opens


def test_a_second_ctrl_c_leaves_no_grace(tmp_path: Path) -> None:
    with begun(INTERRUPTED, False, 3600.0, tmp_path / "run.db") as process:
        process.send_signal(signal.SIGINT)
        while True:  # two that come at once may count as one
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                out, _ = process.communicate(timeout=60)
                break
    assert out.split()[:2] == ["interrupted", "True"]


def test_workers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    """Each of three is killed in a task that waits for that, among all the others."""
    held = {"100", "300", "500"}

    def work(chunk: str) -> str:
        note = tmp_path / chunk
        if chunk in held and not note.exists():
            draft = note.with_suffix(".draft")
            draft.write_text(str(os.getpid()))
            draft.replace(note)
            time.sleep(3600.0)
        time.sleep(0.003)
        return chunk

    locations = {str(i): [f"n{i % 3}", f"n{(i + 1) % 3}"] for i in range(900)}
    rules = Rules(holder_grace=20.0, straggler=math.inf)  # nor is one that waits begun elsewhere
    with Scheduler(nodes=3, locations=locations, loader=str, rules=rules) as live:
        found = live.map(work, locations, in_order=False, window=900)
        waiting = {tmp_path / chunk for chunk in held}
        while waiting:  # in any order: each keeps a worker from what waits behind it
            for note in [note for note in waiting if note.exists()]:
                waiting.remove(note)
                os.kill(int(note.read_text()), signal.SIGKILL)
            time.sleep(0.01)
        assert sorted(found, key=int) == list(locations)
    assert live.records.outcomes[Outcome.FINISHED] == 900
    assert live.records.outcomes[Outcome.LOST] >= 3


@pytest.mark.parametrize("copies", [True, False])
def test_those_behind_a_task_that_hangs_run_on_other_nodes(tmp_path: Path, copies: bool) -> None:
    gate = tmp_path / "gate"

    def work(chunk: str) -> str:
        while chunk == "hangs" and not gate.exists():
            time.sleep(0.01)
        time.sleep(0.005)
        return chunk

    def locations(chunk: str) -> list[str]:
        return [f"n{int(chunk) % 3}" if chunk.isdigit() else "n0"]

    with Scheduler(nodes=3, locations=locations, loader=str, copies=copies) as live:
        assert list(live.map(work, map(str, range(60)))) == [str(i) for i in range(60)]
        hung = live.submit(work, "hangs")
        for behind in (["0"], ["0", "3", "6", "9"]):
            futures = [live.submit(work, chunk) for chunk in behind]
            assert [future.result(timeout=120) for future in futures] == behind
        assert not hung.done()
        gate.touch()
        assert hung.result(timeout=120) == "hangs"
    ran = [ran for ran in live.records if ran.outcome is Outcome.FINISHED]
    assert len(ran) == 60 + 5 + 1
    assert {one.node for one in ran[60:65]} <= {"n1", "n2"}


def test_a_deadly_task_is_quarantined_and_the_rest_is_done() -> None:
    def work(chunk: str) -> str:
        if chunk == "7":
            os.kill(os.getpid(), signal.SIGKILL)
        return chunk

    with Scheduler(nodes=2, loader=str, everywhere=True, locations=lambda _: None) as live:
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


def test_those_whose_holder_cannot_answer_wait_for_it(tmp_path: Path) -> None:
    """A task that keeps Python's lock keeps its node's data from the others; that costs no task."""
    began = tmp_path / "began"

    def work(name: str) -> str:
        if name == "long":
            began.touch()
            ctypes.PyDLL(None).usleep(1_600_000)  # which keeps the lock, unlike CDLL
        return name

    engine = ProcessEngine(2, loader=str, silence=1.0)
    with Scheduler(engine, locations=lambda _: ["n0"]) as live:
        warm = [live.submit(work, f"w{i}") for i in range(6)]
        assert [future.result(60.0) for future in warm] == [f"w{i}" for i in range(6)]
        long = live.submit(work, "long")
        while not began.exists():
            time.sleep(0.01)
        later = [live.submit(work, f"c{i}") for i in range(4)]
        assert [future.result(120.0) for future in later] == [f"c{i}" for i in range(4)]
        assert long.result(60.0) == "long"
    assert live.statistics().failed == 0


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_holder_that_is_silent_for_long_costs_no_task_a_try_or_its_limit(
    tmp_path: Path, everywhere: bool
) -> None:
    """If the loader reaches all data from everywhere, it is read without that holder, too."""
    began = tmp_path / "began"
    long_for = 600_000_000 if everywhere else 9_000_000  # us

    def work(name: str) -> str:
        if name == "long":
            began.touch()
            ctypes.PyDLL(None).usleep(long_for)
        return name

    engine = ProcessEngine(2, loader=str, silence=4.0, patience=0.3, everywhere=everywhere)
    with Scheduler(
        engine,
        locations=lambda _: ["n0"],
        rules=Rules(fetch_ahead=0, straggler=math.inf),
        everywhere=everywhere,
    ) as live:
        assert list(live.map(work, [f"w{i}" for i in range(8)]))  # so that times are measured
        long = live.submit(work, "long")
        while not began.exists():
            time.sleep(0.01)
        assert long.node == "n0"
        later = [live.submit(work, f"c{i}", limit=3.5) for i in range(8)]
        assert [future.result(120.0) for future in later] == [f"c{i}" for i in range(8)]
        assert not (everywhere and long.done())
        long.cancel()
    assert live.statistics().failed == 0
    assert live.records.outcomes[Outcome.RAISED] == live.records.outcomes[Outcome.TIMED_OUT] == 0
