"""Chunks of a task: found in the tasks that Dask itself makes."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

import pandas as pd
from dask._task_spec import DataNode, List, Task, TaskRef
from dask.dataframe import from_map, read_parquet

from isocline.errors import UsageError
from isocline.integrations.dask.chunks import ChunkLocations


def read(*_: Any, **__: Any) -> None:
    """A task's function."""


def found(locations: Any, *args: Any, **more: Any) -> tuple[str, ...] | None:
    return ChunkLocations(locations).find({"key": Task("key", read, *args, **more)}).get("key")


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (["/a"], {}),
        (["file:///a"], {}),
        ([Path("/a")], {}),
        ([1, "x", "/a"], {}),
        ([], {"path": "/a"}),
        ([[("x", "/a")]], {}),
        ([{"piece": ("/a", None, None)}], {}),
        ([DataNode(None, ["/a"])], {}),
        ([List("x", "/a")], {}),
        ([Task(None, read, "/a")], {}),
    ],
)
def test_a_path_is_found_wherever_it_is(args: list[Any], more: dict[str, Any]) -> None:
    assert found({"/a": ["w"], "/b": ["v"]}, *args, **more) == ("w",)


@pytest.mark.parametrize("key", ["/a", "file:///a", Path("/a")])
def test_keys_are_paths_however_written(key: Any) -> None:
    assert found({key: "w"}, "/a") == ("w",)


@pytest.mark.parametrize("at", [3, [3], ("3",)])
def test_workers_may_be_named_by_numbers(at: Any) -> None:
    assert found({"/a": at}, "/a") == ("3",)


def test_a_path_bound_to_the_function_is_found() -> None:
    spec = Task("key", partial(read, "/a"))
    assert ChunkLocations({"/a": ["w"]}).find({"key": spec}) == {"key": ("w",)}


def test_any_argument_may_be_a_chunk() -> None:
    assert found({7: ["w"]}, 7) == ("w",)
    assert found({("a", 1): ["w"]}, ("a", 1)) == ("w",)


def test_an_option_is_no_chunk() -> None:
    assert found({1: ["w"], 0: ["v"]}, {"skip": 1, "flag": False}, verbose=True) is None


def test_a_result_of_another_task_is_no_chunk() -> None:
    assert found({"/a": ["w"]}, TaskRef("/a")) is None


def test_most_chunks_decide() -> None:
    locations = {"a": ["v", "w"], "b": ["w", "x"], "c": ["w", "v"]}
    assert found(locations, "a", "b", "c") == ("w",)
    assert set(found(locations, "a", "c") or ()) == {"v", "w"}


def test_a_large_argument_is_left_alone() -> None:
    assert found({"/a": ["w"]}, list(range(10**6)), "/a") is None


def test_a_function_is_called_once_for_all_tasks() -> None:
    calls: list[list[str]] = []

    def look_up(chunks: list[str]) -> Mapping[str, Sequence[str]]:
        calls.append(chunks)
        return {chunk: [f"host-{chunk}"] for chunk in chunks if chunk != "?"}

    tasks = {
        key: Task(key, read, chunk, 5) for key, chunk in {"1": "a", "2": "?", "3": "b"}.items()
    }
    assert ChunkLocations(look_up).find(tasks) == {"1": ("host-a",), "3": ("host-b",)}
    assert calls == [["a", "?", "b"]]


@pytest.mark.parametrize("answer", [None, ["w"], {"a": 5.0}, {"a": [None]}])
def test_a_wrong_answer_is_named(answer: Any) -> None:
    with pytest.raises(UsageError, match="locations: expected"):
        found(lambda _: answer, "a")


@pytest.mark.parametrize("locations", [5, "/a", ["/a"], {"/a": 5.0}])
def test_wrong_locations_are_named(locations: Any) -> None:
    with pytest.raises(UsageError, match="locations: "):
        ChunkLocations(locations)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("parquet")
    for i in range(3):
        pd.DataFrame({"x": range(4), "g": [0, 1, 0, 1]}).to_parquet(folder / f"{i}.parquet")
    return [str(folder / f"{i}.parquet") for i in range(3)]


@pytest.mark.parametrize("filesystem", ["fsspec", "arrow"])
@pytest.mark.parametrize("fused", [False, True])
def test_files_of_a_dataframe_are_found(files: list[str], filesystem: str, fused: bool) -> None:
    frame = read_parquet(str(Path(files[0]).parent), filesystem=filesystem)
    if fused:
        frame = frame[frame.x > 1].groupby("g").x.sum()
    assert read_from(frame, files) == {f"host{i}" for i in range(3)}


def test_files_of_a_mapped_function_are_found(files: list[str]) -> None:
    assert read_from(from_map(pd.read_parquet, files), files) == {f"host{i}" for i in range(3)}


def read_from(frame: Any, files: list[str]) -> set[str]:
    """Places from which a frame's tasks read."""
    locations = {path: [f"host{i}"] for i, path in enumerate(files)}
    tasks = dict(frame.optimize().__dask_graph__())
    return {name for at in ChunkLocations(locations).find(tasks).values() for name in at}
