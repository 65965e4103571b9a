"""Locks by which processes that start at once compile each kernel once.

The first one compiles; the others wait, and load what it has kept. A lock is a file beside the
compiled code, locked by `flock`: the system frees it when its holder ends, however it ends. Where a
directory takes no locks, or the wait gets too long, a process compiles without one: locks save
time, and nothing depends on them.
"""

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import final

from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

WAIT = 120.0  # s, at most, for another process: the largest kernels take 20, on a busy machine more

_LOOK = 0.02  # s between two attempts at a lock that is taken


def acquire(path: Path) -> None:
    """Lock a file for this thread, which may hold several.

    A kernel is locked while those that it calls are compiled. No two processes wait for each other,
    as calls of kernels form no circle. What a thread still holds when it leaves numba's compiler,
    as after an error, is freed then.
    """
    if path in _held.files:
        return
    with suppress(OSError):  # no directory, or a file system without locks
        file = _locked(path)
        if file is not None:
            _held.files[path] = file


def release(path: Path) -> None:
    """Free a lock and remove its file, if this thread holds it."""
    file = _held.files.pop(path, None)
    if file is None:
        return
    with suppress(OSError):
        path.unlink()  # first: whoever locks it afterwards sees that it is gone
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)  # not only closed: a forked child has it open as well
    os.close(file)


def _locked(path: Path) -> int | None:
    """The open file, locked; None if another process holds it for longer than `WAIT`."""
    until = time.monotonic() + WAIT
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _try(file) and _is_there(path, file):
                kept, file = file, -1
                return kept
        finally:
            if file >= 0:
                os.close(file)
        if time.monotonic() > until:
            return None
        time.sleep(_LOOK)


def _try(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_there(path: Path, file: int) -> bool:
    """Whether the file is still the one of this name, and not one whose holder has removed it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(file))


@final
class _Held(threading.local):
    def __init__(self) -> None:
        self.files: dict[Path, int] = {}


@final
class _AtTheEnd(event.Listener):  # type: ignore[misc]
    """Frees what a thread holds when it leaves numba's compiler."""

    def on_start(self, _event: object) -> None:
        """See `on_end`."""

    def on_end(self, _event: object) -> None:
        if not global_compiler_lock.is_locked():
            for path in list(_held.files):
                release(path)


_held = _Held()
event.register("numba:compiler_lock", _AtTheEnd())
