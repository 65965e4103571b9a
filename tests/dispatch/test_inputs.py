"""Futures and broadcasts as arguments: values, order, place, failures, and what a journal knows."""

import gc
import math
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pytest

from isocline.dispatch import InputError, JournalError, Scheduler, Settings
from isocline.dispatch.engines.base import WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault
from isocline.dispatch.futures import TaskFuture
from isocline.errors import UsageError
from tests.dispatch.rigs import until

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def fake(nodes: int = 4, **options: Any) -> FakeEngine:
    return FakeEngine(nodes, speed=math.inf, **options)


@pytest.fixture(scope="module", params=["fake", "processes"])
def live(request: pytest.FixtureRequest) -> Iterator[Scheduler]:
    with Scheduler(fake()) if request.param == "fake" else Scheduler(nodes=2) as scheduler:
        yield scheduler


def captured(*args: Any, **named: Any) -> tuple[Any, Any]:
    return args, named


def add(one: Any, other: Any) -> Any:
    return one + other


def raises(*_: Any) -> None:
    raise LookupError("no such word")


class Held(NamedTuple):
    """An object of the user's that has a future."""

    value: Any


def test_futures_stand_for_their_results_at_any_depth(live: Scheduler) -> None:
    one = live.submit(add, None, 1, 2)
    two = live.submit(add, None, one, one)
    found = live.submit(captured, None, one, [two, {"k": (one, 4)}], named=two).result()
    assert found == ((3, [6, {"k": (3, 4)}]), {"named": 6})
    keyed = live.submit(captured, None, {one: {two}}, Held(one)).result()
    assert keyed == (({3: {6}}, Held(3)), {})
    assert live.submit(captured, None, one, two).result() == ((3, 6), {})  # they ended long ago


def test_a_long_chain_and_a_wide_fan(live: Scheduler) -> None:
    last = live.submit(int)
    for _ in range(100):
        last = live.submit(add, None, last, 1)
    assert last.result() == 100
    ones = [live.submit(add, None, 0, 1) for _ in range(100)]
    assert live.submit(sum, None, ones).result() == 100


def test_each_task_has_a_result_of_its_own_and_shares_a_broadcast(live: Scheduler) -> None:
    def grown(values: list[int]) -> int:
        values.append(1)
        return len(values)

    values: TaskFuture[list[int]] = live.submit(list)
    assert [live.submit(grown, None, values).result() for _ in range(4)] == [1] * 4
    assert values.result() == []


def test_a_failure_ends_all_that_depend_on_it(live: Scheduler) -> None:
    failed = live.submit(raises, key="first")
    second = live.submit(add, None, failed, 1, key="second")
    third = live.submit(add, None, second, 1, key="third")
    fourth = live.submit(add, None, 1, failed, key="fourth")
    for future in (second, third, fourth):
        error = future.exception()
        assert isinstance(error, InputError)
        assert error.key == future.key
        assert "result of task 'first', on which it depends, failed: LookupError" in str(error)
        assert isinstance(error.__cause__, LookupError)
    late = live.submit(add, None, failed, 1)
    assert isinstance(late.exception(), InputError)


def test_a_cancellation_goes_down_and_not_up() -> None:
    def fault(_node: str, work: WorkItem) -> Fault | None:
        return Fault.HANG if work.key == "slow" else None

    with Scheduler(fake(fault=fault)) as live:
        slow, quick = live.submit(int, key="slow"), live.submit(int, key="quick")
        both = live.submit(add, None, slow, quick)
        after = live.submit(add, None, both, 1)
        other = live.submit(add, None, slow, quick)
        assert live.statistics().waiting >= 3
        assert other.cancel()
        until(quick.done)
        assert not slow.done()
        assert slow.cancel()
        until(after.done)
        assert (both.cancelled(), after.cancelled(), quick.result()) == (True, True, 0)
        with pytest.raises(CancelledError):
            live.submit(add, None, slow, 1).result()
        assert live.statistics().cancelled == 5


