"""Processes that start at once compile each kernel once: the others wait, and load the result."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isocline.compilation import kernel_locks
from isocline.compilation.kernel_cache import KernelFiles

# The compiler of `slow` reports that it is at work, and goes on when there is a line on stdin.
# numba calls the function of `overload` while it compiles a caller.
PROGRAM = """
import os, sys
from numba.extending import overload
from isocline.compilation import compile_events
from isocline.compilation.compiled import compiled

def say(text):
    print(text, flush=True)

class Reports(compile_events.Listener):
    def started(self): say("started")
    def finished(self): say("finished")

def checked(x): ...

@overload(checked)
def _checked(x):
    if "FAILS" in os.environ:
        raise ValueError("as it was told")
    say("compiling")
    sys.stdin.readline()
    return lambda x: 2 * x

@compiled
def slow(x):
    return checked(x)

compile_events.add(Reports())
try:
    say(slow(21))
except Exception:
    say("failed")
sys.stdin.readline()
"""


@contextmanager
def process(directory: Path, **env: str) -> Iterator["subprocess.Popen[str]"]:
    (directory / "slowly.py").write_text(PROGRAM)
    places = {"PYTHONPATH": str(directory), "NUMBA_CACHE_DIR": str(directory / "kept")}
    with subprocess.Popen(
        [sys.executable, "-c", "import slowly"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | places | env,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def says(process: "subprocess.Popen[str]", *lines: str) -> None:
    """Assert what it says next, line by line: a wrong one may be followed by none."""
    assert process.stdout is not None
    for line in lines:
        assert process.stdout.readline().strip() == line


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    print(file=process.stdin, flush=True)


def test_the_second_process_loads_what_the_first_compiles(tmp_path: Path) -> None:
    with process(tmp_path) as first:
        says(first, "started", "compiling")
        with process(tmp_path) as second:
            says(second, "started")
            go_on(first)
            says(first, "finished", "42")
            says(second, "finished", "42")  # and never "compiling"


def test_a_process_that_is_killed_leaves_its_kernel_to_the_next(tmp_path: Path) -> None:
    with process(tmp_path) as first:
        says(first, "started", "compiling")
        with process(tmp_path) as second:
            says(second, "started")
            first.kill()
            says(second, "compiling")
            go_on(second)
            says(second, "finished", "42")


def test_a_kernel_that_cannot_be_compiled_is_not_locked_any_longer(tmp_path: Path) -> None:
    with process(tmp_path, FAILS="1") as living:
        says(living, "started", "failed")
        assert (tmp_path / "kept").is_dir()
        assert not list(tmp_path.rglob("*.lock"))


def test_a_lock_that_is_held_too_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kernel.lock"
    monkeypatch.setattr(kernel_locks, "WAIT", 0.0)
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        kernel_locks.acquire(path)
        kernel_locks.release(path)
        assert path.exists()  # as it is another's


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EACCES, errno.EROFS])
def test_kernels_are_kept_where_the_directory_takes_no_locks(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    files = KernelFiles(str(tmp_path), "kernel", "source")
    files.save("a", "code of a")
    assert files.load("a") == "code of a"


class Key:
    """A signature that calls a function while the index with it is written."""

    def __init__(self, then: Callable[[], object]) -> None:
        self._then = [lambda: None, then]  # a file is named after it first

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        if self._then:
            self._then.pop(0)()
        return str, ("b",)


def test_processes_that_keep_a_kernel_at_once_lose_no_entry_of_its_index(tmp_path: Path) -> None:
    first, second = (KernelFiles(str(tmp_path), "kernel", "source") for _ in range(2))
    other = threading.Thread(target=lambda: first.save("a", "code of a"))

    def meanwhile() -> None:
        other.start()
        other.join(0.2)  # it could be done by then, if it did not wait

    second.save(Key(meanwhile), "code of b")
    other.join()
    found = KernelFiles(str(tmp_path), "kernel", "source")
    assert [found.load("a"), found.load("b")] == ["code of a", "code of b"]
