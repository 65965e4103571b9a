"""Routers and backends as real processes, for tests: started, broken and ended one by one."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.gateway.proxies import refusing_port
from tests.running import running

SECONDS = 300.0  # that anything may take on a busy machine; a first start compiles
_STEP = 0.02  # s between two looks
CURVE = {"type": "hyperbolic", "peak": 2000.0, "half": 20.0}
# Limits that a busy machine does not break by itself; HASTY is for tests of what never answers, and
# is waited for.
TIMES = {"connect": 60.0, "first_byte": 60.0, "idle": 60.0, "total": 120.0, "pool": 0.5}
HASTY = TIMES | {"first_byte": 3.0}
# Never used up: by default retries are a share of requests, and a busy machine, where few requests
# pass between two failures, would need more. The budget has tests of its own.
RETRIES = {"share": 1.0, "least": 1e6}


def until(true: Any, what: Callable[[], str]) -> None:
    """Look again and again; what never comes is a failure."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what()
        time.sleep(_STEP)


async def soon(true: Any, what: str) -> None:
    """The same in an event loop."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        await asyncio.sleep(_STEP)


class Counting:
    """`counting_backend.py`, which can be killed and started again on its port."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self._notes = folder / f"{name}.notes"
        self._notes.touch()
        self._process: subprocess.Popen[str] | None = None

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
        assert self._process.stdout.readline() == f"{self.port}\n", "it does not listen"

    def say(self, what: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(what)

    def kill(self) -> None:
        """End it at once, if it runs: connections to its port are refused from now on."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(SECONDS)
        assert self._process.stdout
        self._process.stdout.close()


@contextmanager
def counting(folder: Path, *names: str) -> Iterator[list[Counting]]:
    """Backends of these names; their ports are theirs also while they are down."""
    with ExitStack() as stack:
        ports = [stack.enter_context(refusing_port()) for _ in names]
        backends = [Counting(folder, *each) for each in zip(names, ports, strict=True)]
        for backend in backends:
            stack.callback(backend.kill)
            backend.start()
        yield backends


@dataclass
class Live:
    """A running `isocline serve`, and the file of what it says on stderr."""

    process: subprocess.Popen[str]
    file: Path
    stderr: Path

    @property
    def said(self) -> str:
        return self.stderr.read_text()

    @property
    def port(self) -> int:
        return self._port("listening")

    @property
    def admin(self) -> int:
        return self._port("admin")

    def _port(self, door: str) -> int:
        found = re.search(rf"{door} on (?:https?|grpcs?)://127\.0\.0\.1:(\d+)\b", self.said)
        assert found, self.said
        return int(found[1])

    def serves(self) -> bool:
        """Or has ended, which the next look at it will show."""
        return self.process.poll() is not None or "\npolicy " in f"\n{self.said}"

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

    async def rewrite(self, system: Mapping[str, Any]) -> None:
        """Have it serve another system, by the same doors; it notices that by itself, once."""
        before = self.said.count("reloaded: ")
        write(self.file, system)
        await soon(lambda: self.said.count("reloaded: ") > before, "it has not been reloaded")

    async def nothing_left(self) -> None:
        """Nothing is under way and, once the pools have let go, no connection is open."""
        await soon(lambda: self.in_flight == 0, "requests are counted that are over")
        await soon(lambda: self.sockets() == 0, "connections are open that nobody uses")


_ESTABLISHED, _CLOSE_WAIT = "01", "08"


def _connections(pid: int) -> int:
    """TCP connections of a process, but those of its admin's client; none if it has ended."""
    own = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                own.add(str(link.readlink()))
        table = Path(f"/proc/{pid}/net/tcp").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    rows = [row.split() for row in table.splitlines()[1:]]
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
        "serve": {
            "policy": "round_robin",
            "times": TIMES,
            "health": "off",
            "retries": RETRIES,
            **serve,
        },
    }


def write(file: Path, content: Mapping[str, Any], tls: Mapping[str, str] | None = None) -> None:
    """The file is there as a whole at any moment, as a router may look at it by itself."""
    address = "127.0.0.1:0"
    listen = [{"name": "secured", "address": address, "tls": dict(tls)}] if tls else address
    doors = {"listen": listen, "admin": address}
    draft = file.with_suffix(".draft")
    draft.write_text(yaml.safe_dump({**content, "serve": {**doors, **content["serve"]}}))
    draft.replace(file)


@contextmanager
def serving(
    folder: Path,
    content: Mapping[str, Any],
    tls: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Live]:
    """`isocline serve` on what is written in a file; `tls` is that of its listener."""
    file, stderr = folder / "system.yaml", folder / "stderr"
    write(file, content, tls)
    command = [sys.executable, "-m", "isocline", "serve", str(file), *options]
    with stderr.open("w") as errors, running(command, stderr=errors) as process:
        live = Live(process, file, stderr)
        until(live.serves, lambda: live.said)
        assert process.poll() is None, live.said
        yield live
        process.terminate()
        assert process.wait(SECONDS) == 0, live.said
        assert "Traceback" not in live.said, live.said
