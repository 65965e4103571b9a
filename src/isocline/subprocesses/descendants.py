"""Descendants of a process, killed wherever they have gone.

A process that begins a session of its own (`setsid`) is in no group that could be killed, and one
whose parent has ended (a daemon) is the child of init. Linux lets a process be a "child subreaper"
instead, see prctl(2): what its descendants leave behind becomes its child, so that whatever was
started below it stays below it, and can be found in /proc. Elsewhere nothing is found.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 36, 37  # of <linux/prctl.h>
_PROC = Path("/proc")
_LONGEST = 1.0  # s in all: what cannot be killed, as another user's or on a dead disk, is left
_LOOK = 0.001  # s between looks


@contextmanager
def killed_at_exit() -> Iterator[None]:
    """Kill and reap, at the end of the block, all processes started in it, and their descendants.

    Does nothing outside of Linux, nor in any thread but the main one: of two blocks at once neither
    could tell which of the processes are its own.
    """
    if not _adopts():
        yield
        return
    outer = adopting()
    _adopt(True)
    before = _children()
    try:
        yield
    finally:
        try:
            _kill_new(before)
        except BaseException:  # the interruption of a task, which may come here, but only once
            _kill_new(before)
            raise
        finally:
            _adopt(outer)


def adopting() -> bool:
    """Whether this process is in such a block."""
    if sys.platform != "linux":
        return False
    is_subreaper = ctypes.c_int(0)
    _prctl(_GET_CHILD_SUBREAPER, ctypes.addressof(is_subreaper))
    return is_subreaper.value != 0


def kill_group(group: int) -> None:
    """Kill and reap a process group of which this process has children; without any, do nothing."""
    with suppress(ChildProcessError):
        while True:
            if os.waitpid(-group, os.WNOHANG)[0] == 0:  # and so the number is not another's by now
                os.killpg(group, signal.SIGKILL)
                os.waitpid(-group, 0)


def kill_below(process: int) -> None:
    """Kill all descendants of a process, which itself is spared."""
    _kill(lambda: _below({process}))


def _kill_new(before: set[int]) -> None:
    def left() -> Collection[int]:
        own = {child for child in _children() - before if not _reaped(child)}
        # One that ends here, between two looks, is not alive and not reaped: it is left, too.
        return own | _below(own)

    _kill(left)


def _kill(left: Callable[[], Collection[int]]) -> None:
    """Kill until none is left: each pass finds what was started during the last one."""
    end = time.monotonic() + _LONGEST
    while (found := left()) and time.monotonic() < end:
        for process in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_LOOK)


def _reaped(child: int) -> bool:
    """Whether a child has ended and was reaped."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:  # its parent is another by now, or it was reaped elsewhere
        return True


def _children() -> set[int]:
    """Return the children of this process, ended ones included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there is none: the usual case, a thousandth of the time
        return set()
    own = os.getpid()
    return {process for process, (parent, _) in _table().items() if parent == own}


def _below(roots: Collection[int]) -> set[int]:
    """Return the live descendants of processes."""
    if not roots:
        return set()
    table = _table()
    children = defaultdict(list)
    for process, (parent, _) in table.items():
        children[parent].append(process)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        new = set(children[waiting.pop()]) - found
        found |= new
        waiting += new
    return {process for process in found if process in table and table[process][1] not in b"ZX"}


def _table() -> dict[int, tuple[int, bytes]]:
    """Return parent and state of each visible process."""
    found = {}
    for name in os.listdir(_PROC) if _PROC.is_dir() else ():  # noqa: PTH208 - a third of the time
        if name.isdigit():
            with suppress(OSError):  # it has ended in the meantime
                # The second field is the program's name, in parentheses, and may contain some.
                stat = (_PROC / name / "stat").read_bytes().rpartition(b")")[2].split()
                found[int(name)] = int(stat[1]), stat[0]
    return found


def _adopts() -> bool:
    return (
        sys.platform == "linux"
        and threading.current_thread() is threading.main_thread()
        and (_PROC / "self/stat").exists()
    )


def _adopt(wanted: bool) -> None:
    _prctl(_SET_CHILD_SUBREAPER, int(wanted))


def _prctl(option: int, argument: int) -> None:
    unused = ctypes.c_ulong(0)
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(argument), unused, unused, unused)