def test_what_waits_for_inputs_ends_with_the_scheduler() -> None:
    def fault(_node: str, _work: WorkItem) -> Fault:
        return Fault.HANG

    live = Scheduler(fake(fault=fault), settings=Settings(grace=0.1))
    first = live.submit(int)
    blocked = live.submit(add, None, first, 1)
    live.close(0.0)
    assert first.cancelled()
    assert blocked.cancelled()


def test_a_scheduler_waits_for_what_waits_for_inputs() -> None:
    with Scheduler(fake()) as live:
        last = live.submit(int)
        for _ in range(20):
            last = live.submit(add, None, last, 1)
    assert last.result() == 20


LARGE = 1 << 17


def test_large_results_are_read_where_they_are() -> None:
    with Scheduler(fake(), policy="random_local") as live:
        parts = [live.submit(bytes, None, LARGE) for _ in range(40)]
        after = [live.submit(add, None, part, b"") for part in parts]
        assert all(len(future.result()) == LARGE for future in after)
        assert [future.node for future in after] == [part.node for part in parts]
        one, many = live.submit(bytes, None, LARGE), live.submit(bytes, None, 4 * LARGE)
        assert live.submit(add, None, one, many).result() == bytes(5 * LARGE)
        last = list(live.records)[-1]
        assert last.node == many.node


def test_a_lost_node_leaves_its_results_to_the_others() -> None:
    engine = fake(2, down=math.inf)
    with Scheduler(engine, policy="random_local") as live:
        part = live.submit(bytes, None, LARGE)
        part.result()
        assert part.node is not None
        engine.kill(part.node)
        after = live.submit(add, None, part, b"1")
        assert after.result() == bytes(LARGE) + b"1"
        assert after.node != part.node


def test_a_task_that_waits_at_a_lost_node_goes_elsewhere() -> None:
    def fault(_node: str, work: WorkItem) -> Fault | None:
        return Fault.HANG if work.key == "hangs" else None

    engine = fake(2, down=math.inf, fault=fault)
    with Scheduler(engine, policy="random_local", locations=lambda chunk: [chunk]) as live:
        part = live.submit(bytes, None, LARGE)
        part.result()
        assert part.node is not None
        blocker = live.submit(str, part.node, key="hangs")
        after = live.submit(add, None, part, b"1")
        assert live.statistics().ended == 1  # so that both others have been admitted
        engine.kill(part.node)
        assert after.result() == bytes(LARGE) + b"1"
        assert after.node != part.node
        blocker.cancel()


def killed_once(where: Path, value: bytes) -> bytes:
    """Kill the worker that runs this, at the first call."""
    try:
        where.touch(exist_ok=False)
    except FileExistsError:
        return value
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def test_a_killed_worker_takes_no_input_with_it(tmp_path: Path) -> None:
    with Scheduler(nodes=2) as live:
        part = live.submit(os.urandom, None, LARGE)
        value = part.result()
        shared = live.broadcast(value)
        assert live.submit(len, None, shared).result() == LARGE
        for number in range(2):  # the worker that has it, and then perhaps the other one
            after = live.submit(killed_once, None, tmp_path / f"a{number}", part)
            assert after.result() == value
            shared_after = live.submit(killed_once, None, tmp_path / f"b{number}", shared)
            assert shared_after.result() == value
        assert live.statistics().attempts["lost"] == 4


def test_a_broadcast_is_one_object_in_each_process() -> None:
    def seen(values: Any) -> tuple[int, int, float]:
        return os.getpid(), id(values), float(values.sum())

    with Scheduler(nodes=2) as live:
        handle = live.broadcast(np.arange(1000.0))
        found = {live.submit(seen, None, handle) for _ in range(40)}
        rows = {future.result() for future in found}
        assert len(rows) == len({pid for pid, _, _ in rows}) <= 2
        assert {total for _, _, total in rows} == {np.arange(1000.0).sum()}
        assert "Broadcast of ndarray" in repr(handle)


