"""The engine on Ray: the contract suite, and what is Ray's own."""

import itertools
import os
import pickle
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

# Before Ray is imported: on the loopback only, with a token of this run alone.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
strategies = pytest.importorskip("ray.util.scheduling_strategies")

from isocline.dispatch.engines.base import (  # noqa: E402
    Done,
    Emit,
    Ending,
    Event,
    Fetched,
    Holds,
    Node,
    NodeLost,
    NodeUp,
    Raised,
    Stopped,
    TimedOut,
)
from isocline.dispatch.engines.ray import RayEngine  # noqa: E402
from isocline.dispatch.errors import ChunkError, EngineError, NoRoomError  # noqa: E402
from isocline.dispatch.scheduler import Scheduler  # noqa: E402
from isocline.errors import UsageError  # noqa: E402
from tests.dispatch.engines.engine_contract import EngineContract  # noqa: E402
from tests.dispatch.engines.scheduled import check_dependent_tasks, load  # noqa: E402
from tests.dispatch.rigs import SOON, Rig, alive  # noqa: E402

SMALL = {"num_cpus": 1, "object_store_memory": 80 << 20}

CHECKS = {  # soon, as a node is to be found dead
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two Ray nodes of one CPU each, the second of them in a rack."""
    cluster = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={**SMALL, "include_dashboard": False, "_system_config": CHECKS},
    )
    try:
        cluster.add_node(**SMALL, labels={"rack": "b"})
        ray.init(cluster.address, log_to_driver=False, logging_level="error")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


class Lasting:
    """An engine used by one test after another, as actors take a second to make."""

    def __init__(self) -> None:
        self.chunks = {f"c{i}": ray.put(f"value of c{i}") for i in range(40)}
        self.fresh = iter(self.chunks)
        self.attempts = itertools.count(1)
        self.engine: RayEngine | None = None
        self.spoilt = False  # the next test needs another

    def start(self, emit: Emit) -> list[Node]:
        self.emit = emit
        if self.engine is None:
            self.engine = RayEngine(chunks=self.chunks)
            self.nodes = list(self.engine.start(self._emit))
        return self.nodes

    def _emit(self, event: Event) -> None:
        self.emit(event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def close(self) -> None:
        if self.engine:
            self.engine.close()
            self.engine, self.spoilt = None, False


@pytest.fixture(scope="module")
def lasting(cluster: Any) -> Iterator[Lasting]:
    lasting = Lasting()
    yield lasting
    lasting.close()


@pytest.fixture  # of the suite, here on Ray
def rig(lasting: Lasting) -> Iterator[Rig]:
    pids: dict[str, int] = {}

    def kill(node: str) -> None:
        os.kill(pids[node], signal.SIGKILL)
        lasting.spoilt = True

    rig = Rig(lasting, kill, chunk=next(lasting.fresh), left=lambda: left(pids))
    rig.attempts = lasting.attempts
    rig.holders = tuple(lasting.locations(rig.chunk))
    for name in rig.names:
        pids[name] = rig.value(rig.run(name, os.getpid))
    yield rig
    if lasting.spoilt:
        lasting.close()


def left(pids: dict[str, int], patience: float = SOON) -> list[str]:
    """Ray ends an actor's process soon after it counts it as dead."""
    end = time.monotonic() + patience
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.05)
    return alive(pids)


@pytest.fixture
def made(cluster: Any, lasting: Lasting) -> Iterator[Callable[..., Rig]]:
    """Makes a rig of an engine with other settings."""
    lasting.close()  # there are no CPUs for two
    engines: list[RayEngine] = []

    def make(**settings: Any) -> Rig:
        engines.append(RayEngine(**settings))
        return Rig(engines[-1], lambda _node: None)

    yield make
    for engine in engines:
        engine.close()


class TestRayEngine(EngineContract):
    pass


def test_tasks_may_depend_on_one_another(lasting: Lasting) -> None:
    lasting.close()  # its actors have the CPUs
    check_dependent_tasks(RayEngine(loader=load))


def test_nodes_have_the_racks_of_their_labels_and_hold_what_their_stores_hold(
    rig: Rig, lasting: Lasting
) -> None:
    assert sorted(str(node.rack) for node in rig.nodes) == ["None", "b"]
    head = ray.get_runtime_context().get_node_id()
    assert list(lasting.locations("c39")) == [name for name in rig.names if head.startswith(name)]
    assert list(lasting.locations("no such chunk")) == []


