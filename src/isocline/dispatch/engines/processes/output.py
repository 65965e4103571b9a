"""Standard output and error of workers, each line with its node's name.

A task may close or replace these streams, or close their file descriptors. They are restored before
the next task, which must find them as they were.
"""

import io
import os
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import IO, final

from isocline.subprocesses.descriptors import OwnDescriptor

_LONGEST = 1 << 16  # bytes of a line
_LAST = 20  # lines


@final
class Output:
    """Reader thread of one worker's standard output and error, until they are closed."""

    def __init__(self, name: str, pipe: IO[bytes]) -> None:
        self.last: deque[str] = deque(maxlen=_LAST)
        self._name = name
        self._pipe = pipe
        self._thread = threading.Thread(target=self._copy, name=f"output of {name}", daemon=True)
        self._thread.start()

    def show(self, text: str) -> None:
        """Show a line about the worker, as if it had said it."""
        _show(f"{self._name}: {text}\n")

    def join(self) -> None:
        """Wait for the last line of a worker that has ended."""
        self._thread.join(1.0)  # s: a task's child that escaped may hold the pipe open

    def _copy(self) -> None:
        with self._pipe:
            for line in iter(lambda: self._pipe.readline(_LONGEST), b""):
                text = line.decode(errors="replace").rstrip("\n")
                self.last.append(text)
                self.show(text)


def _show(text: str) -> None:
    """Write to the standard error, if it takes the text.

    It may be closed, of another encoding, or an object of the user's. In any case the pipe must be
    read on, or every task that prints would fail.
    """
    with suppress(BaseException):
        try:
            sys.stderr.write(text)
        except UnicodeEncodeError as error:
            sys.stderr.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))


@final
class Streams:
    """Standard output and error of a worker, in one pipe from which the engine reads UTF-8."""

    def __init__(self) -> None:
        """Initialise before the first task."""
        self._pipe = OwnDescriptor(os.dup(1))
        self._out, self._err = _stream(1), _stream(2)
        sys.stdout, sys.stderr = self._out, self._err

    def restore(self) -> None:
        """Flush the output, and undo a task's changes to the streams.

        Raises:
            DescriptorError: It has closed this object's own descriptor, too.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # closed, or an object of the task's
                stream.flush()
        self._out = self._whole(self._out, 1)
        self._err = self._whole(self._err, 2)
        sys.stdout, sys.stderr = self._out, self._err

    def _whole(self, stream: io.TextIOWrapper, descriptor: int) -> io.TextIOWrapper:
        pipe = self._pipe.require()
        try:
            stream.flush()
            if os.path.sameopenfile(descriptor, pipe):
                return stream
        except (ValueError, OSError):
            """Closed, one or the other."""
        os.dup2(pipe, descriptor)
        return _stream(descriptor)


def _stream(descriptor: int) -> io.TextIOWrapper:
    file = open(  # noqa: SIM115 - for as long as the process lives
        descriptor, "wb", buffering=8192, closefd=False
    )
    return io.TextIOWrapper(
        file, encoding="utf-8", errors="backslashreplace", line_buffering=descriptor == 2
    )
