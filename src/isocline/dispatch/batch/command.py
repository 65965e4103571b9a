"""A shell command for each chunk."""

import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import final

from isocline.dispatch.batch.quoting import VARIABLE, with_path
from isocline.errors import IsoclineError
from isocline.subprocesses.descendants import kill_group, killed_at_exit

_LAST = 2000  # characters of what a command that failed wrote on its standard error
_LOOK = 0.05  # s between looks whether a command has ended whose children keep its pipes open
_BLOCK = 1 << 16  # bytes read at once
_PIPE = 1 << 20  # bytes: no pipe holds more of what a command wrote before it ended

# The shell's standard input is a pipe that only this process can write to, and never does. When it
# is closed, whether at the end or as this process has died, a child of the shell kills the group:
# pipelines and what runs in the background end with their task, however that ends. What begins a
# session of its own (setsid) is in no group of this: see `descendants`.
_SHELL = """
exec 3<&0 </dev/null
{ read -r _ <&3; kill -9 0; } >/dev/null 2>&1 &
exec 3<&-
exec /bin/sh -c "$0"
"""


class CommandError(IsoclineError):
    """Command that ended with a status other than 0."""


@final
class Command:
    """Shell command (`sh`) whose standard output, without the last newline, is the result.

    It ends when the shell does. What it has left in the background is killed then; what has begun a
    session of its own, only on Linux and in the main thread, as of a worker process.

    `{path}` stands for the path of the chunk at its node. It becomes a variable of the shell, which
    is one word whatever the path is (`quoting`); commands can use it as `$CHUNK_PATH`, too. Other
    braces stay as they are.
    """

    is_shell_command = True  # for messages: nobody has written a function

    def __init__(self, text: str) -> None:
        """Raises QuotingError if `{path}` stands where the shell would not read it as one word."""
        self._text = with_path(text)

    def __call__(self, path: str | Path) -> str:
        """Run the command and return its output; raises CommandError."""
        with killed_at_exit(), _shell(self._text, path) as process:
            output, errors = _written(process)
        said = errors.decode(errors="backslashreplace").rstrip()
        if process.returncode != 0:
            last = said[-_LAST:] or "it wrote nothing on its standard error"
            raise CommandError(f"{_status(process.returncode)}: {last}")
        if said:
            with suppress(OSError, ValueError):  # closed: the result is one all the same
                print(said, file=sys.stderr, flush=True)
        return output.decode(errors="backslashreplace").removesuffix("\n")


@contextmanager
def _shell(text: str, path: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a shell that runs a command for a path; its process group is killed at the end."""
    with ExitStack() as ending:
        reading, held = os.pipe()
        pipe = ending.enter_context(os.fdopen(held, "wb"))
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _SHELL, text],
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, VARIABLE: str(path)},
                process_group=0,
            )
        finally:
            os.close(reading)
        ending.callback(kill_group, process.pid)
        ending.enter_context(process)
        ending.callback(pipe.close)  # first of all: the shell's end is waited for
        yield process


def _written(process: subprocess.Popen[bytes]) -> list[bytes]:
    """Return a process's standard output and error up to its end.

    Children that it leaves in the background may hold both open for longer, so that to wait for
    their ends, as `communicate` does, would be to wait for the children.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.fileno(), process.stderr.fileno()
    written = {out: bytearray(), err: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in written:
            os.set_blocking(pipe, False)
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map() and process.poll() is None:
            for key, _ in selector.select(_LOOK):
                if _read(key.fd, written[key.fd]) == 0:
                    selector.unregister(key.fd)
        process.wait()
        for pipe, got in written.items():
            most = len(got) + _PIPE
            while len(got) < most and _read(pipe, got):
                """There may be more."""
    return [bytes(each) for each in written.values()]


def _read(pipe: int, written: bytearray) -> int | None:
    """Read what a pipe has, bytes; 0 at its end, None if there is nothing at the moment."""
    try:
        block = os.read(pipe, _BLOCK)
    except BlockingIOError:
        return None
    written += block
    return len(block)


def _status(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"