def test_slots_are_nodes_of_one_place_and_a_loader_reads_what_ray_does_not_have(
    made: Callable[..., Rig],
) -> None:
    rig = made(slots=2, cpus=0.5, loader=lambda chunk: chunk.upper(), chunks={"c": ray.put("v")})
    assert len(rig.names) == 4
    assert sorted({name.rpartition("/")[2] for name in rig.names}) == ["0", "1"]
    assert len({name.rpartition("/")[0] for name in rig.engine.locations("c")}) == 1
    assert len(rig.engine.locations("c")) == 2
    node, other = rig.names[:2]
    for name, held in ((node, True), (other, False)):
        attempt = rig.run(name, lambda value: value * 2, chunk="ab", holders=(node,))
        assert rig.value(attempt) == "ABAB"
        done = rig.end(attempt)
        assert isinstance(done, Done)
        assert done.held is held


def test_a_task_deep_in_compiled_code_costs_its_node_which_comes_up_again(
    made: Callable[..., Rig],
) -> None:
    def deaf() -> None:
        import ctypes

        ctypes.PyDLL(None).usleep(3600 * 10**6)  # with the interpreter's lock held: no handler runs

    rig = made(patience=0.5)
    node = rig.names[0]
    stuck, behind = rig.run(node, deaf, limit=0.1), rig.run(node, os.getpid)
    assert isinstance(rig.end(stuck), TimedOut)
    assert "could not be stopped" in rig.lost(node).reason
    rig.up(node)
    assert rig.value(rig.run(node, os.getpid)) > 0
    assert behind not in [event.attempt for event in rig.drain() if isinstance(event, Ending)]


def test_a_task_that_cannot_be_stopped_is_left_and_those_behind_it_run_once(rig: Rig) -> None:
    node = rig.names[0]
    pid = rig.value(rig.run(node, os.getpid))
    stuck = [rig.run(node, time.sleep, 3600.0 + i) for i in range(2)]
    behind = [rig.run(node, square, i) for i in range(20)]
    for attempt in stuck:
        rig.engine.cancel(node, attempt)
        assert rig.end(attempt) == Stopped(attempt, node)
    assert [rig.value(attempt) for attempt in behind] == [i * i for i in range(20)]
    assert rig.value(rig.run(node, os.getpid)) == pid
    ended = [e.attempt for e in rig.drain() if isinstance(e, Ending) and e.attempt in behind]
    assert ended == behind


def test_lanes_are_used_again_and_a_node_that_has_none_left_is_made_anew(
    made: Callable[..., Rig], tmp_path: Path
) -> None:
    rig = made(patience=1.0)
    node = rig.names[0]

    def stopped(number: int, seconds: float) -> None:
        begun = tmp_path / str(number)

        def task() -> None:
            begun.touch()
            time.sleep(seconds)

        attempt = rig.run(node, task)
        end = time.monotonic() + SOON
        while not begun.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        rig.engine.cancel(node, attempt)
        assert rig.end(attempt) == Stopped(attempt, node)

    for number in range(5):
        stopped(number, 1.0)
        rig.value(rig.run(node, time.sleep, 1.0))  # the lane is free again by then
    for number in range(5, 9):
        assert not [event for event in rig.drain() if isinstance(event, NodeLost)]
        stopped(number, 3600.0)
    assert "could not be stopped" in rig.lost(node).reason
    rig.up(node)
    assert rig.value(rig.run(node, square, 3)) == 9


def test_a_node_fetches_a_chunk_while_it_runs_a_task(rig: Rig) -> None:
    here, there = rig.holders[0], next(n for n in rig.names if n not in rig.holders)
    running = rig.run(there, time.sleep, 3600.0)
    rig.engine.fetch(there, rig.chunk, rig.holders)
    fetched = rig.hear(lambda event: isinstance(event, Fetched))
    assert isinstance(fetched, Fetched)
    assert fetched[:3] == (rig.chunk, there, True)
    assert fetched.seconds > 0.0
    heard = [event for event in rig.events if isinstance(event, (Holds, Fetched))]
    assert heard == [Holds(rig.chunk, there), fetched]
    assert sorted(rig.engine.locations(rig.chunk)) == sorted([here, there])
    assert not [
        event for event in rig.drain() if isinstance(event, Ending) and event.attempt == running
    ]
    rig.engine.cancel(there, running)
    done = rig.end(rig.run(there, len, chunk=rig.chunk, holders=rig.holders))
    assert isinstance(done, Done)
    assert done.held


def third_node(cluster: Any) -> tuple[Any, Any]:
    """It joins, and a chunk is made there that cannot be made again."""
    third = cluster.add_node(**SMALL)
    cluster.wait_for_nodes()
    there = strategies.NodeAffinitySchedulingStrategy(third.node_id, soft=False)
    make = ray.remote(num_cpus=0, max_retries=0)(lambda: bytes(1 << 20))
    chunk = make.options(scheduling_strategy=there).remote()
    ray.wait([chunk], fetch_local=False)
    return third, chunk


