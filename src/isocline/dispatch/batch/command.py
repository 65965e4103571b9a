"""Shell command that is run for each chunk."""

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
from isocline.subprocesses.supervise import ending

_LAST = 2000  # characters kept of a failed command's standard error
_LOOK = 0.05  # s between checks for the end of a command whose children keep its pipes open
_BLOCK = 1 << 16  # bytes read at once
_PIPE = 1 << 20  # bytes: the most that a pipe can hold at the end of a command

# The shell's standard input is a pipe to which only this process could write, and never does. When
# the pipe closes, at the end or because this process has died, a child of the shell kills the
# process group: pipelines and background processes end with their task, however that ends.
# Processes that start their own session (setsid) leave the group: see `descendants`.
_SHELL = """
exec 3<&0 </dev/null
{ read -r _ <&3; kill -9 0; } >/dev/null 2>&1 &
exec 3<&-
exec /bin/sh -c "$0"
"""


class CommandError(IsoclineError):
    """A command exited with a status other than 0."""


@final
class Command:
    """Shell command (`sh`) whose standard output, without the last newline, is the result.

    It ends when the shell does. Background processes are then killed; those with their own session
    only on Linux, and only in the main thread, as in worker processes.

    `{path}` stands for the path of the chunk at its node. It becomes a shell variable, which is one
    word whatever the path (`quoting`); commands can also use it as `$CHUNK_PATH`. Other
    braces stay as they are.
    """

    is_shell_command = True  # for messages, as there is no user's function

    def __init__(self, text: str) -> None:
        """Initialise; raises QuotingError if the shell would not read `{path}` as one word."""
        self._text = with_path(text)

    def __call__(self, path: str | Path) -> str:
        """Run the command for a path, and return its output; raises CommandError."""
        with killed_at_exit(), _shell(self._text, path) as process:
            output, errors = _written(process)
        said = errors.decode(errors="backslashreplace").rstrip()
        if process.returncode != 0:
            last = said[-_LAST:] or "nothing on standard error"
            raise CommandError(f"{_status(process.returncode)}: {last}")
        if said:
            with suppress(OSError, ValueError):  # already closed; the result is valid anyway
                print(said, file=sys.stderr, flush=True)
        return output.decode(errors="backslashreplace").removesuffix("\n")


@contextmanager
def _shell(text: str, path: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a shell that runs a command for a path, and kill its process group at the end."""
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
        ending.callback(pipe.close)  # called first, as the other callbacks wait for the shell
        yield process


def _written(process: subprocess.Popen[bytes]) -> list[bytes]:
    """Return a process's standard output and error up to its end.

    Its background children may keep both open for longer; `communicate` would wait for them.
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
                """There may be more output."""
    return [bytes(each) for each in written.values()]


def _read(pipe: int, written: bytearray) -> int | None:
    """Read from a pipe; returns the number of bytes, 0 at its end, None if it is empty."""
    try:
        block = os.read(pipe, _BLOCK)
    except BlockingIOError:
        return None
    written += block
    return len(block)


def _status(code: int) -> str:
    return ending(code).removeprefix("was ") if code < 0 else f"exit status {code}"
