"""Output of tasks on their scheduler's standard error, each line with the node's name before it."""

import sys
import threading
from collections import deque
from contextlib import suppress
from typing import IO, final

_LONGEST = 1 << 16  # bytes of a line
_LAST = 20  # lines


@final
class Output:
    """One thread reads one worker's standard output and error until they are closed."""

    def __init__(self, name: str, pipe: IO[bytes]) -> None:
        self.last: deque[str] = deque(maxlen=_LAST)
        self._name = name
        self._pipe = pipe
        self._thread = threading.Thread(target=self._copy, name=f"output of {name}", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the last line of a worker that has ended."""
        self._thread.join(1.0)  # s: a task's child that escaped may hold the pipe open

    def _copy(self) -> None:
        with self._pipe:
            for line in iter(lambda: self._pipe.readline(_LONGEST), b""):
                text = line.decode(errors="replace").rstrip("\n")
                self.last.append(text)
                _show(f"{self._name}: {text}\n")


def _show(text: str) -> None:
    """Write to the standard error, if it takes the text.

    It may be closed, of another encoding, or an object of the user's. Whatever it is, the pipe has
    to be read on: nobody would read what tasks print, and each that prints would fail.
    """
    with suppress(BaseException):
        try:
            sys.stderr.write(text)
        except UnicodeEncodeError as error:
            sys.stderr.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
