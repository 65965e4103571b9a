"""The executor keeps the contract of `concurrent.futures`, over virtual and real nodes."""

import asyncio
import concurrent.futures
import itertools
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch import Executor, Scheduler
from isocline.dispatch.engines.base import WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault
from isocline.errors import UsageError

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module", params=["fake", "processes"])
def live(request: pytest.FixtureRequest) -> Iterator[Scheduler]:
    engine = FakeEngine(2, speed=math.inf) if request.param == "fake" else None
    with Scheduler(engine) if engine else Scheduler(nodes=2) as scheduler:
        yield scheduler


@pytest.fixture
def executor(live: Scheduler) -> Iterator[Executor]:
    with live.executor() as executor:
        yield executor


def captured(*args: Any, **named: Any) -> tuple[Any, Any]:
    return args, named


def hangs(what: object) -> FakeEngine:
    """Engine on which a call with this argument never ends."""

    def fault(_node: str, work: WorkItem) -> Fault | None:
        (args, _) = cloudpickle.loads(work.arguments)
        return Fault.HANG if what in args else None

    return FakeEngine(2, fault=fault, speed=math.inf)


def test_it_is_an_executor_whose_futures_are_futures(executor: Executor) -> None:
    assert isinstance(executor, concurrent.futures.Executor)
    futures = [executor.submit(pow, number, 2) for number in range(20)]
    assert all(isinstance(future, concurrent.futures.Future) for future in futures)
    assert {future.result() for future in concurrent.futures.as_completed(futures)} == {
        number**2 for number in range(20)
    }
    assert concurrent.futures.wait(futures).done == set(futures)


def test_arguments_of_any_name_reach_the_function(executor: Executor) -> None:
    named = {"self": 1, "fn": 2, "key": "k", "limit": 3, "chunk": "c", "function": 5}
    future = executor.submit(captured, 1, None, **named)
    assert future.result() == ((1, None), named)


def test_an_exception_is_the_futures(executor: Executor) -> None:
    future = executor.submit(divmod, 1, 0)
    assert isinstance(future.exception(), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        future.result()


@pytest.mark.parametrize("chunksize", [1, 2, 7, 100])
@pytest.mark.parametrize("buffersize", [None, 1, 3])
def test_map_is_pythons(executor: Executor, chunksize: int, buffersize: int | None) -> None:
    found = executor.map(pow, range(10), range(12), chunksize=chunksize, buffersize=buffersize)
    assert list(found) == list(map(pow, range(10), range(10)))
    assert list(executor.map(pow, [], [], chunksize=chunksize)) == []


@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_raises_where_the_call_raised(executor: Executor, chunksize: int) -> None:
    found = executor.map(divmod, [1, 1, 1, 1, 1], [1, 1, 1, 0, 1], chunksize=chunksize)
    assert [next(found) for _ in range(3)] == [(1, 0)] * 3
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_map_reads_its_arguments_at_once_or_by_the_buffer(executor: Executor) -> None:
    numbers = itertools.count()
    executor.map(abs, itertools.islice(numbers, 5))
    assert next(numbers) == 5
    found = executor.map(abs, numbers, buffersize=3)
    assert next(numbers) == 9
    assert next(found) == 6


@pytest.mark.parametrize("wrong", [{"chunksize": 0}, {"chunksize": -1}, {"buffersize": 0}])
def test_map_refuses_sizes_below_one(executor: Executor, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        executor.map(abs, [1], **wrong)


def test_map_times_out() -> None:
    with Scheduler(hangs("forever")) as live:
        found = live.executor().map(str, ["soon", "forever"], timeout=1.0)
        assert next(found) == "soon"
        with pytest.raises(TimeoutError):
            next(found)  # which cancels the rest, so that the scheduler can end


def test_after_shutdown_nothing_is_accepted_and_all_has_ended(live: Scheduler) -> None:
    executor = live.executor()
    futures = [executor.submit(abs, number) for number in range(20)]
    executor.shutdown()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(abs, [1])
    executor.shutdown()
    assert live.submit(abs, None, -1).result() == 1  # the scheduler is open


def test_shutdown_need_not_wait(live: Scheduler) -> None:
    executor = live.executor()
    futures = [executor.submit(abs, number) for number in range(20)]
    executor.shutdown(wait=False)
    assert [future.result(60.0) for future in futures] == list(range(20))


def test_shutdown_cancels_what_has_not_started(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def waits(number: int) -> int:
        while not gate.exists():
            time.sleep(0.01)
        return number

    with Scheduler(nodes=2) as live:
        executor = live.executor()
        futures = [executor.submit(waits, number) for number in range(50)]
        while sum(future.running() for future in futures) < 2:
            time.sleep(0.01)
        executor.shutdown(wait=False, cancel_futures=True)
        assert not all(future.done() for future in futures)
        gate.touch()
        executor.shutdown()
        ended = [future.cancelled() for future in futures]
        assert sum(ended) >= 46  # two run, and at most one is sent ahead to each node
        assert all(future.cancelled() or future.exception() is None for future in futures)


def test_a_closed_scheduler_accepts_nothing() -> None:
    live = Scheduler(FakeEngine(2, speed=math.inf))
    executor = live.executor()
    live.close()
    with pytest.raises(RuntimeError, match="scheduler is closed"):
        executor.submit(abs, 1)


def test_arguments_that_cannot_be_sent_are_refused(executor: Executor) -> None:
    with pytest.raises(UsageError, match="cannot be pickled"):
        executor.submit(abs, sys.stderr)


def test_event_loops_run_calls_in_it(executor: Executor) -> None:
    async def several() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(loop.run_in_executor(executor, pow, number, 2) for number in range(20))
        )

    assert asyncio.run(several()) == [number**2 for number in range(20)]


def test_an_event_loop_can_give_up_a_running_call() -> None:
    async def impatient(executor: Executor) -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(executor, str, "forever"), 0.1)

    with Scheduler(hangs("forever")) as live, live.executor() as executor:
        asyncio.run(impatient(executor))


def test_a_job_has_one_of_its_own() -> None:
    with Scheduler(FakeEngine(2, speed=math.inf)) as live:
        with live.job("night").executor() as executor:
            future = executor.submit(os.path.join, "a", "b")
        assert (future.key, future.result()) == ("night/join()", "a/b")
