"""Several drivers at one scheduler: what they get is what a job of its own process gets."""

import math
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from multiprocessing.connection import Client
from operator import add
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch import (
    EngineClosedError,
    InputError,
    NoHolderError,
    Scheduler,
    SharedJob,
    connect,
)
from isocline.dispatch.engines.base import WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault
from isocline.errors import UsageError
from tests.dispatch.rigs import until

cloudpickle.register_pickle_by_value(sys.modules[__name__])

KEY = "a secret of sixteen"


class OwnError(Exception):
    """An error of the driver's own."""


class Own:
    """A class of the driver's own, which the scheduler's process need not be able to make."""

    def __init__(self, value: int) -> None:
        self.value = value


def raises(value: Any) -> None:
    raise OwnError(f"not {value}")


def held(chunk: str, more: int = 0) -> Own:
    return Own(int(chunk) + more)


def hangs(_node: str, work: WorkItem) -> Fault | None:
    return Fault.HANG if "slow" in work.key else None


@pytest.fixture(scope="module")
def live() -> Iterator[Scheduler]:
    engine = FakeEngine(3, loader=str, fault=hangs, speed=math.inf)
    with Scheduler(engine, locations=lambda c: [f"n{int(c) % 3}"] if c != "no" else []) as live:
        live.share(key=KEY)
        yield live
        live.close(0.0)


@pytest.fixture(scope="module")
def address(live: Scheduler) -> str:
    with pytest.raises(UsageError, match="already shared, at 127") as caught:
        live.share(key=KEY)
    return str(caught.value).rpartition(" ")[2]


@pytest.fixture
def job(address: str) -> Iterator[SharedJob]:
    with connect(address, "nightly", key=KEY) as job:
        yield job


def test_a_driver_has_all_that_a_job_has(job: SharedJob) -> None:
    chunks = [str(number) for number in range(100)]
    assert [own.value for own in job.map(held, chunks, more=1)] == list(range(1, 101))
    one = job.submit(add, None, 1, 2)
    both = job.submit(captured, None, one, [one, {"k": job.submit(add, None, one, one)}])
    assert both.result() == (3, [3, {"k": 6}])
    assert one.key == "nightly/add()"
    assert one.node in {"n0", "n1", "n2"}
    later = job.submit(add, None, one, both.result()[0])  # the scheduler has long forgotten it
    assert later.result() == 6
    for in_order in (False, True):
        assert job.reduce(int, add, chunks, in_order=in_order) == sum(range(100))
    handle = job.broadcast([1, 2, 3])
    assert [job.submit(sum, None, handle).result() for _ in range(3)] == [6, 6, 6]
    with job.executor() as executor:
        assert list(executor.map(abs, range(-5, 0), chunksize=2)) == [5, 4, 3, 2, 1]


def captured(*arguments: Any) -> tuple[Any, ...]:
    return arguments


def test_errors_are_the_drivers_own(job: SharedJob) -> None:
    failed = job.submit(raises, None, 7)
    error = failed.exception()
    assert isinstance(error, OwnError)
    assert "in raises" in str(error.__cause__)  # the traceback of the node
    for _ in range(2):  # while the scheduler knows it, and when the driver has heard of its end
        after = job.submit(add, None, failed, 1).exception()
        assert isinstance(after, InputError)
        assert isinstance(after.__cause__, OwnError)
    assert isinstance(job.submit(held, "no").exception(), NoHolderError)
    with pytest.raises(UsageError, match="cannot be pickled"):
        job.submit(abs, None, threading.Lock())
    result = job.submit(eval, None, "__import__('threading').Lock()").exception()
    assert "cannot be pickled" in str(result)


def test_a_driver_cancels_what_is_its_own(live: Scheduler, address: str, job: SharedJob) -> None:
    slow = job.submit(abs, None, 1, key="slow")
    waits = job.submit(add, None, slow, 1)
    until(lambda: live.statistics().running > 0)
    assert slow.cancel()
    with pytest.raises(CancelledError):
        waits.result()
    before = live.statistics().cancelled
    other = connect(address, "hourly", key=KEY, weight=3)
    left = [other.submit(abs, None, 1, key=f"slow {i}") for i in range(5)]
    until(lambda: live.statistics().running > 0)
    with pytest.raises(OwnError), other:
        raise OwnError
    assert all(isinstance(future.exception(), EngineClosedError) for future in left)
    until(lambda: live.statistics().cancelled == before + 5)
    with pytest.raises(EngineClosedError, match="connect again"):
        other.submit(abs, None, 1)
    assert job.submit(abs, None, -1).result() == 1  # the others' tasks are untouched


def test_drivers_share_by_weight() -> None:
    with Scheduler(FakeEngine(1, fault=hangs, speed=math.inf)) as live:
        address = live.share(key=KEY)
        slow = live.submit(abs, None, 1, key="slow")
        until(slow.running)
        with (
            connect(address, "light", key=KEY) as light,
            connect(address, "heavy", key=KEY, weight=3.0) as heavy,
        ):
            futures = [job.submit(abs, None, i) for job in (light, heavy) for i in range(300)]
            until(lambda: live.statistics().waiting >= 599)  # one may be pipelined
            slow.cancel()
            wait(futures)
        first = [ran.key.split("/")[0] for ran in live.records if "/" in ran.key][:200]
    assert first.count("heavy") == pytest.approx(150, abs=10)


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with (
        Scheduler(FakeEngine(1)) as scheduler,
        pytest.raises(UsageError, match="has 7 bytes, and who guesses it may run code; give at"),
    ):
        scheduler.share(key="another")


def test_strangers_and_mistakes_are_told(
    address: str, live: Scheduler, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match=r"refuses this driver .* give the key"):
        connect(address, "x", key="another")
    with pytest.raises(UsageError, match="nothing answers there"):
        connect("127.0.0.1:1", "x", key=KEY)
    with pytest.raises(UsageError, match="give HOST:PORT"):
        connect("somewhere", "x", key=KEY)
    with pytest.raises(UsageError, match="key: give a secret"):
        connect(address, "x", key="")
    with pytest.raises(UsageError, match="weight"):
        connect(address, "x", key=KEY, weight=-1)
    host, port = address.split(":")
    with Client((host, int(port)), authkey=KEY.encode()) as stranger:
        stranger.send("hello")
        with pytest.raises(EOFError):
            stranger.recv()
    until(lambda: "a driver was refused" in caplog.text)
    with (
        Scheduler(FakeEngine(1, speed=math.inf), journal=tmp_path / "journal") as other,
        pytest.raises(UsageError, match="leave the journal out"),
    ):
        other.share(key=KEY)
    with (
        Scheduler(FakeEngine(1, speed=math.inf)) as other,
        pytest.raises(UsageError, match="not available"),
    ):
        other.share(address, key=KEY)


def test_a_scheduler_that_closes_ends_its_drivers_tasks() -> None:
    with Scheduler(FakeEngine(1, fault=hangs, speed=math.inf)) as other:
        job = connect(other.share(key=KEY), "x", key=KEY)
        done = job.submit(abs, None, -1)
        assert done.result() == 1
        slow = job.submit(abs, None, -1, key="slow")
        until(lambda: other.statistics().running > 0)
        other.close(0.0)
    with pytest.raises((EngineClosedError, CancelledError)):
        slow.result()
    with pytest.raises(EngineClosedError):
        job.submit(abs, None, 1).result()
