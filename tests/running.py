"""Processes for tests, which end with their test, whatever happens in it."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def running(command: Sequence[str | Path], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A process that is killed and reaped at the end, if it still runs, and its pipes closed.

    `Popen` as a context waits for the process instead: where an assertion fails before the test has
    ended it, for ever.
    """
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()


def alive(pid: int) -> bool:
    """Not gone, and no zombie that waits for its parent; Linux only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
