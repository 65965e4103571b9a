"""Routers and backends as real processes, for tests: started, broken and ended one by one."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SECONDS = 120.0  # that anything may take on a busy machine
_STEP = 0.02  # s between two looks
CURVE = {"type": "hyperbolic", "peak": 2000.0, "half": 20.0}
# Limits that a busy machine does not break by itself; HASTY is for tests of what never answers.
TIMES = {"connect": 60.0, "first_byte": 60.0, "idle": 60.0, "total": 120.0, "pool": 0.5}
HASTY = TIMES | {"first_byte": 3.0}


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(true: Any, what: str) -> None:
    """Look again and again; what never comes is a failure."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(_STEP)


async def soon(true: Any, what: str) -> None:
    """The same in an event loop."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        await asyncio.sleep(_STEP)


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


class Counting:
    """`counting_backend.py`, which can be killed and started again on its port."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.port = 0
        self._notes = folder / f"{name}.notes"
        self._notes.touch()
        self.start()

    @property
    def notes(self) -> list[str]:
        """What it has noted, in all its lives."""
        return self._notes.read_text().split("\n")[:-1]

    @property
    def executed(self) -> list[str]:
        """The requests it has executed."""
        return [note for note in self.notes if not note.startswith("left ")]

    def start(self) -> None:
        script = Path(__file__).parent / "counting_backend.py"
        self._process = subprocess.Popen(
            [sys.executable, "-S", str(script), str(self.port), str(self._notes)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def say(self, what: signal.Signals) -> None:
        self._process.send_signal(what)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS)
        assert self._process.stdout
        self._process.stdout.close()


@contextmanager
def counting(folder: Path, *names: str) -> Iterator[list[Counting]]:
    """Backends of these names."""
    backends: list[Counting] = []
    try:
        for name in names:
            backends.append(Counting(folder, name))  # noqa: PERF401 - what started is to be ended
        yield backends
    finally:
        for backend in backends:
            backend.kill()


@dataclass
class Live:
    """A running `isocline serve`."""

    process: subprocess.Popen[str]
    file: Path
    port: int
    admin: int

    @property
    def statistics(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.admin}/statistics"
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            said: dict[str, Any] = json.load(answer)
            return said

    @property
    def in_flight(self) -> int:
        """Requests at backends, as the router counts them."""
        return sum(backend["in_flight"] for backend in self.statistics["backends"])

    def sockets(self) -> int:
        """Connections it has open, to clients and to backends, as the kernel counts them."""
        return sum(_connections(pid) for pid in (self.process.pid, *self.workers()))

    def workers(self) -> list[int]:
        """The processes it has started."""
        pid = self.process.pid
        return [int(i) for i in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def rewrite(self, system: Mapping[str, Any]) -> None:
        """Another system file, doors as they are, and the word that it is there."""
        write(self.file, system, self.port, self.admin)
        self.process.send_signal(signal.SIGHUP)

    async def nothing_left(self) -> None:
        """Nothing is under way and, once the pools have let go, no connection is open."""
        await soon(lambda: self.in_flight == 0, "requests are counted that are over")
        await soon(lambda: self.sockets() == 0, "connections are open that nobody uses")


_ESTABLISHED, _CLOSE_WAIT = "01", "08"


def _connections(pid: int) -> int:
    """TCP connections of a process, but those of its admin's client."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            own.add(str(link.readlink()))
    rows = [row.split() for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(
        row[3] in (_ESTABLISHED, _CLOSE_WAIT) and f"socket:[{row[9]}]" in own for row in rows
    )


def system(backends: Sequence[Counting] | Mapping[str, str], **serve: Any) -> dict[str, Any]:
    """A system file's content: all backends behind one frontend."""
    if not isinstance(backends, Mapping):
        backends = {it.name: f"http://127.0.0.1:{it.port}" for it in backends}
    # Not polled: what is open and what is asked is counted.
    polled = {"report": "orca"}
    entries = [
        {"name": name, "url": url, "curve": CURVE, **polled} for name, url in backends.items()
    ]
    return {
        "kind": "routing",
        "backends": entries,
        "frontends": [{"name": "all", "rate": 1.0, "backends": ["*"]}],
        "serve": {"policy": "round_robin", "times": TIMES, "health": "off", **serve},
    }


def write(
    file: Path,
    content: Mapping[str, Any],
    port: int,
    admin: int,
    tls: Mapping[str, str] | None = None,
) -> None:
    address = f"127.0.0.1:{port}"
    listen = [{"name": "secured", "address": address, "tls": dict(tls)}] if tls else address
    doors = {"listen": listen, "admin": f"127.0.0.1:{admin}"}
    file.write_text(yaml.safe_dump({**content, "serve": {**content["serve"], **doors}}))


@contextmanager
def serving(
    folder: Path, content: Mapping[str, Any], tls: Mapping[str, str] | None = None
) -> Iterator[Live]:
    """`isocline serve` on what is written in a file; `tls` is that of its listener."""
    file, port, admin = folder / "system.yaml", free_port(), free_port()
    write(file, content, port, admin, tls)
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "isocline", "serve", str(file)], stderr=errors, text=True
        )
    try:
        said = (folder / "stderr").read_text
        until(lambda: process.poll() is not None or (listens(port) and listens(admin)), said())
        assert process.poll() is None, said()
        yield Live(process, file, port, admin)
        process.terminate()
        assert process.wait(SECONDS) == 0, said()
        assert "Traceback" not in said(), said()
    finally:
        process.kill()
        process.wait(SECONDS)
