"""Standard output and error of a worker, made whole again after each task.

A task may close them, replace them or close their file descriptors. The next one, which has nothing
to do with it, is to find them as they were.
"""

import io
import os
import sys
from contextlib import suppress
from typing import final


@final
class Streams:
    """Both lead to one pipe, from which the engine reads UTF-8."""

    def __init__(self) -> None:
        """Made before the first task."""
        self._pipe = os.dup(1)
        self._out, self._err = _stream(1), _stream(2)
        sys.stdout, sys.stderr = self._out, self._err

    def restore(self) -> None:
        """Send what was printed, and undo what a task has done to them."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # closed, or an object of the task's
                stream.flush()
        self._out = self._whole(self._out, 1)
        self._err = self._whole(self._err, 2)
        sys.stdout, sys.stderr = self._out, self._err

    def _whole(self, stream: io.TextIOWrapper, descriptor: int) -> io.TextIOWrapper:
        try:
            stream.flush()
            if os.path.sameopenfile(descriptor, self._pipe):
                return stream
        except (ValueError, OSError):
            """Closed, one or the other."""
        os.dup2(self._pipe, descriptor)
        return _stream(descriptor)


def _stream(descriptor: int) -> io.TextIOWrapper:
    file = open(  # noqa: SIM115 - for as long as the process lives
        descriptor, "wb", buffering=8192, closefd=False
    )
    return io.TextIOWrapper(
        file, encoding="utf-8", errors="backslashreplace", line_buffering=descriptor == 2
    )
