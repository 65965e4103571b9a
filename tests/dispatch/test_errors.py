"""Errors of tasks: one class catches them all, and each has its task's key, however it came."""

import inspect
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from isocline import IsoclineError, dispatch
from isocline.dispatch import (
    ChunkError,
    EngineClosedError,
    RemoteError,
    ResultError,
    Scheduler,
    TaskError,
    errors,
)


class UnpicklableError(Exception):
    def __init__(self, lock: Any) -> None:
        super().__init__("no more cheese")
        self.lock = lock


def lock() -> Any:
    return threading.Lock()


def raises() -> None:
    raise UnpicklableError(threading.Lock())


def exits() -> None:
    raise SystemExit(3)


def no_such(chunk: str) -> None:
    raise LookupError(chunk)


def test_each_end_without_a_result_is_a_task_error_with_the_key_and_pickles() -> None:
    def locations(chunk: str) -> list[str]:
        return ["n0"] if chunk == "there" else ["n1"]

    with Scheduler(nodes=2, loader=no_such, locations=locations) as scheduler:
        futures = [
            scheduler.submit(lock, key="lock"),
            scheduler.submit(raises, key="raises"),
            scheduler.submit(exits, key="exits"),
            scheduler.submit(os.getpid, key="closed"),
        ]
        found = [future.exception() for future in futures[:3]]
    with pytest.raises(EngineClosedError) as closed:
        scheduler.submit(os.getpid, key="closed")
    for error, key in zip(
        [*found, closed.value], ["lock", "raises", "exits", "closed"], strict=True
    ):
        assert isinstance(error, TaskError)
        assert error.key == key
        assert str(error).startswith(f"task {key!r}: ")
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.key, str(again)) == (type(error), key, str(error))
    assert isinstance(found[0], ResultError)
    assert isinstance(found[1], RemoteError)
    assert "UnpicklableError: no more cheese" in str(found[1])


def test_a_chunk_that_no_holder_delivers_is_a_task_error(tmp_path: Path) -> None:
    homes = {name: tmp_path / name for name in ("a", "b")}
    for home in homes.values():
        home.mkdir()
    with Scheduler(nodes=homes, locations=lambda _: ["a", "b"]) as scheduler:
        error = scheduler.submit(len, "../secret", key="mine").exception()
    assert isinstance(error, ChunkError)
    assert error.key == "mine"
    assert str(error).startswith("task 'mine': chunk '../secret' ")


def test_all_errors_of_the_scheduler_are_public_and_of_one_tree() -> None:
    classes = {
        name: cls
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and cls.__module__ == errors.__name__
    }
    # Those of `isocline run` alone, and a cause that nobody catches.
    classes.pop("OutputError")
    classes.pop("RemoteTracebackError")
    for name, cls in classes.items():
        assert issubclass(cls, IsoclineError)
        assert getattr(dispatch, name) is cls
        assert name in dispatch.__all__
    page = (Path(__file__).parents[2] / "docs" / "dispatch-faults.md").read_text(encoding="utf-8")
    assert [name for name in classes if f"`{name}`" not in page] == []
