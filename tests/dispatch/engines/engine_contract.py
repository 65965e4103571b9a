"""Contract of every engine, as tests; see `rigs`."""

import os
import pickle
import sys
import threading
import time
from collections import Counter
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch.chunk_names import chunk_name
from isocline.dispatch.engines.base import (
    Done,
    Ending,
    Holds,
    NodeLost,
    Raised,
    Stopped,
    TimedOut,
)
from isocline.dispatch.errors import RemoteError, ResultError
from isocline.dispatch.inputs import InputData
from tests.dispatch.rigs import HANG, Reference, Rig

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def echo(*args: Any, **named: Any) -> tuple[Any, Any]:
    return args, named


def hang() -> None:
    time.sleep(3600.0)


class CustomError(Exception):
    """It can be pickled, but not unpickled, not even with the help that Dask brings along."""

    def __init__(self, what: str, more: int) -> None:
        super().__init__(what)
        self.more = more

    def __reduce__(self) -> tuple[type["CustomError"], tuple[str]]:
        return CustomError, (self.args[0],)


def fails_deep(depth: int) -> None:
    if depth == 0:
        raise LookupError("no such word")
    fails_deep(depth - 1)


class EngineContract:
    """Base class of each engine's suite; the subclass's file gives the fixture.

    `rig`: a Rig of two nodes or more, as if its engine were new for each test.
    """

    def test_results_are_what_the_function_returned(self, rig: Rig) -> None:
        for node in rig.names:
            attempt = rig.run(node, echo, 1, "two", named={"three": [3.0]})
            done = rig.end(attempt)
            assert isinstance(done, Done)
            assert pickle.loads(done.value) == ((1, "two"), {"three": [3.0]})
            assert done.node == node
            assert done.held
            assert done.seconds >= done.read_seconds >= 0.0

    def test_a_chunk_given_as_a_tuple_is_loaded_as_one(self, rig: Rig) -> None:
        for node in rig.names:
            attempt = rig.run(node, echo, chunk=chunk_name(("part", 7)), holders=(node,))
            ((found,), _) = rig.value(attempt)
            assert found in (("part", 7), "value of ('part', 7)")  # the latter by a loader

    def test_an_input_is_sent_once_and_kept_until_it_is_released(self, rig: Rig) -> None:
        node = rig.names[0]
        given = tuple(InputData(9000 + i, pickle.dumps([i]), bool(i)) for i in range(2))
        pair = [Reference(each.number) for each in given]
        for _ in range(3):
            assert rig.value(rig.run(node, echo, pair, inputs=given)) == (([[0], [1]],), {})
        changed = rig.run(node, lambda own: own.append(1) or own, pair[0], inputs=given)
        assert rig.value(changed) == [0, 1]  # a copy of its own
        assert rig.value(rig.run(node, echo, pair[0], inputs=given[:1])) == (([0],), {})
        for each in given:
            rig.engine.release(each.number)
        new = (InputData(given[0].number, pickle.dumps("new"), False),)
        assert rig.value(rig.run(node, echo, pair[0], inputs=new)) == (("new",), {})
        rig.engine.release(given[0].number)
        rig.engine.release(12345)  # unknown

    def test_a_result_that_is_kept_need_not_be_sent(self, rig: Rig) -> None:
        for node in rig.names:
            done = rig.end(rig.run(node, lambda: [1, 2], keep=9100))
            assert isinstance(done, Done)
            data = InputData(9100, done.value, False)
            assert rig.value(rig.run(node, sum, Reference(9100), inputs=(data,))) == 3
        rig.engine.release(9100)

    def test_a_class_of_the_callers_comes_back_as_itself(self, rig: Rig) -> None:
        class Point:
            def __init__(self, x: int) -> None:
                self.x = x

        assert rig.value(rig.run(rig.names[0], lambda: Point(3))).x == 3

    def test_large_arguments_and_results(self, rig: Rig) -> None:
        data = os.urandom(1 << 20) * 8
        attempts = [rig.run(rig.names[0], lambda data: data[::-1], data) for _ in range(3)]
        assert all(rig.value(attempt) == data[::-1] for attempt in attempts)

    def test_a_node_works_off_its_queue_in_order(self, rig: Rig) -> None:
        attempts = [rig.run(rig.names[0], echo, number) for number in range(50)]
        rig.end(attempts[-1])
        ended = [event.attempt for event in rig.events if isinstance(event, Ending)]
        assert [attempt for attempt in ended if attempt in attempts] == attempts

    def test_an_exception_comes_with_its_own_traceback(self, rig: Rig) -> None:
        raised = rig.end(rig.run(rig.names[0], fails_deep, 3))
        assert isinstance(raised, Raised)
        error = pickle.loads(raised.error)
        assert isinstance(error, LookupError)
        assert error.args == ("no such word",)
        assert raised.text.count("in fails_deep") == 4
        assert "isocline/dispatch" not in raised.text
        assert rig.value(rig.run(rig.names[0], echo, 1)) == ((1,), {})

    def test_an_exception_that_cannot_be_pickled_keeps_its_words(self, rig: Rig) -> None:
        def fails() -> None:
            raise CustomError("what it said", 2)

        raised = rig.end(rig.run(rig.names[0], fails))
        assert isinstance(raised, Raised)
        error = pickle.loads(raised.error)
        assert isinstance(error, RemoteError)
        assert "CustomError: what it said" in str(error)

    @pytest.mark.parametrize(
        ("function", "kind"),
        [
            (threading.Lock, ResultError),
            (lambda: sys.exit(3), SystemExit),
            (lambda: (_ for _ in ()).throw(KeyboardInterrupt), KeyboardInterrupt),
        ],
    )
    def test_a_node_outlives_what_cannot_be_returned(
        self, rig: Rig, function: Any, kind: type
    ) -> None:
        raised = rig.end(rig.run(rig.names[0], function))
        assert isinstance(raised, Raised)
        assert isinstance(pickle.loads(raised.error), kind)
        assert rig.value(rig.run(rig.names[0], echo)) == ((), {})
        assert not any(isinstance(event, NodeLost) for event in rig.events)

    def test_a_function_that_cannot_be_unpickled_is_its_tasks_failure(self, rig: Rig) -> None:
        class Unloadable:
            def __reduce__(self) -> tuple[Any, ...]:
                return int, ("not a number",)

            def __call__(self) -> None:
                raise AssertionError

        raised = rig.end(rig.run(rig.names[0], Unloadable()))
        assert isinstance(raised, Raised)
        assert isinstance(pickle.loads(raised.error), ValueError)
        assert rig.value(rig.run(rig.names[0], echo)) == ((), {})

    def test_a_running_task_is_cancelled(self, rig: Rig) -> None:
        node = rig.names[0]
        running, behind = rig.run(node, hang, key=HANG), rig.run(node, echo, 1)
        time.sleep(0.1)  # most likely it runs by now
        rig.engine.cancel(node, running)
        assert rig.end(running) == Stopped(running, node)
        assert rig.value(behind) == ((1,), {})

    def test_a_task_in_the_queue_is_cancelled_and_never_runs(self, rig: Rig) -> None:
        node = rig.names[0]
        running, behind = rig.run(node, hang, key=HANG), rig.run(node, echo)
        rig.engine.cancel(node, behind)
        assert rig.end(behind) == Stopped(behind, node)
        rig.engine.cancel(node, running)
        assert rig.end(running) == Stopped(running, node)

    def test_to_cancel_what_has_ended_does_nothing(self, rig: Rig) -> None:
        node = rig.names[0]
        attempt = rig.run(node, echo)
        rig.end(attempt)
        rig.engine.cancel(node, attempt)
        rig.engine.cancel(node, 10**6)
        assert rig.value(rig.run(node, echo, 1)) == ((1,), {})
        assert Counter(e.attempt for e in rig.drain() if isinstance(e, Ending))[attempt] == 1

    def test_a_task_is_stopped_at_its_limit(self, rig: Rig) -> None:
        node = rig.names[0]
        late = rig.run(node, hang, key=HANG, limit=0.2)
        behind = rig.run(node, echo, limit=600.0)
        ended = rig.end(late)
        assert isinstance(ended, TimedOut)
        assert ended.seconds >= 0.2
        assert rig.value(behind) == ((), {})

    def test_a_node_that_is_killed_is_lost_with_its_attempts_and_the_rest_works(
        self, rig: Rig
    ) -> None:
        victim, other = rig.names[:2]
        doomed = [rig.run(victim, hang, key=HANG), rig.run(victim, echo)]
        rig.kill(victim)
        assert rig.lost(victim).reason
        assert rig.value(rig.run(other, echo, 1)) == ((1,), {})
        assert not [e for e in rig.drain() if isinstance(e, Ending) and e.attempt in doomed]

    def test_a_chunk_is_read_where_it_is_and_fetched_where_not(self, rig: Rig) -> None:
        here, there = rig.holders[0], next(n for n in rig.names if n not in rig.holders)
        for node, held in ((here, True), (there, False)):
            attempt = rig.run(node, echo, 1, chunk=rig.chunk, holders=rig.holders)
            assert rig.value(attempt) == ((f"value of {rig.chunk}", 1), {})
            done = rig.end(attempt)
            assert isinstance(done, Done)
            assert done.held is held

    def test_a_node_that_fetched_a_chunk_says_that_it_holds_it(self, rig: Rig) -> None:
        if not rig.holds:
            pytest.skip("this engine keeps no chunks that it fetched")
        there = next(n for n in rig.names if n not in rig.holders)
        held = []
        for _ in range(2):
            done = rig.end(rig.run(there, echo, chunk=rig.chunk, holders=rig.holders))
            assert isinstance(done, Done)
            held.append(done.held)
        rig.hear(lambda event: event == Holds(rig.chunk, there))
        assert held == [False, True]
        assert there in rig.engine.locations(rig.chunk)

    def test_a_node_fetches_while_it_runs_a_task(self, rig: Rig) -> None:
        if not rig.engine.fetches:
            pytest.skip("the nodes of this engine fetch nothing by themselves")
        there = next(n for n in rig.names if n not in rig.holders)
        running = rig.run(there, hang, key=HANG)
        rig.engine.fetch(there, rig.chunk, rig.holders)
        assert rig.fetched(rig.chunk, there).held
        assert Holds(rig.chunk, there) in rig.events
        assert there in rig.engine.locations(rig.chunk)
        assert not [e for e in rig.events if isinstance(e, Ending) and e.attempt == running]
        rig.engine.cancel(there, running)
        done = rig.end(rig.run(there, echo, chunk=rig.chunk, holders=rig.holders))
        assert isinstance(done, Done)
        assert done.held

    def test_a_thousand_tasks_each_once(self, rig: Rig) -> None:
        expected = {rig.run(rig.names[i % 2], pow, i, 2): i * i for i in range(1000)}
        assert {attempt: rig.value(attempt) for attempt in expected} == expected
        counts = Counter(e.attempt for e in rig.drain() if isinstance(e, Ending))
        assert {counts[attempt] for attempt in expected} == {1}

    def test_close_leaves_nothing_behind_and_may_be_repeated(self, rig: Rig) -> None:
        rig.run(rig.names[0], hang, key=HANG)
        rig.engine.close()
        assert rig.left() == []
        heard = len(rig.drain())
        rig.engine.close()
        assert len(rig.drain()) == heard
