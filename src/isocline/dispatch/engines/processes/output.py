"""Standard output and error of workers, with the node's name on each line.

A task may close or replace these streams, or close their file descriptors, so they are restored
before the next task.
"""

import io
import os
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import IO, final

from isocline.structured_log import log_event, logs_json
from isocline.subprocesses.descriptors import OwnDescriptor

_LONGEST = 1 << 16  # most bytes of a line
_LAST = 20  # last lines kept


@final
class Output:
    """Thread that reads one worker's standard output and error until they are closed."""

    def __init__(self, name: str, pipe: IO[bytes]) -> None:
        self.last: deque[str] = deque(maxlen=_LAST)
        self._name = name
        self._pipe = pipe
        self._thread = threading.Thread(target=self._copy, name=f"output of {name}", daemon=True)
        self._thread.start()

    def show(self, text: str) -> None:
        """Print a line about the worker, like a line of its own."""
        if logs_json():
            with suppress(BaseException):  # as of `_show`
                log_event(text, "task.output", node=self._name)
            return
        _show(f"{self._name}: {text}\n")

    def join(self) -> None:
        """Wait for the last line of a worker that has ended."""
        self._thread.join(1.0)  # s: an escaped child of a task may keep the pipe open

    def _copy(self) -> None:
        with self._pipe:
            for line in iter(lambda: self._pipe.readline(_LONGEST), b""):
                text = line.decode(errors="replace").rstrip("\n")
                self.last.append(text)
                self.show(text)


def _show(text: str) -> None:
    """Write to the standard error if possible.

    It may be closed, have another encoding, or be an object of the user's. The pipe must be read
    anyway, as otherwise every task that prints would fail.
    """
    with suppress(BaseException):
        try:
            sys.stderr.write(text)
        except UnicodeEncodeError as error:
            sys.stderr.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))


@final
class Streams:
    """Standard output and error of a worker: one pipe, from which the engine reads UTF-8."""

    def __init__(self) -> None:
        """Initialise before the first task."""
        self._pipe = OwnDescriptor(os.dup(1))
        self._out, self._err = _stream(1), _stream(2)
        sys.stdout, sys.stderr = self._out, self._err

    def restore(self) -> None:
        """Flush the output, and undo a task's changes to the streams.

        Raises:
            DescriptorError: The task has also closed this object's descriptor.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # closed, or replaced by the task
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
            """The stream or its descriptor is closed."""
        os.dup2(pipe, descriptor)
        return _stream(descriptor)


def _stream(descriptor: int) -> io.TextIOWrapper:
    file = open(  # noqa: SIM115 - for as long as the process lives
        descriptor, "wb", buffering=8192, closefd=False
    )
    return io.TextIOWrapper(
        file, encoding="utf-8", errors="backslashreplace", line_buffering=descriptor == 2
    )