def test_tasks_run_where_ray_has_what_they_need_and_ray_reserves_it(
    cluster: Any, lasting: Lasting
) -> None:
    lasting.close()  # its actors have the CPUs
    third = cluster.add_node(**{**SMALL, "num_gpus": 1}, resources={"disk": 3})
    cluster.wait_for_nodes()
    try:
        engine = RayEngine(slots=2, cpus=0.5, resources=["GPU", "disk"])
        with Scheduler(engine) as live:
            needs: list[dict[str, float]] = [{"GPU": 1}, {"disk": 3}, {"GPU": 1, "disk": 1}] * 5
            futures = [live.submit(abs, None, -1, resources=need) for need in needs]
            assert [future.result() for future in futures] == [1] * 15
            assert {str(future.node)[:12] for future in futures} == {third.node_id[:12]}
            with pytest.raises(NoRoomError, match="disk 3 at"):
                live.submit(abs, None, -1, resources={"disk": 4}).result()
            free = ray.available_resources()
            assert free.get("GPU", 0.0) == free.get("disk", 0.0) == 0.0
    finally:
        cluster.remove_node(third)


def test_what_ray_itself_divides_is_no_resource_of_tasks() -> None:
    for name, says in (("CPU", "give cpus="), ("object_store_memory", "leave it out")):
        with pytest.raises(UsageError, match=says):
            RayEngine(resources=[name])
    with pytest.raises(UsageError, match="give a list"):
        RayEngine(resources="GPU")


def test_a_chunk_that_is_lost_is_fetched_by_none(cluster: Any, made: Callable[..., Rig]) -> None:
    third, chunk = third_node(cluster)
    rig = made(chunks={"c": chunk})
    [gone] = rig.engine.locations("c")
    cluster.remove_node(third, allow_graceful=False)
    rig.lost(gone)
    other = next(name for name in rig.names if name != gone)
    rig.engine.fetch(other, "c", (gone,))
    fetched = rig.hear(lambda event: isinstance(event, Fetched))
    assert isinstance(fetched, Fetched)
    assert fetched[:3] == ("c", other, False)
    assert list(rig.engine.locations("c")) == []
    for name in rig.names:
        if name != gone:
            assert isinstance(rig.end(rig.run(name, len, chunk="c")), Raised)
    assert list(rig.engine.locations("c")) == []


def test_a_node_removed_during_a_run_and_one_that_joins(
    cluster: Any, made: Callable[..., Rig]
) -> None:
    third, chunk = third_node(cluster)
    rig = made(chunks={"c": chunk})
    [gone] = rig.engine.locations("c")
    assert third.node_id.startswith(gone)

    owed = {rig.run(node, square, i): i for i, node in zip(range(60), itertools.cycle(rig.names))}
    assert rig.value(rig.run(gone, square, 7)) == 49  # it is well under way
    owed[rig.run(gone, time.sleep, 3600.0)] = 60
    owed[rig.run(gone, square, 61)] = 61
    right = {}
    cluster.remove_node(third, allow_graceful=False)
    rig.lost(gone)
    for attempt in [event.attempt for event in rig.drain() if isinstance(event, Done)]:
        if attempt in owed:
            right[owed.pop(attempt)] = rig.value(attempt)
    assert {60, 61} <= set(owed.values())
    others = [name for name in rig.names if name != gone]
    again = {rig.run(others[i % 2], square, i): i for i in owed.values()}
    right |= {i: rig.value(attempt) for attempt, i in again.items()}
    assert right == {i: i * i for i in range(62)}
    assert [event.name for event in rig.drain() if isinstance(event, NodeLost)] == [gone]

    raised = rig.end(rig.run(others[0], len, chunk="c"))
    assert isinstance(raised, Raised)
    error = pickle.loads(raised.error)
    assert isinstance(error, ChunkError)
    assert "'c' cannot be read" in str(error)
    assert list(rig.engine.locations("c")) == []

    fourth = cluster.add_node(**SMALL)
    joined = rig.hear(lambda event: isinstance(event, NodeUp))
    assert isinstance(joined, NodeUp)
    assert fourth.node_id.startswith(joined.node.name)
    assert rig.value(rig.run(joined.node.name, square, 8)) == 64
    cluster.remove_node(fourth)


def square(number: int) -> int:
    return number * number


def test_what_cannot_be_started_is_refused(cluster: Any) -> None:
    with pytest.raises(UsageError, match="slots: 0"):
        RayEngine(slots=0)
    with pytest.raises(EngineError, match="no Ray node has 64 free CPUs"):
        RayEngine(cpus=64).start(lambda _event: None)
