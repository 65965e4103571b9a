"""Executors, reductions, inputs, broadcasts, resources and drivers, with processes killed."""

import os
import signal
import sys
import time
from operator import add
from pathlib import Path

import cloudpickle
import pytest

from isocline.dispatch import EngineClosedError, Rules, Scheduler, connect
from isocline.dispatch.engines.processes import ProcessEngine
from isocline.dispatch.telemetry.records import Outcome
from tests.dispatch.rigs import until
from tests.running import running

cloudpickle.register_pickle_by_value(sys.modules[__name__])

KEY = "a secret of sixteen"
LARGE = 1 << 18  # bytes, more than is sent for nothing
PATIENT = Rules(most_killed=10, holder_grace=30.0)


def dies_once(mark: Path) -> None:
    """Kill the worker that runs this, at the first call with this mark."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(number: int, folder: Path, *values: bytes) -> int:
    """Add up sizes; one in ten kills its worker first, once."""
    if number % 10 == 5:
        dies_once(folder / str(number))
    return number + sum(map(len, values))


def lost(live: Scheduler) -> int:
    return live.statistics().attempts["lost"]


def once_each(live: Scheduler) -> bool:
    """Whether no task has finished twice."""
    done = [ran.key for ran in live.records if ran.outcome is Outcome.FINISHED]
    return len(done) == len(set(done))


def test_an_executor_gives_every_result_though_workers_are_killed(tmp_path: Path) -> None:
    with Scheduler(nodes=2, rules=PATIENT) as live:
        with live.executor() as executor:
            found = list(executor.map(deadly, range(30), [tmp_path] * 30, chunksize=3))
        assert found == list(range(30))
        assert lost(live) >= 3


def test_inputs_and_broadcasts_are_sent_again_to_workers_that_come_back(tmp_path: Path) -> None:
    with Scheduler(nodes=2, rules=PATIENT) as live:
        part = live.submit(bytes, None, LARGE)  # kept by a worker that may be killed
        shared = live.broadcast(bytes(LARGE))
        found = [
            live.submit(deadly, None, n, tmp_path, part, shared, key=str(n)) for n in range(30)
        ]
        total = live.submit(sum, None, found, key="total")
        assert total.result() == sum(n + 2 * LARGE for n in range(30))
        assert lost(live) >= 3  # one that waits at a killed worker is lost with it
        assert once_each(live)


def test_a_reduction_survives_a_holder_that_is_killed_as_it_sends(tmp_path: Path) -> None:
    """All chunks are at one node, from which the other fetches them over a slow link."""

    def read(chunk: str) -> bytes:
        return bytes([int(chunk)]) * LARGE

    def number_in(value: bytes) -> int:
        time.sleep(0.01)
        return deadly(value[0], tmp_path)

    engine = ProcessEngine(2, loader=read, link=2.0 * LARGE, silence=60.0)
    with Scheduler(engine, locations=lambda _chunk: ["n0"], rules=PATIENT) as live:
        chunks = [str(number) for number in range(60)]
        for in_order in (False, True):
            assert live.reduce(number_in, add, chunks, in_order=in_order) == sum(range(60))
        gone = {ran.node for ran in live.records if ran.outcome is Outcome.LOST}
        assert "n0" in gone


def exists_now(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def alone(number: int, folder: Path) -> int:
    """Fail if another process runs this at the same time; one in ten is killed within."""
    note = folder / "holder"
    if note.exists() and exists_now(int(note.read_text())):
        assert int(note.read_text()) == os.getpid()
    note.write_text(str(os.getpid()))
    time.sleep(0.002)
    if number % 10 == 5:
        dies_once(folder / str(number))
    note.unlink()
    return number


def test_a_killed_worker_gives_back_what_its_task_had_and_no_more(tmp_path: Path) -> None:
    with Scheduler(nodes=["a"], slots=2, resources={"gpu": 1}, rules=PATIENT) as live:
        needy = [
            live.submit(alone, None, n, tmp_path, key=f"gpu{n}", resources={"gpu": 1})
            for n in range(30)
        ]
        others = [live.submit(abs, None, n, key=f"cpu{n}") for n in range(30)]
        assert [future.result() for future in needy + others] == [*range(30), *range(30)]
        assert lost(live) >= 3
        assert once_each(live)


DRIVER = """
import sys, time
from isocline.dispatch import connect

job = connect(sys.argv[1], "doomed", key=sys.argv[2])
futures = [job.submit(time.sleep, None, 600.0) for _ in range(20)]
given = job.broadcast(bytes(1 << 20))
futures.append(job.submit(len, None, given))
print("begun", flush=True)
time.sleep(600)
"""


def test_a_killed_driver_costs_the_others_nothing() -> None:
    with Scheduler(nodes=2, rules=PATIENT) as live:
        address = live.share(key=KEY)
        with connect(address, "other", key=KEY) as job:
            command = [sys.executable, "-c", DRIVER, address, KEY]
            with running(command, stdout=-1) as driver:
                assert driver.stdout is not None
                assert driver.stdout.readline() == "begun\n"
                until(lambda: live.statistics().running >= 2)  # they hold both nodes
                waits = [job.submit(add, None, n, 1) for n in range(20)]
                driver.kill()
                assert [future.result() for future in waits] == list(range(1, 21))
        until(lambda: live.statistics().cancelled == 21)
        assert live.submit(abs, None, -1).result() == 1


SHARED = """
import sys, time
from isocline.dispatch import Scheduler

if __name__ == "__main__":
    with Scheduler(nodes=1) as live:
        print(live.share(key=sys.argv[1]), flush=True)
        time.sleep(600)
"""


def test_a_scheduler_that_is_killed_ends_what_drivers_wait_for() -> None:
    with running([sys.executable, "-c", SHARED, KEY], stdout=-1) as shared:
        assert shared.stdout is not None
        job = connect(shared.stdout.readline().strip(), "one", key=KEY)
        assert job.submit(abs, None, -1).result() == 1
        slow = job.submit(time.sleep, None, 600.0)
        shared.kill()
        with pytest.raises(EngineClosedError, match="the connection to the scheduler broke"):
            slow.result()
        with pytest.raises(EngineClosedError, match="connect again"):
            job.submit(abs, None, 1)


def test_workers_killed_under_a_driver_are_nothing_to_it(tmp_path: Path) -> None:
    with Scheduler(nodes=2, rules=PATIENT) as live:
        with connect(live.share(key=KEY), "one", key=KEY) as job:
            part = job.submit(bytes, None, LARGE)
            shared = job.broadcast(bytes(LARGE))
            found = [job.submit(deadly, None, n, tmp_path, part, shared) for n in range(30)]
            total = job.submit(sum, None, found)
            assert total.result() == sum(n + 2 * LARGE for n in range(30))
        assert lost(live) >= 3
