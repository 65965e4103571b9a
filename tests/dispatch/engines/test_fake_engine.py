"""The fake engine: the contract suite, also in any order of things, and the fake's own clock."""

import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.dispatch.engines.base import (
    Answers,
    Done,
    Drops,
    Ending,
    Event,
    Fetched,
    Holds,
    Node,
    NodeGone,
    NodeLost,
    NodeUp,
    Raised,
    Silent,
    Stopped,
    TimedOut,
    WorkItem,
)
from isocline.dispatch.engines.fake import FakeEngine, Fault, FaultError, Service
from isocline.dispatch.errors import ChunkError
from tests.dispatch.engines.engine_contract import EngineContract
from tests.dispatch.rigs import HANG, Rig, value_of

ECHO = cloudpickle.dumps(lambda *args: args)
NO_ARGUMENTS = cloudpickle.dumps(((), {}))


@pytest.fixture
def rig() -> Iterator[Rig]:
    """As fast as it can, with HANG for what hangs."""
    engine = FakeEngine(
        2,
        fault=lambda _node, work: Fault.HANG if work.key == HANG else None,
        loader=value_of,
        keeps=True,
        fetches=True,
        speed=float("inf"),
    )
    try:
        yield Rig(engine, engine.kill)
    finally:
        engine.close()


class TestFakeEngine(EngineContract):
    pass


def work(
    attempt: int, chunk: str | None = None, *holders: str, limit: float | None = None
) -> WorkItem:
    return WorkItem(attempt, f"k{attempt}", ECHO, NO_ARGUMENTS, chunk, holders, limit)


def advanced(engine: FakeEngine) -> None:
    while engine.advance():
        pass


FAULTS = st.sampled_from([None, None, *Fault])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 2), FAULTS, st.sampled_from([None, 0.5, 2.0])),
        st.tuples(st.just("cancel"), st.integers(0, 2), st.integers(0, 30)),
        st.tuples(st.just("kill"), st.integers(0, 2)),
        st.tuples(st.just("advance")),
    ),
    max_size=60,
)


@given(STEPS)
def test_each_attempt_ends_once_whatever_happens(steps: list[tuple[Any, ...]]) -> None:
    """Books are kept as the contract has it: by what is heard, in its order."""
    faults: dict[str, Fault | None] = {}
    heard: list[Event] = []
    engine = FakeEngine(3, fault=lambda _node, done: faults[done.key])
    up = {node.name: True for node in engine.start(heard.append)}
    there: dict[int, str] = {}
    for attempt, step in enumerate(steps):
        match step:
            case ("run", node, fault, limit):
                faults[f"k{attempt}"] = fault
                if up[f"n{node}"]:
                    there[attempt] = f"n{node}"
                engine.run(f"n{node}", work(attempt, limit=limit))
            case ("cancel", node, number):
                engine.cancel(f"n{node}", number)
            case ("kill", node):
                engine.kill(f"n{node}")
            case _:
                engine.advance()
        book(heard, there, up)
    for attempt, node in list(there.items()):
        if faults[f"k{attempt}"] is Fault.HANG:
            engine.cancel(node, attempt)
    advanced(engine)
    book(heard, there, up)
    assert there == {}
    assert all(up.values())


def book(heard: list[Event], there: dict[int, str], up: dict[str, bool]) -> None:
    for event in heard:
        match event:
            case NodeLost(name):
                assert up[name]
                up[name] = False
                for attempt in [attempt for attempt, node in there.items() if node == name]:
                    del there[attempt]
            case NodeUp(node):
                assert not up[node.name]
                up[node.name] = True
            case Holds() | Drops() | NodeGone() | Fetched() | Silent() | Answers():
                raise AssertionError(event)
            case _:
                assert there.pop(event.attempt) == event.node
    heard.clear()


def test_times_are_those_of_the_levels() -> None:
    nodes = [Node("a", "r0"), Node("b", "r0"), Node("c", "r1")]
    heard: list[Event] = []
    engine = FakeEngine(nodes, service=Service(1.0, 3.0, 5.0))
    engine.start(heard.append)
    for attempt, node in enumerate("aabc"):
        engine.run(node, work(attempt, "chunk", "a"))
    ends = []
    while engine.advance():
        ends.append(engine.now)
    assert ends == [1.0, 2.0, 3.0, 5.0]
    done = [event for event in heard if isinstance(event, Done)]
    assert [event.seconds for event in done] == [1.0, 1.0, 3.0, 5.0]
    assert [event.read_seconds for event in done] == [0.0, 0.0, 2.0, 4.0]
    assert [event.held for event in done] == [True, True, False, False]
    assert pickle.loads(done[0].value) == ("chunk",)


def test_a_node_that_keeps_what_it_fetched_is_quick_the_next_time() -> None:
    heard: list[Event] = []
    engine = FakeEngine(2, keeps=True)
    engine.start(heard.append)
    engine.run("n1", work(1, "c", "n0"))
    engine.run("n1", work(2, "c", "n0"))
    advanced(engine)
    assert engine.now == 3.0
    assert heard[0] == Holds("c", "n1")
    assert list(engine.locations("c")) == ["n1"]
    engine.kill("n1")
    assert list(engine.locations("c")) == []


def test_faults_are_as_asked_for() -> None:
    asked = {"k1": Fault.RAISE, "k2": Fault.HANG, "k3": Fault.DIE}
    heard: list[Event] = []
    engine = FakeEngine(1, fault=lambda _node, done: asked.get(done.key), down=3.0)
    engine.start(heard.append)
    for attempt in (1, 2, 3, 4):
        engine.run("n0", work(attempt, limit=4.0))
    advanced(engine)
    raised, late, lost, up = heard
    assert isinstance(raised, Raised)
    assert isinstance(pickle.loads(raised.error), FaultError)
    assert late == TimedOut(2, "n0", 4.0)
    assert isinstance(lost, NodeLost)
    assert up == NodeUp(Node("n0"))
    assert engine.now == 1.0 + 4.0 + 0.5 + 3.0


def test_a_chunk_whose_holders_are_all_down_cannot_be_read() -> None:
    heard: list[Event] = []
    engine = FakeEngine(2, down=float("inf"))
    engine.start(heard.append)
    engine.kill("n0")
    engine.run("n1", work(1, "c", "n0"))
    advanced(engine)
    raised = heard[-1]
    assert isinstance(raised, Raised)
    assert isinstance(pickle.loads(raised.error), ChunkError)


@pytest.mark.parametrize("speed", [1000.0, float("inf")])
def test_by_itself_it_does_all_that_it_is_given(speed: float) -> None:
    ended = threading.Semaphore(0)
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        ended.release()

    engine = FakeEngine(4, speed=speed)
    engine.start(hear)
    for attempt in range(200):
        engine.run(f"n{attempt % 4}", work(attempt))
    for _ in range(200):
        assert ended.acquire(timeout=30.0)
    engine.cancel("n0", 0)
    engine.close()
    assert Counter(e.attempt for e in heard if isinstance(e, Ending)) == dict.fromkeys(
        range(200), 1
    )
    assert engine.now >= 50.0
    assert not any(isinstance(event, Stopped) for event in heard)
