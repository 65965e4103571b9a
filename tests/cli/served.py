"""`isocline serve` as a process, for tests."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

PATIENCE = 300.0  # s for anything that should happen; a first start compiles, on a busy machine


@dataclass
class Served:
    """A router that runs, and what it has said so far."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        """The line with this in it, or the so many-th of them."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = [match for line in list(self.said) if (match := re.search(pattern, line))]
            if len(found) >= times:
                return found[times - 1]
            assert self.process.poll() is None, self.said
            time.sleep(0.02)
        raise AssertionError((pattern, self.said))

    @property
    def port(self) -> int:
        return int(self.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1])

    def asked(self, path: str) -> str:
        """What the admin listener answers."""
        port = self.wait_for(r"admin on http://127\.0\.0\.1:(\d+)")[1]
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            body: bytes = answer.read()
        return body.decode()


@contextmanager
def served(
    file: Path,
    *options: str,
    status: int = 0,
    variables: Mapping[str, str] | None = None,
    serves: str = "^policy ",
) -> Iterator[Served]:
    """It serves within, and has to end with this status after; `serves` is in its last line."""
    with starting(file, *options, status=status, variables=variables) as router:
        router.wait_for(serves)
        yield router


@contextmanager
def starting(
    file: Path,
    *options: str,
    status: int = 0,
    path: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """It is being started, with more environment variables; `path` has modules, too."""
    command = [sys.executable, "-m", "isocline", "serve", str(file), *options]
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {}) | dict(variables or {})
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    router = Served(process)
    reader = threading.Thread(target=lambda: router.said.extend(process.stderr or ()))
    reader.start()
    try:
        yield router
        if process.poll() is None:
            process.terminate()
        assert process.wait(PATIENCE) == status, router.said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)
        reader.join(PATIENCE)
        assert process.stderr is not None
        process.stderr.close()
