"""Notice on stderr while kernels are compiled, as at the first start of a verb.

One line, once; on a terminal a second one counts the kernels and goes away. Nothing where all
kernels are loaded, and nothing from child processes.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, final

from isocline.compilation import compile_events
from isocline.plural import counted
from isocline.structured_log import log_event, logs_json

_ERASE = "\r\x1b[K"


@contextmanager
def reported_compilation() -> Iterator[None]:
    """Report compilation within the block."""
    notice = Notice(sys.stderr)
    compile_events.add(notice)
    try:
        yield
    finally:
        compile_events.remove(notice)
        notice.close()


@final
class Notice(compile_events.Listener):
    """Writes to `stream`; `clock` in s."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.kernels = 0  # compiled
        self.seconds = 0.0  # that they took
        self._stream = stream
        self._clock = clock
        self._process = os.getpid()
        self._depth = 0  # kernels under way, one within the other
        self._began = 0.0
        self._said = False

    def started(self) -> None:
        if os.getpid() != self._process:  # a forked child
            return
        if not self._depth:
            self._began = self._clock()
        self._depth += 1
        if not self._said:
            self._said = True
            _say("compiling kernels, once, for about half a minute", self._stream)
        self._show()

    def finished(self) -> None:
        if os.getpid() != self._process:
            return
        self.kernels += 1
        self._depth = max(self._depth - 1, 0)
        if not self._depth:
            self.seconds += self._clock() - self._began
        self._show()

    def close(self) -> None:
        """End the notice."""
        self._depth = 0
        self._show()

    def _show(self) -> None:
        """The line that counts, while something is compiled."""
        if not self._said or not self._stream.isatty() or logs_json():
            return
        since = self._clock() - self._began if self._depth else 0.0
        line = (
            f"  {counted(self.kernels, 'kernel')}, {self.seconds + since:.0f} s"
            if self._depth
            else ""
        )
        print(_ERASE + line, end="", file=self._stream, flush=True)


def _say(text: str, stream: TextIO) -> None:
    """Print a line in the form of the verb's log."""
    if logs_json():
        log_event(text, "compiling")
    else:
        print(f"isocline: {text}", file=stream)
