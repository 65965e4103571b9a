"""The engine on Dask: the contract suite, and what is Dask's own."""

import asyncio
import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import pytest

pytest.importorskip("distributed")

import dask
from distributed import CancelledError, Client, LocalCluster

from isocline.dispatch.engines.base import (
    Done,
    Drops,
    Ending,
    Event,
    Fetched,
    Holds,
    NodeUp,
    Raised,
    Stopped,
)
from isocline.dispatch.engines.common.chunk_sites import ChunkSites
from isocline.dispatch.engines.dask import DaskEngine
from isocline.dispatch.engines.dask import worker_context as at_node
from isocline.dispatch.engines.dask.chunks import Chunks
from isocline.dispatch.errors import ChunkError, EngineError
from tests.dispatch.engines.dask.clusters import Killable, killable_cluster
from tests.dispatch.engines.engine_contract import EngineContract
from tests.dispatch.engines.scheduled import check_dependent_tasks, load
from tests.dispatch.rigs import SOON, Rig

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def killable() -> Iterator[Killable]:
    with killable_cluster(2) as killable:
        yield killable


@pytest.fixture
def client(killable: Killable) -> Client:
    """The cluster's, which is complete, whatever the test before has killed."""
    killable.workers()
    return killable.client


@pytest.fixture  # of the suite, here on Dask
def rig(client: Client) -> Iterator[Rig]:
    first = next(iter(client.scheduler_info()["workers"]))
    [chunk] = client.scatter(["value of c0"], workers=[first], hash=False)
    engine = DaskEngine(client, chunks={"c0": chunk})
    pids: dict[str, int] = {}
    try:
        made = Rig(engine, lambda node: os.kill(pids[node], signal.SIGKILL))
        made.holders = tuple(engine.locations("c0"))
        for name in made.names:
            pids[name] = made.value(made.run(name, os.getpid))
        yield made
    finally:
        engine.close()


@pytest.fixture
def made(client: Client) -> Iterator[Callable[..., Rig]]:
    """Makes a rig of an engine with other settings."""
    engines: list[DaskEngine] = []

    def make(**settings: Any) -> Rig:
        engines.append(DaskEngine(settings.pop("client", client), **settings))
        return Rig(engines[-1], lambda _node: None)

    yield make
    for engine in engines:
        engine.close()


class TestDaskEngine(EngineContract):
    pass


def test_tasks_may_depend_on_one_another(client: Client) -> None:
    check_dependent_tasks(DaskEngine(client, loader=load))


class Kept:
    """A future as far as it is looked at."""

    def __init__(self, key: str, lost: bool = False) -> None:
        self.key, self.lost = key, lost

    def cancelled(self) -> bool:
        return self.lost


class Asked:
    """A client that knows where everything is, and answers as Dask's does."""

    async def who_has(self, futures: list[Kept]) -> dict[str, list[str]]:
        if any(future.lost for future in futures):
            raise CancelledError
        return {future.key: ["tcp://w"] for future in futures}


def test_a_chunk_that_dask_has_lost_is_nowhere_and_the_others_are_looked_for_still() -> None:
    heard: list[Event] = []
    places = ChunkSites(lambda place: [place], heard.append)
    kept, lost = Kept("key-a"), Kept("key-b")
    chunks = Chunks({"a": kept, "b": lost}, places)
    asyncio.run(chunks.look(Asked()))
    lost.lost = True
    asyncio.run(chunks.look(Asked()))
    assert heard == [Holds("a", "tcp://w"), Holds("b", "tcp://w"), Drops("b", "tcp://w")]
    kept.lost = True
    asyncio.run(chunks.look(Asked()))
    assert (places.at("a"), places.at("b")) == ([], [])


def test_racks_are_given_by_host_name_or_address_and_a_loader_reads_what_dask_does_not_have(
    client: Client, made: Callable[..., Rig]
) -> None:
    first, second = sorted(client.scheduler_info()["workers"])
    rig = made(racks={"127.0.0.1": "host", first: "own"}, loader=str.upper)
    assert {node.name: node.rack for node in rig.nodes} == {first: "own", second: "host"}
    for name, held in ((first, True), (second, False)):
        attempt = rig.run(name, lambda value: value * 2, chunk="ab", holders=(first,))
        assert rig.value(attempt) == "ABAB"
        done = rig.end(attempt)
        assert isinstance(done, Done)
        assert done.held is held
    assert list(rig.engine.locations("ab")) == []


