"""Compilation in a process of its own, whose memory ends with it.

LLVM keeps 110 MB after the kernels of a router are compiled. A router that then loads them from
disk, as it does at every later start, has none of that.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import final

from isocline.compilation import cache_directory, compile_events
from isocline.subprocesses.fork import can_fork, fork

_STARTED, _FINISHED = b"+", b"-"


def compile_apart(work: Callable[[], object]) -> None:
    """Do work, which can be done again, so that whatever it compiles is compiled in a forked child.

    It is done here until a kernel is missing, and then in the child; afterwards all are on disk.
    Events of the child are reported here. Where no child can be forked or nothing can be kept,
    nothing is done. A failure of the work does not matter: who does it again fails, too.
    """
    if can_fork() and cache_directory.writable(Path(__file__)) is not None and _lacks(work):
        _compile(work)


def _lacks(work: Callable[[], object]) -> bool:
    """Do work until it lacks a kernel; returns whether it does."""
    stop = _Stop()
    compile_events.add(stop)
    try:
        with suppress(Exception):
            work()
    except _LackingError:
        return True
    finally:
        compile_events.remove(stop)
    return False


def _compile(work: Callable[[], object]) -> None:
    """Do work in a child, and wait until it has ended."""
    events, teller = os.pipe()

    def main() -> None:
        os.close(events)
        compile_events.add(_Teller(teller))
        with suppress(Exception):
            work()

    try:
        child = fork(main)
    except OSError:
        os.close(events)
        os.close(teller)
        return
    os.close(teller)
    try:
        os.read(events, 1)  # the start of the kernel that is missing, which was reported
        while event := os.read(events, 1):
            (compile_events.started if event == _STARTED else compile_events.finished)()
    finally:  # at its end, or at a signal to this process
        os.close(events)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


class _LackingError(BaseException):
    """A kernel is missing; no Exception, which callers of users' code would take for its own."""


@final
class _Stop(compile_events.Listener):
    """Listener that ends the work at its first compilation."""

    def started(self) -> None:
        raise _LackingError

    def finished(self) -> None:
        pass


@final
class _Teller(compile_events.Listener):
    """Listener of a child that writes each event to a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def started(self) -> None:
        os.write(self._pipe, _STARTED)

    def finished(self) -> None:
        os.write(self._pipe, _FINISHED)
