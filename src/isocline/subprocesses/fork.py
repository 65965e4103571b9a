"""Forked children: copies of this process that share its memory until one of the two writes to it.

For work that begins with what this process has loaded: a new Python takes a second and 80 MB
for it.
"""

import asyncio
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, final


def can_fork() -> bool:
    """Whether a child can be forked here: on Linux, by the only thread, outside of an event loop.

    A child has no other threads, and what one of them held stays locked in it. Libraries of macOS
    abort in a forked child.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def fork(main: Callable[[], None]) -> int:
    """Fork a child that calls `main` and ends, with status 1 if it raises; returns its id.

    Raises:
        OSError: No process can be started.
    """
    _flush()
    with warnings.catch_warnings():
        # Python counts threads of BLAS, too, which ends them before a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _run(main)
    return child


def _run(main: Callable[[], None]) -> NoReturn:
    """Call `main` in the child, which must not return to what its parent was doing."""
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        faulthandler.enable()
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(status)


def _flush() -> None:
    """Write out what is buffered, which would be written by parent and child."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # there is none, or it is closed
            stream.flush()


@final
class ForkedProcess:
    """Forked child as an event loop sees it, with the calls of an `asyncio.subprocess.Process`.

    Attributes:
        pid: Its id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: asyncio.Future[int] | None = None

    async def wait(self) -> int:
        """Wait until it has ended; returns its exit status, below 0 for a signal."""
        if self._status is None:
            loop = asyncio.get_running_loop()
            self._status = loop.create_future()
            reaper = threading.Thread(target=self._reap, args=(loop, self._status), daemon=True)
            reaper.start()
        return await asyncio.shield(self._status)

    def kill(self) -> None:
        """Kill it; raises ProcessLookupError if it has ended and was reaped."""
        os.kill(self.pid, signal.SIGKILL)

    def _reap(self, loop: asyncio.AbstractEventLoop, status: "asyncio.Future[int]") -> None:
        _, ending = os.waitpid(self.pid, 0)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(status.set_result, os.waitstatus_to_exitcode(ending))


def fork_connected(
    count: int, main: Callable[[socket.socket], None], let_go: Callable[[], None]
) -> list[tuple[ForkedProcess, socket.socket]]:
    """Fork children that are connected to this process, as those of `spawn` are.

    Args:
        count: Number of children.
        main: Called in each, with its end of the connection.
        let_go: Called in each before; closes what is the parent's alone.

    Returns:
        The processes, and this process's ends of their connections; fewer if there can be no more.
    """
    # A collection writes to every object that it visits, and so to every page.
    gc.collect()
    gc.freeze()
    made: list[tuple[ForkedProcess, socket.socket]] = []
    for _ in range(count):
        ours, theirs = socket.socketpair()

        def child(ours: socket.socket = ours, theirs: socket.socket = theirs) -> None:
            for end in (ours, *(end for _, end in made)):
                end.close()
            let_go()
            main(theirs)

        with theirs:
            try:
                made.append((ForkedProcess(fork(child)), ours))
            except OSError:
                ours.close()
                break
    return made
