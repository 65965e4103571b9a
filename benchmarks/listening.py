"""Programs that listen on a port while they are measured."""

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_START = 30.0  # s that one may take
_GRACE = 5.0  # s, then it is killed


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def listening(
    command: Sequence[str], port: int, out: Path | None = None, within: float = _START
) -> Iterator[int]:
    """The pid of what a command started, once it listens; it is ended afterwards.

    Args:
        command: What to start.
        port: Where it will listen.
        out: File for what it writes to stdout; None: nowhere.
        within: s that the start may take.
    """
    quiet = subprocess.DEVNULL
    with ExitStack() as stack:
        stdout = quiet if out is None else stack.enter_context(out.open("wb")).fileno()
        process = subprocess.Popen(command, stdout=stdout, stderr=quiet, start_new_session=True)
        try:
            _wait_for(process, port, within)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, within: float) -> None:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            time.sleep(0.5)  # for what it does first
            return
    raise SystemExit(f"{process.args!r} does not listen")