def test_a_broadcast_is_sent_once_and_dropped_when_nothing_uses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, released = fake(), list[int]()
    monkeypatch.setattr(engine, "release", released.append)
    pickled = []

    class Value:
        def __reduce__(self) -> Any:
            pickled.append(1)
            return int, (7,)

    with Scheduler(engine) as live:
        handle = live.broadcast(Value())
        number = handle.input.number
        assert [live.submit(add, None, handle, 1).result() for _ in range(20)] == [8] * 20
        assert len(pickled) == 1
        part = live.submit(add, None, 1, 1)
        live.submit(add, None, part, 1).result()
        assert part.input is not None
        numbers = [number, part.input.number]
        assert released == []
        del handle, part
        gc.collect()
        until(lambda: sorted(released) == sorted(numbers))


@pytest.mark.parametrize("kind", ["future", "broadcast"])
def test_only_arguments_of_its_scheduler_can_be_inputs(live: Scheduler, kind: str) -> None:
    with Scheduler(fake()) as other:
        given: Any = other.submit(int) if kind == "future" else other.broadcast(1)
        with pytest.raises(UsageError, match="is of another scheduler; give its"):
            live.submit(add, None, given, 1)
    own: Any = live.submit(int) if kind == "future" else live.broadcast(1)
    with pytest.raises(UsageError, match=rf"a {kind} must be an argument of a task"):
        live.submit(lambda: own)  # as a value that the function carries
    with pytest.raises(UsageError, match=r"give None|neither text, a path nor a tuple"):
        live.submit(add, own, 1)


def test_what_cannot_be_pickled_is_no_broadcast(live: Scheduler) -> None:
    with pytest.raises(UsageError, match=r"broadcast: the lock cannot be pickled"):
        live.broadcast(threading.Lock())


def test_executors_take_futures_too(live: Scheduler) -> None:
    with live.executor() as executor:
        one = executor.submit(add, 1, 2)
        assert executor.submit(add, one, one).result() == 6


# With a journal


def run(
    journal: Path, first: Callable[..., Any], version: object = 1, shared: object = 0
) -> tuple[Any, int]:
    with Scheduler(
        fake(), locations=lambda _: ["n0"], journal=journal, resume=True, version=lambda _: version
    ) as live:
        part: TaskFuture[Any] = live.submit(first, "c", key="first")
        after = live.submit(add, None, part, live.broadcast(f" {shared}"), key="after")
        last = live.submit(add, None, after, "!", key="last")
        return last.result(), live.statistics().resumed


def test_a_resumed_run_knows_tasks_by_those_they_depend_on(tmp_path: Path) -> None:
    journal = tmp_path / "j"
    assert run(journal, str.upper) == ("C 0!", 0)
    assert run(journal, str.upper) == ("C 0!", 3)
    assert run(journal, str.upper, version=2) == ("C 0!", 0)
    assert run(journal, str.upper, version=2) == ("C 0!", 3)
    with pytest.raises(JournalError, match="task 'first' had another function"):
        run(journal, str.title, version=2)
    with pytest.raises(JournalError, match="task 'after' had different arguments"):
        run(journal, str.upper, version=2, shared=1)


def test_a_task_found_in_the_journal_does_not_wait_for_its_inputs(tmp_path: Path) -> None:
    hangs = {"value": False}

    def fault(_node: str, work: WorkItem) -> Fault | None:
        return Fault.HANG if hangs["value"] and work.key == "first" else None

    def begin(live: Scheduler, version: int) -> tuple[TaskFuture[int], TaskFuture[int]]:
        first = live.submit(int, key="first")
        return first, live.submit(add, None, first, version, key="after")

    with Scheduler(fake(), journal=tmp_path / "j") as live:
        assert begin(live, 1)[1].result() == 1
    with sqlite3.connect(tmp_path / "j") as journal:  # as if its result were damaged
        journal.execute("UPDATE task SET crc = crc + 1 WHERE key = 'first'")
    journal.close()
    hangs["value"] = True
    with Scheduler(fake(fault=fault), journal=tmp_path / "j", resume=True) as live:
        first, after = begin(live, 1)
        assert after.result() == 1
        assert not first.done()
        first.cancel()
