"""Resources that tasks need, and several slots of a node, as a user sees them."""

import math
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch import NoRoomError, Scheduler
from isocline.dispatch.batch.engine import where
from isocline.dispatch.batch.load import load_batch
from isocline.dispatch.batch.result import Failure, Finished
from isocline.dispatch.batch.runner import run_batch
from isocline.dispatch.batch.spec import Batch, RunOptions
from isocline.dispatch.engines.base import Node, WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault
from isocline.errors import UsageError
from tests.dispatch.rigs import until

cloudpickle.register_pickle_by_value(sys.modules[__name__])

GPU = (("gpu", 1.0),)
NODES = [  # two slots of a machine with one GPU, a machine with two, and one without
    Node("a/0", None, (), "a", GPU),
    Node("a/1", None, (), "a", GPU),
    Node("b", None, (), None, (("gpu", 2.0), ("memory", 8e9))),
    Node("c"),
]


class Seen:
    """Nodes that began a task whose key begins with gpu; those whose key ends so hang."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()

    def fault(self, node: str, work: WorkItem) -> Fault | None:
        if work.key.startswith("gpu"):
            self.nodes.add(node)
        return Fault.HANG if work.key.endswith("hangs") else None


def scheduler(
    fault: Callable[[str, WorkItem], Fault | None] = lambda _n, _w: None, **how: Any
) -> Scheduler:
    return Scheduler(FakeEngine(NODES, fault=fault, speed=math.inf), **how)


def test_tasks_run_only_where_there_is_what_they_need() -> None:
    seen = Seen()
    with scheduler(seen.fault) as live:
        futures = [
            live.submit(abs, None, i, key=f"gpu{i}", resources={"gpu": 1}) for i in range(100)
        ]
        others = [live.submit(abs, None, i, key=f"cpu{i}") for i in range(100)]
        assert [future.result() for future in futures + others] == [*range(100)] * 2
    assert seen.nodes <= {"a/0", "a/1", "b"}
    with scheduler(seen.fault) as live:
        big = live.submit(int, key="gpu", resources={"gpu": 2, "memory": 8e9})
        big.result()
        assert big.node == "b"


def test_slots_of_a_site_share_its_resources() -> None:
    with scheduler(Seen().fault) as live:
        first = live.submit(int, key="gpu-hangs", resources={"gpu": 2})
        second = live.submit(int, key="gpu2-hangs", resources={"gpu": 1})
        until(lambda: first.running() and second.running())
        assert (first.node, second.node and second.node[0]) == ("b", "a")
        third = live.submit(int, key="third", resources={"gpu": 1})
        assert live.submit(int, key="plain").result() == 0  # the other slot is free
        assert not third.running()
        assert live.statistics().waiting == 1
        second.cancel()
        assert third.result() == 0
        assert third.node in {"a/0", "a/1"}
        first.cancel()


def test_a_holder_with_room_comes_first_and_any_other_one_next() -> None:
    with scheduler(Seen().fault, locations={"x": ["b"], "y": ["c"]}) as live:
        at_b = live.submit(str, "x", resources={"gpu": 1})
        far = live.submit(str, "y", resources={"gpu": 1})  # its holder has none
        assert (at_b.result(), far.result()) == ("x", "y")
        assert {row.key: row.level for row in live.records} == {
            "str(x)": "local",
            "str(y)": "remote",
        }


@pytest.mark.parametrize(
    ("need", "words"),
    [
        ({"gpu": 3}, r"needs gpu 3, and there is no such node \(gpu 2 at b\)"),
        ({"gpu": 1, "tpu": 1}, r"\(gpu 2 at b, no tpu\); let it need less, or give nodes more"),
        ({"gpu": 2, "memory": 9e9}, "needs gpu 2, memory 9e"),
    ],
)
def test_what_no_node_could_ever_hold_is_refused_at_once(
    need: dict[str, float], words: str
) -> None:
    with scheduler() as live:
        with pytest.raises(NoRoomError, match=words):
            live.submit(int, resources=need).result()
        assert live.submit(int, resources={"gpu": 0}).result() == 0  # which is none


@pytest.mark.parametrize("wrong", [1, ["gpu"], {"gpu": -1}, {"gpu": math.inf}, {"": 1}, {1: 1}])
def test_resources_that_make_no_sense_are_refused(wrong: Any) -> None:
    with scheduler() as live, pytest.raises(UsageError, match=r"resources: .*; give "):
        live.submit(int, resources=wrong)
    with pytest.raises(UsageError, match=r"resources: .*; give "):
        Scheduler(nodes=1, resources=wrong)
    with pytest.raises(UsageError, match="resources: no node 'x'; the nodes are n0"):
        Scheduler(nodes=1, resources={"x": {"gpu": 1}})
    with pytest.raises(UsageError, match="slots"):
        Scheduler(nodes=1, slots=0)


def test_a_lost_node_takes_its_resources_with_it_until_it_is_back() -> None:
    engine = FakeEngine(
        [Node("a", None, (), None, GPU), Node("b")], down=5.0, fault=Seen().fault, speed=math.inf
    )
    with Scheduler(engine) as live:
        first = live.submit(int, resources={"gpu": 1}, key="first-hangs")
        behind = [live.submit(int, resources={"gpu": 1}) for _ in range(5)]
        until(first.running)
        engine.kill("a")
        first.cancel()
        assert [future.result() for future in behind] == [0] * 5
        assert {future.node for future in behind} == {"a"}


def test_map_and_reduce_and_jobs_take_resources() -> None:
    seen = Seen()
    with scheduler(seen.fault, locations=lambda _: ["c"]) as live:
        chunks = [str(number) for number in range(20)]
        assert list(live.map(str, chunks, resources={"gpu": 1})) == chunks
        assert live.reduce(str, max, chunks, resources={"gpu": 1}) == "9"
        assert list(live.job("j").map(str, chunks, resources={"gpu": 1})) == chunks
        places = {row.node for row in live.records if not row.key.startswith("max")}
        assert places <= {"a/0", "a/1", "b"}


def test_slots_are_processes_that_read_what_their_node_holds(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(name)

    def timed(data: bytes) -> tuple[bytes, float, float]:
        began = time.monotonic()
        time.sleep(0.02)
        return data, began, time.monotonic()

    nodes = {name: tmp_path / name for name in ("a", "b")}
    at: dict[str, list[tuple[float, float]]] = {"a": [], "b": []}
    with Scheduler(nodes=nodes, slots=2, resources={"token": 1}) as live:
        pids = {live.submit(os.getpid).result() for _ in range(40)}
        assert len(pids) >= 2
        files = ["a.txt", "b.txt"] * 10
        futures = [live.submit(timed, file, resources={"token": 1}) for file in files]
        for file, one in zip(files, futures, strict=True):
            data, began, ended = one.result()
            assert data == file[:1].encode()
            assert one.node
            at[one.node.partition("/")[0]].append((began, ended))
    for times in at.values():  # a node has one token, whoever's data it reads
        times.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(times))
    with Scheduler(nodes=2, slots=2, locations=lambda _: ["n1"], loader=str) as live:
        assert list(live.map(str, ["x"] * 8)) == ["x"] * 8
        future = live.submit(str, "y")
        assert (future.result(), future.node in {"n1/0", "n1/1"}) == ("y", True)


YAML = """
command: "cat {path}"
chunks: "*.txt"
resources: {token: 1}
node_resources: {token: 1}
slots: 2
"""
PYTHON = """
import os
chunks = [str(number) for number in range(20)]
resources, node_resources, slots = {"token": 2}, {"n0": {"token": 3}}, 2
def run(chunk): return os.getpid()
"""


@pytest.mark.parametrize(("name", "text"), [("job.yaml", YAML), ("job.py", PYTHON)])
def test_a_job_file_may_say_what_its_tasks_need(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / name).write_text(text)
    batch = load_batch(tmp_path / name)
    found: list[Finished | Failure] = []
    result = run_batch(batch, found.append, RunOptions(workers=1))
    assert result.status == "done"
    assert len(found) == batch.size
    assert {row.node for row in result.nodes()} <= {"n0/0", "n0/1"}


@pytest.mark.parametrize(
    ("engine", "given", "words"),
    [
        ("dask", {"slots": 2}, "slots: dask has its own"),
        ("ray", {"node_resources": {"gpu": 1}}, "node_resources: ray has its own"),
    ],
)
def test_a_cluster_has_resources_of_its_own(engine: str, given: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        where(Batch("job", str, ["a"], engine=engine, **given), None, None, None)
