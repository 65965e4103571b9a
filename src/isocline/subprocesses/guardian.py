"""Guardian: a process that ends the children of its parent which outlive that.

A child ends by itself when the connection to its parent is closed (`spawn`): it then kills what its
tasks have started, and removes its files. One that is stopped (SIGSTOP), or that runs compiled code
which lets no other thread run, does not notice. The guardian does, as it runs no code but ours: it
waits a while for the children, and kills those that are left, with all that they have started.

Linux's parent-death signal (PR_SET_PDEATHSIG) was rejected. It comes when the thread ends that has
started the child, which need not be the last one; it comes to all children at once, so that none
could clean up; and what they have started in sessions of their own would go on.

A process that is watched is held by a descriptor (pidfd) on Linux, so that no other that gets its
number is killed in its place. Elsewhere its number must still be that of its own group.
"""

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, final

from isocline.subprocesses.descendants import kill_below
from isocline.subprocesses.framing import Channel
from isocline.subprocesses.spawn import connection, start

_GRACE = 2.0  # s for which children may end by themselves; they need some 10 ms, and 1 s at most
_LOOK = 0.02  # s between looks
_LAST = 5.0  # s for which a guardian may take to end that has nothing to do
_MODULE = "isocline.subprocesses.guardian"


class Watch(NamedTuple):
    """To the guardian: a child that leads a group of its own, and its files."""

    process: int
    paths: tuple[str, ...]


class Forget(NamedTuple):
    """To the guardian: a child that has ended."""

    process: int


@final
class Guardian:
    """The parent's side.

    If no guardian can be started, or it was killed, only children that do not notice their parent's
    end outlive that.
    """

    def __init__(self) -> None:
        """Start the process, if possible."""
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._process, end = start(_MODULE, stderr=subprocess.DEVNULL)
            self._channel = Channel(end)

    def watch(self, process: int, paths: Sequence[str] = ()) -> None:
        """Watch a child that leads a group of its own; `paths` are removed if it is killed.

        So are their folders, if they are empty then.
        """
        self._tell(Watch(process, tuple(paths)))

    def forget(self, process: int) -> None:
        """Watch a child no longer that has ended."""
        self._tell(Forget(process))

    def close(self) -> None:
        """End the guardian, once all children have ended."""
        self.disown()
        if self._process:
            try:
                self._process.wait(_LAST)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def disown(self) -> None:
        """Let go of it, also in a forked child: it is to notice the end of its parent alone."""
        if self._channel:
            self._channel.close()
            self._channel = None

    def _tell(self, message: Watch | Forget) -> None:
        if self._channel:
            with suppress(OSError):
                self._channel.send(message)


@final
class _Watched:
    """A process that is watched, in the guardian."""

    def __init__(self, message: Watch) -> None:
        self._process = message.process
        self._paths = [Path(path) for path in message.paths]
        self._descriptor: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):  # it has ended
                self._descriptor = os.pidfd_open(message.process)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        if self._descriptor is not None:
            return not select.select([self._descriptor], [], [], 0.0)[0]
        if hasattr(os, "pidfd_open"):
            return False
        try:
            return os.getpgid(self._process) == self._process
        except OSError:
            return False

    def forget(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def kill(self) -> None:
        """Kill it with all that it has started, and remove its files."""
        with suppress(OSError):
            os.kill(self._process, signal.SIGSTOP)  # from now on it starts nothing
            kill_below(self._process)
            os.killpg(self._process, signal.SIGKILL)
        for path in self._paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for folder in {path.parent for path in self._paths}:
            with suppress(OSError):  # others are still there
                folder.rmdir()


def main() -> None:
    """Run the guardian for the parent at the other end of the connection."""
    watched: dict[int, _Watched] = {}
    for message in Channel(connection()):
        match message:
            case Watch():
                watched[message.process] = _Watched(message)
            case Forget() if message.process in watched:
                watched.pop(message.process).forget()
    end = time.monotonic() + _GRACE
    while (left := [each for each in watched.values() if each.alive]) and time.monotonic() < end:
        time.sleep(_LOOK)
    for each in left:
        each.kill()
