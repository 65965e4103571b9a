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
    """Do work in a forked child, so that all that it compiles is on disk when it is done here.

    Events of compilation are reported here, too. Nothing is done where no child can be forked, or
    where nothing can be kept; nor does a failure of the work matter, which comes again here.
    """
    if not can_fork() or cache_directory.writable(Path(__file__)) is None:
        return
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
        while read := os.read(events, 1):
            (compile_events.started if read == _STARTED else compile_events.finished)()
    finally:  # at its end, or at a signal to this process
        os.close(events)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@final
class _Teller(compile_events.Listener):
    """Listener of a child that writes each event to a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def started(self) -> None:
        os.write(self._pipe, _STARTED)

    def finished(self) -> None:
        os.write(self._pipe, _FINISHED)
