"""Processes from their parent's side: started, asked, and ended whatever happens."""

import pickle
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, final

from isocline.demo.child import send
from isocline.errors import IsoclineError

_GRACE = 5.0  # s from being asked to end until being killed


class ProcessError(IsoclineError):
    """A process of ours ended before its time; what it said of it is on stderr."""


@final
class Child:
    """One process that runs `isocline.demo.<role>.main`; ended at the end of a `with`.

    It is in a session of its own, so that Ctrl-C is its parent's to act on.
    """

    def __init__(self, role: str, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from isocline.demo.{role} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def tell(self, message: object) -> None:
        """Send it a message; raises ProcessError if it is gone."""
        assert self._process.stdin is not None
        try:
            send(self._process.stdin, message)
        except BrokenPipeError:
            raise self._gone() from None

    def hear(self) -> Any:
        """Wait for its next message; raises ProcessError if none will come."""
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise self._gone() from None

    def ask(self, message: object = None) -> Any:
        """Both."""
        self.tell(message)
        return self.hear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # what was not sent is for nobody
                        pipe.close()

    def _gone(self) -> ProcessError:
        try:
            how = f"ended with status {self._process.wait(1.0)}"
        except subprocess.TimeoutExpired:
            how = "closed its pipes"
        return ProcessError(f"the process of {self.name} {how}; run the demo again")
