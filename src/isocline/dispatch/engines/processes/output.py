"""What tasks print, on their scheduler's standard error, with the node's name before each line."""

import sys
import threading
from collections import deque
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
                sys.stderr.write(f"{self._name}: {text}\n")
