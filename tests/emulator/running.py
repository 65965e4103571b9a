"""Emulated servers as processes, for tests."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FAST = "{type: servers, rate: 1.0e+6, count: 1000}"  # tokens are there at once


@contextmanager
def emulated(*options: str, curve: str = FAST) -> Iterator[str]:
    """The address, HOST:PORT, of `isocline backend` with these options."""
    command = [sys.executable, "-m", "isocline", "backend", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--curve", curve, *options], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"http://(127\.0\.0\.1:\d+)/v1", said)
        assert found, said + process.stderr.read()
        yield found[1]
    finally:
        process.terminate()
        rest = process.stderr.read()
        process.stderr.close()
        assert (process.wait(60), rest) == (0, "")
