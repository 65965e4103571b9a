"""Line on stderr that says how long a computation has taken, and how far it has come.

On a terminal it shows from the third second on and goes away when the computation is done. Into a
pipe or a file a line is written after 10 s, and others after 20, 40, 80 s and so on: a log shows
that something is going on, and a computation of a day fills a dozen lines.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, final

_ERASE = "\r\x1b[K"
_AFTER = 2.0  # s
_EVERY = 0.5  # s
_FIRST_IN_LOG = 10.0  # s


@contextmanager
def waiting(what: str) -> Iterator["WaitingLine"]:
    """Show the line on stderr while the body runs."""
    line = WaitingLine(what, sys.stderr)
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(_EVERY):
            line.show()

    thread = threading.Thread(target=tick, name="isocline-waiting", daemon=True)
    thread.start()
    try:
        yield line
    finally:
        stop.set()
        thread.join()
        line.close()


@final
class WaitingLine:
    """Writes to `stream`; `clock` in s."""

    def __init__(
        self, what: str, stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.reached = ""  # how far it has come, in words; whoever computes sets it
        self._what, self._stream, self._clock = what, stream, clock
        self._began = clock()
        self._shown = False
        self._is_terminal = stream.isatty()
        self._next_in_log = _FIRST_IN_LOG  # s since the beginning

    def show(self) -> None:
        """Write or renew the line, once it has taken long enough."""
        passed = self._clock() - self._began
        if passed < (_AFTER if self._is_terminal else self._next_in_log):
            return
        reached = f": {self.reached}" if self.reached else ""
        line = f"{self._what}, {passed:.0f} s{reached}"
        if not self._is_terminal:
            while self._next_in_log <= passed:
                self._next_in_log *= 2.0
            print(line, file=self._stream, flush=True)
            return
        self._shown = True
        print(f"{_ERASE}  {line}", end="", file=self._stream, flush=True)

    def close(self) -> None:
        """Erase the line, if there is one."""
        if self._shown:
            print(_ERASE, end="", file=self._stream, flush=True)