def test_a_fetched_chunk_counts_as_read_for_as_long_as_dask_took(
    client: Client, made: Callable[..., Rig]
) -> None:
    first, second = client.scheduler_info()["workers"]
    [chunk] = client.scatter([bytes(20 << 20)], workers=[first], hash=False)
    rig = made(chunks={"c": chunk})
    here, there = (rig.end(rig.run(node, len, chunk="c")) for node in (first, second))
    assert isinstance(here, Done)
    assert isinstance(there, Done)
    assert there.seconds > there.read_seconds > here.read_seconds


def fetched(rig: Rig, chunk: str, node: str) -> Fetched:
    event = rig.hear(lambda event: isinstance(event, Fetched) and event[:2] == (chunk, node))
    assert isinstance(event, Fetched)
    return event


def test_a_node_fetches_several_chunks_while_it_runs_a_task(
    client: Client, made: Callable[..., Rig]
) -> None:
    first, second = client.scheduler_info()["workers"]
    futures = client.scatter([bytes(size) for size in (5 << 20, 1)], workers=[first], hash=False)
    rig = made(chunks=dict(zip("ab", futures, strict=True)))
    assert rig.engine.fetches
    asleep = rig.run(second, time.sleep, 3600.0)
    for chunk in "ab":
        rig.engine.fetch(second, chunk, [first])
    for chunk, size in (("a", 5 << 20), ("b", 1)):
        event = fetched(rig, chunk, second)
        assert event.held
        assert event.seconds > 0.0
        assert rig.events.index(Holds(chunk, second)) < rig.events.index(event)
        assert set(rig.engine.locations(chunk)) == {first, second}
        after = rig.run(second, len, chunk=chunk)
        if chunk == "a":
            assert not [e for e in rig.drain() if isinstance(e, Ending)]  # it sleeps still
            rig.engine.cancel(second, asleep)
        assert rig.value(after) == size
        done = rig.end(after)
        assert isinstance(done, Done)
        assert done.held
    assert rig.events.count(Holds("a", second)) == 1


def test_a_chunk_that_is_lost_cannot_be_fetched(client: Client, made: Callable[..., Rig]) -> None:
    first, second = client.scheduler_info()["workers"]
    [lost] = client.scatter(["value"], workers=[first], hash=False)
    rig = made(chunks={"lost": lost})
    key = lost.key
    client.cancel([lost], force=True)
    end = time.monotonic() + SOON
    while any(client.run(lambda dask_worker: key in dask_worker.data).values()):
        assert time.monotonic() < end
    for chunk in ("lost", "unheard of"):
        rig.engine.fetch(second, chunk, [first])
        assert not fetched(rig, chunk, second).held
    # Where the engine has heard that a worker holds it, which is not so any more:
    asked = client.run(at_node.fetch, "", "no such key", [first], 1, workers=[second])
    assert asked == {second: False}
    assert rig.value(rig.run(second, abs, -1)) == 1


