"""Chunks given as paths and tuples: their names, and what loaders, locations and tasks get."""

import math
import pickle
import sys
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pytest

from isocline.dispatch import Scheduler
from isocline.dispatch.batch.load import load_batch
from isocline.dispatch.batch.result import Failure, Finished
from isocline.dispatch.batch.runner import run_batch
from isocline.dispatch.batch.spec import RunOptions
from isocline.dispatch.chunk_names import chunk_name, given_chunk
from isocline.dispatch.engines.fake import FakeEngine
from isocline.errors import UsageError

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Part(NamedTuple):
    table: str
    number: int


@pytest.mark.parametrize(
    ("given", "name", "back"),
    [
        ("a/b", "a/b", "a/b"),
        (Path("a/./b"), "a/b", Path("a/b")),
        (PurePosixPath("/a"), "/a", Path("/a")),
        (("t", 3), "('t', 3)", ("t", 3)),
        (Part("t", 3), "('t', 3)", ("t", 3)),
        (("t", np.int64(3), np.float64(0.5)), "('t', 3, 0.5)", ("t", 3, 0.5)),
        ((Path("a.parquet"), (1, None, True)), "('a.parquet', (1, None, True))", None),
    ],
)
def test_a_name_is_text_that_remembers_what_was_given(given: Any, name: str, back: Any) -> None:
    found = chunk_name(given)
    assert found == name
    assert hash(found) == hash(name)
    for one in (found, chunk_name(found), pickle.loads(pickle.dumps(found))):
        value = given_chunk(one)
        assert value == (given if back is None else back)
        assert type(value) is type(given if back is None else back)


@pytest.mark.parametrize("wrong", [7, None, b"a", (), ["a"], ("a", b"b"), ("a", {})])
def test_anything_else_is_refused_with_the_remedy(wrong: object) -> None:
    with pytest.raises(UsageError, match="give a chunk's name, a path, or a tuple"):
        chunk_name(wrong)


CHUNKS: list[Any] = ["t", Path("a/b"), ("t", 3), (Path("a"), 0)]


@pytest.mark.parametrize("by_function", [False, True])
def test_locations_and_tasks_get_a_chunk_as_given(by_function: bool) -> None:
    asked: list[Any] = []
    where = dict(zip(CHUNKS, (["n0"], ["n1"], ["n2"], ["n3"]), strict=True))

    def locate(chunk: Any) -> Any:
        asked.append(chunk)
        return where[chunk]

    engine = FakeEngine(4, loader=lambda chunk: chunk, speed=math.inf)
    with Scheduler(engine, locations=locate if by_function else where) as live:
        assert list(live.map(lambda chunk: chunk, CHUNKS)) == CHUNKS
        assert {row.node for row in live.records} == {"n0", "n1", "n2", "n3"}
        assert {row.level for row in live.records} == {"local"}
    assert asked == (CHUNKS if by_function else [])


def test_locations_by_text_hold_for_paths() -> None:
    with Scheduler(FakeEngine(2, speed=math.inf), locations={"a/b": ["n1"]}) as live:
        future = live.submit(str, Path("a/b"))
        assert future.result() == "a/b"
        assert (future.node, future.key) == ("n1", "str(a/b)")


def resumed(journal: Path, chunks: list[Any], **more: Any) -> tuple[list[Any], int]:
    engine = FakeEngine(2, loader=lambda chunk: chunk, speed=math.inf)
    with Scheduler(engine, locations=lambda _: ["n0"], journal=journal, resume=True, **more) as it:
        return list(it.map(type, chunks)), it.statistics().resumed


def test_a_journal_knows_a_chunk_again_and_tells_its_kind(tmp_path: Path) -> None:
    journal = tmp_path / "j"
    kinds = [str, type(Path()), tuple, tuple]
    assert resumed(journal, CHUNKS) == (kinds, 0)
    assert resumed(journal, CHUNKS) == (kinds, 4)
    with pytest.raises(ValueError, match="had different arguments, or another chunk"):
        resumed(journal, ["t", "a/b"])  # as text, it is another argument of the function


def test_a_path_in_a_tuple_has_the_version_of_its_file(tmp_path: Path) -> None:
    file, journal = tmp_path / "a.parquet", tmp_path / "j"
    file.write_text("one")
    chunks = [(file, group) for group in range(3)]
    assert resumed(journal, chunks)[1] == 0
    assert resumed(journal, chunks)[1] == 3
    file.write_text("another")
    assert resumed(journal, chunks)[1] == 0


def test_worker_processes_load_and_send_chunks_as_given() -> None:
    def load(chunk: Any) -> tuple[str, Any]:
        return type(chunk).__name__, chunk

    chunks: list[Any] = [Path("a/b"), ("t", 3), "caf\u00e9\udcff"]
    with Scheduler(nodes=2, locations=lambda _: ["n0"], loader=load) as live:
        # Both nodes have a task at a time: n1 asks n0 for the chunk.
        expected = [(type(chunk).__name__, chunk) for chunk in chunks for _ in range(8)]
        assert (
            list(live.map(lambda value: value, [c for c in chunks for _ in range(8)])) == expected
        )


def test_a_job_file_may_list_paths_and_tuples(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "from pathlib import Path\n"
        "chunks = [Path('a'), ('t', 3)]\n"
        "def load(chunk): return type(chunk).__name__\n"
        "def run(value): return value\n"
        "locations = lambda chunk: ['n0']\n"
    )
    found: list[Finished | Failure] = []
    run_batch(load_batch(tmp_path / "job.py"), found.append, RunOptions(workers=1))
    assert {(row.key, row.chunk, getattr(row, "result", None)) for row in found} == {
        ("a", "a", type(Path()).__name__),
        ("('t', 3)", "('t', 3)", "tuple"),
    }
