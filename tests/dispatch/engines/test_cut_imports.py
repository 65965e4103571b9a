"""Attempts that are stopped while they import: the import ends first, or all later ones fail."""

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from isocline.dispatch import Scheduler
from isocline.dispatch.engines.base import Done, Ending
from isocline.dispatch.engines.common.task_thread import TaskThreads
from tests.live.processes import until

PACKAGE = """
import time
import slow_of_mine.part
from pathlib import Path
Path(__file__).with_name("began").touch()
for _ in range(100):
    time.sleep(0.01)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a package whose import takes a second."""
    package = tmp_path / "slow_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE)
    (package / "part.py").write_text("WHOLE = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("slow_of_mine", "slow_of_mine.part"):
        sys.modules.pop(name, None)


def whole(folder: str) -> bool:
    sys.path.insert(0, folder)
    try:
        package = importlib.import_module("slow_of_mine")
    finally:
        sys.path.remove(folder)
    return bool(package.part.WHOLE)


def test_a_worker_process_can_import_what_a_cancelled_task_imported(folder: Path) -> None:
    def call(folder: str) -> bool:  # a function of its own goes by value
        import importlib
        import sys

        sys.path.insert(0, folder)
        return bool(importlib.import_module("slow_of_mine").part.WHOLE)

    with Scheduler(nodes=1, copies=False) as scheduler:
        first = scheduler.submit(call, None, str(folder))
        until((folder / "slow_of_mine" / "began").exists, lambda: "nothing is imported")
        assert first.cancel()
        assert scheduler.submit(call, None, str(folder)).result(60.0)


def test_so_can_a_thread_of_ray_or_dask(folder: Path) -> None:
    threads = TaskThreads()

    def run() -> Ending:
        assert whole(str(folder))
        return Done(2, "n0", b"", 0.0)

    other = threading.Thread(target=threads.perform, args=(1, "n0", None, run))
    other.start()
    until((folder / "slow_of_mine" / "began").exists, lambda: "nothing is imported")
    assert threads.cancel(1)
    other.join()
    assert isinstance(threads.perform(2, "n0", None, run), Done)
    threads.close()