def test_copies_that_dask_drops_again_are_heard_of_and_do_no_harm(
    made: Callable[..., Rig],
) -> None:
    def dropped(event: Event) -> bool:
        return isinstance(event, Drops) and event.chunk == "c"

    manager = "distributed.scheduler.active-memory-manager"
    with (
        dask.config.set({f"{manager}.start": True, f"{manager}.interval": "100ms"}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        first, second = client.scheduler_info()["workers"]
        [chunk] = client.scatter(["value"], workers=[first], hash=False)
        rig = made(client=client, chunks={"c": chunk})
        rig.engine.fetch(second, "c", [first])
        assert fetched(rig, "c", second).held
        assert rig.hear(dropped).node in {first, second}  # type: ignore[union-attr]
        assert [rig.value(rig.run(node, len, chunk="c")) for node in rig.names] == [5, 5]
        rig.engine.close()


def test_no_task_waits_for_a_worker_that_is_gone(client: Client, made: Callable[..., Rig]) -> None:
    rig = made()
    gone, other = rig.names
    pid = rig.value(rig.run(gone, os.getpid))
    before = [rig.run(gone, time.sleep, 3600.0), rig.run(gone, abs, -1)]
    os.kill(pid, signal.SIGKILL)
    before += [rig.run(gone, abs, i) for i in range(20)]  # most likely Dask does not yet know
    assert "removed the worker" in rig.lost(gone).reason
    rig.run(gone, abs, -2)
    joined = rig.hear(lambda event: isinstance(event, NodeUp))
    assert isinstance(joined, NodeUp)
    assert joined.node.name not in {gone, other}
    assert rig.value(rig.run(joined.node.name, abs, -3)) == 3
    assert not [e for e in rig.drain() if isinstance(e, Ending) and e.attempt in before]
    end = time.monotonic() + SOON
    while left := client.run_on_scheduler(tasks_left):
        assert time.monotonic() < end, left


def test_an_engine_that_is_closed_leaves_nothing_at_dask(
    client: Client, made: Callable[..., Rig]
) -> None:
    rig = made()
    assert rig.value(rig.run(rig.names[0], abs, -1)) == 1
    gc.disable()
    try:
        rig.engine.close()
        end = time.monotonic() + SOON
        while left := client.run_on_scheduler(tasks_left):
            assert time.monotonic() < end, left
    finally:
        gc.enable()


def tasks_left(dask_scheduler: Any) -> list[str]:
    """Of our engines, those that Dask still has."""
    return [key for key in dask_scheduler.tasks if str(key).startswith("isocline")]


def test_a_chunk_that_dask_has_lost_is_said_to_be_lost(
    client: Client, made: Callable[..., Rig]
) -> None:
    failing = client.submit(int, "not a number", pure=False)
    [lost] = client.scatter(["value"], hash=False)
    rig = made(chunks={"failing": failing, "lost": lost})
    client.cancel([lost], force=True)
    raised = [rig.end(rig.run(rig.names[0], len, chunk=chunk)) for chunk in ("failing", "lost")]
    assert all(isinstance(event, Raised) for event in raised)
    failure, loss = (pickle.loads(event.error) for event in raised)  # type: ignore[union-attr]
    assert isinstance(failure, ValueError)
    assert isinstance(loss, ChunkError)
    assert rig.value(rig.run(rig.names[0], abs, -1)) == 1


def test_threads_are_nodes_and_an_address_will_do_for_a_client(made: Callable[..., Rig]) -> None:
    with LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        rig = made(client=cluster.scheduler_address)
        assert [name.rpartition("/")[2] for name in rig.names] == ["0", "1"]
        asleep = rig.run(rig.names[0], time.sleep, 3600.0)
        assert rig.value(rig.run(rig.names[1], abs, -1)) == 1
        rig.engine.cancel(rig.names[0], asleep)
        assert rig.end(asleep) == Stopped(asleep, rig.names[0])
        rig.engine.close()


def test_what_cannot_be_started_is_refused(client: Client) -> None:
    closed = DaskEngine(client)
    closed.close()
    with pytest.raises(EngineError, match="make another"):
        closed.start(lambda _event: None)
    with pytest.raises(EngineError, match="cannot be reached"):
        DaskEngine("tcp://127.0.0.1:1", begin=0.2).start(lambda _event: None)


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_without_its_library_an_engine_says_what_to_install(name: str) -> None:
    library = {"ray": "ray", "dask": "distributed"}[name]
    code = f"import sys; sys.modules[{library!r}] = None\nimport isocline.dispatch.engines.{name}"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert f"MissingExtraError: the engine on {name.title()}" in ended.stderr
    assert f"pip install 'isocline[{name}]'" in ended.stderr


def test_a_scheduler_that_ends_takes_all_nodes_with_it(made: Callable[..., Rig]) -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        rig = made(client=cluster.scheduler_address)
        assert rig.value(rig.run(rig.names[0], abs, -1)) == 1
    rig.lost(rig.names[0])
    rig.engine.close()
