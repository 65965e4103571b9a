"""What is ours in `benchmarks.gateway_proxy`: the proxy, a relay of bytes, and the backend.

`python -m benchmarks.proxy_ours PORT LOG` runs the proxy before a backend and prints its port; so
the Python that runs it may be another one, with another build.
"""

import asyncio
import gc
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, cast

import uvloop

from benchmarks.proxy_rivals import BACKENDS
from isocline.gateway import hot_path
from isocline.gateway.access_log import AccessLog
from isocline.gateway.config import BackendAddress, FrontendRule, Listener, ProxySettings
from isocline.gateway.core.build import core_of
from isocline.gateway.proxy import Proxy
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse

CHUNKS = 200  # of a stream
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n"
    b'Endpoint-Load-Metrics: 1\r\n\r\n{"ok": true}\n'
)
EVENT = b'data: {"id":"x","choices":[{"delta":{"content":"token"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
LAST = b"0\r\n\r\n"


class Told(Protocol):
    """Who is told the port."""

    def send(self, port: int, /) -> object: ...


class Answering(asyncio.Protocol):
    """The backend: answers at once, or streams an event every 2 ms."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET"):
            self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.send_event(CHUNKS)
        else:
            self.transport.write(ANSWER)

    def send_event(self, left: int) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(CHUNK if left else LAST)
        if left:
            asyncio.get_running_loop().call_later(0.002, self.send_event, left - 1)


def backend(told: Connection) -> None:
    uvloop.run(listen(told, Answering))


async def listen(told: Connection, protocol: Callable[[], asyncio.Protocol]) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    told.send(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


class Relay(asyncio.Protocol):
    """Passes bytes on, and reads nothing of them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.other: asyncio.Transport | None = None
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.task = asyncio.get_running_loop().create_task(self.connect())

    async def connect(self) -> None:
        back = Back(self.transport)
        loop = asyncio.get_running_loop()
        self.other, _ = await loop.create_connection(lambda: back, "127.0.0.1", self.port)
        self.other.write(self.early)

    def data_received(self, data: bytes) -> None:
        if self.other:
            if not self.other.is_closing():
                self.other.write(data)
        else:
            self.early += data


class Back(asyncio.Protocol):
    """The relay's other side."""

    def __init__(self, client: asyncio.Transport) -> None:
        self.client = client

    def data_received(self, data: bytes) -> None:
        if not self.client.is_closing():
            self.client.write(data)


def relay(told: Connection, port: int) -> None:
    uvloop.run(listen(told, lambda: Relay(port)))


def isocline(told: Told, port: int, log_file: str, learning: bool = False) -> None:
    system = RoutingSystem(
        (Frontend("chat", PoissonArrivals(10.0)),),
        tuple(Backend(f"b{i}", HyperbolicCurve(400.0, 16.0)) for i in range(BACKENDS)),
        CompatibilityGraph.from_neighbours(BACKENDS, [range(BACKENDS)]),
    )
    names = [backend.name for backend in system.backends]
    settings = ProxySettings(
        tuple(BackendAddress(name, f"http://127.0.0.1:{port}") for name in names),
        (FrontendRule("chat"),),
        (Listener(port=0),),
    )

    async def serve() -> None:
        with Path(log_file).open("w") as out:
            log = AccessLog(out, ["chat"], names, "gmsr")
            core = core_of(system, parse("gmsr"), learner=Learner(BACKENDS) if learning else None)
            proxy = Proxy(core, settings, (log,), int)
            await proxy.start()
            gc.collect()
            gc.freeze()  # what was imported lives for ever: no collection need look at it again
            told.send(proxy.addresses[0][2])
            await asyncio.Event().wait()

    uvloop.run(serve())


@contextmanager
def running(target: Callable[..., None], *args: object) -> Iterator[tuple[int, int]]:
    """(pid, port) of a process of ours."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(theirs, *args))
    process.start()
    theirs.close()  # so that one that does not start is heard of
    try:
        assert process.pid is not None
        yield process.pid, ours.recv()
    finally:
        process.terminate()
        process.join()


@contextmanager
def compiled(
    python: str, port: int, log_file: str, learning: bool = False
) -> Iterator[tuple[int, int]]:
    """(pid, port) of the proxy as another Python has it, whose build has to be compiled."""
    command = [python, "-m", __spec__.name, str(port), log_file, *["learning"] * learning]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        try:
            if not told:
                raise SystemExit(f"{python} has no compiled build: see docs/router-speed.md")
            yield process.pid, int(told)
        finally:
            process.terminate()


class _Output:
    """Stdout, as one who is told."""

    def send(self, port: int) -> None:
        print(port, flush=True)


if __name__ == "__main__":
    if not hot_path.is_compiled():
        raise SystemExit("not compiled")
    isocline(_Output(), int(sys.argv[1]), sys.argv[2], len(sys.argv) > 3)
