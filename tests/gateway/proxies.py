"""A proxy, backends and clients over real sockets, for tests: each says what it sends and reads."""

import asyncio
import socket
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterator,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from time import monotonic, time
from typing import Any

import uvloop

from isocline.gateway.access_log import Access
from isocline.gateway.config import BackendAddress, FrontendRule, Listener, ProxySettings
from isocline.gateway.core.build import core_of
from isocline.gateway.core.request_cost import Measure
from isocline.gateway.proxy import Proxy
from isocline.learn import Learner
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.model.fleet import Work
from isocline.model.serving_settings import Rules, SizeLimits, TimeLimits
from isocline.policies.parse import parse
from tests.builders import fleet

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
# A test of a limit sets that one low; the others must not be reached on a busy machine.
QUICK = TimeLimits(
    header=60.0, keep_alive=60.0, connect=60.0, first_byte=60.0, idle=60.0, total=60.0, linger=60.0
)
CURVE = HyperbolicCurve(10.0, 5.0)
RESTED = 0.06  # s after a response, its connection may be used again: ClosingHabit
SECONDS = 60.0  # that any scenario may take


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run it on the event loop that is used live."""

    wrong: list[dict[str, Any]] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with asyncio.timeout(SECONDS):
            await scenario

    uvloop.run(bounded())
    assert wrong == [], wrong  # no exception ended in the event loop


@dataclass
class Backend:
    """A scripted server."""

    port: int
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(handler: Callable[[Backend], Handler], port: int = 0) -> AsyncIterator[Backend]:
    """A backend on a free port, or on that of a `refusing_port`."""
    backend = Backend(0)
    handle = handler(backend)

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend.connections += 1
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with listening(on_connection, port, reuse_port=port > 0) as backend.port:
        yield backend


@asynccontextmanager
async def listening(handle: Handler, port: int = 0, **options: Any) -> AsyncIterator[int]:
    """The port of a server that is gone afterwards, with its connections, whatever happens."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None]] = []

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        writers.append(writer)
        tasks.append(task)
        with suppress(asyncio.CancelledError):  # by the end of this block
            await handle(reader, writer)

    server = await asyncio.start_server(noted, "127.0.0.1", port, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await dropped(writers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def dropped(writers: Collection[asyncio.StreamWriter]) -> None:
    """Connections that are to end at once, and have ended."""
    for writer in writers:
        writer.transport.abort()
    for writer in writers:
        with suppress(Exception):  # whatever it has ended with
            await writer.wait_closed()


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can take within.

    It is bound, and nobody listens. A server that shares ports (SO_REUSEPORT) may, and go again.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port


async def read_request(reader: asyncio.StreamReader, backend: Backend) -> bool:
    """Read a request with a Content-Length, or none; False where the connection ends."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    backend.heads.append(head)
    length = value_of(head, b"content-length")
    backend.bodies.append(await reader.readexactly(int(length or b"0")))
    return True


def saying(*responses: bytes) -> Callable[[Backend], Handler]:
    """A backend that gives these responses in turn, the last one for ever."""

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                writer.write(responses[min(len(backend.heads), len(responses)) - 1])
                await writer.drain()

        return handle

    return handler


def ok(body: bytes = b"ok", *fields: bytes) -> bytes:
    """A response with a Content-Length."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields, b"", body]
    return b"\r\n".join(lines)


def value_of(head: bytes, name: bytes) -> bytes | None:
    """A field of a head; `name` in lower case."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


class Clock:
    """A clock that can be put forward: time passes for a proxy, and no test waits for it."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def __call__(self) -> float:
        return monotonic() + self.skipped

    def skip(self, seconds: float) -> None:
        self.skipped += seconds


@dataclass
class Seen:
    """A running proxy, its clock, what it told its observers, and its clients."""

    proxy: Proxy
    clock: Clock
    accesses: list[Access] = field(default_factory=list)
    clients: list["Client"] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.proxy.addresses[0][2]

    async def connect(self, ssl: Any = None) -> "Client":
        """A client, whose connection ends with the proxy at the latest."""
        made = Client(*await asyncio.open_connection("127.0.0.1", self.port, ssl=ssl))
        self.clients.append(made)
        return made

    async def settled(self) -> None:
        """Nothing under way any more, and the core knows it."""
        while self.proxy.in_flight:
            await asyncio.sleep(0.005)
        core = self.proxy.bridge.core
        assert [core.in_flight(b) for b in range(len(self.proxy.connectors))] == [0] * len(
            self.proxy.connectors
        )


@dataclass
class Client:
    """A connection that speaks bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """(status, head, body) of the response to these bytes."""
        self.writer.write(request)
        return await self.response(head_only=request.startswith(b"HEAD"))

    async def response(self, head_only: bool = False) -> tuple[int, bytes, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if head_only or status < 200 or status in (204, 304):
            return status, head, b""
        if value_of(head, b"transfer-encoding") == b"chunked":
            return status, head, await self.chunks()
        length = value_of(head, b"content-length")
        body = await (
            self.reader.read() if length is None else self.reader.readexactly(int(length))
        )
        return status, head, body

    async def chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        while (await self.reader.readline()) != b"\r\n":
            pass
        return body

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def proxying(
    *handlers: Callable[[Backend], Handler] | str,
    times: TimeLimits = QUICK,
    sizes: SizeLimits | None = None,
    frontends: Sequence[FrontendRule] = (FrontendRule("all"),),
    neighbours: Sequence[Sequence[int]] | None = None,
    rules: Rules | None = None,
    policy: str = "gmsr",
    curve: Curve = CURVE,
    measure: Measure | None = None,
    cache_tokens: int | None = None,
    **more: Any,
) -> AsyncIterator[tuple[Seen, list[Backend]]]:
    """A proxy before scripted backends; a text in place of a handler is the URL of another one.

    With `measure` curves are learned, in the work that it measures; with `cache_tokens` each
    backend has a prefix cache. All is closed afterwards, also
    where an assertion fails within.
    """
    async with AsyncExitStack() as stack:
        backends: list[Backend] = []
        addresses: list[BackendAddress] = []
        for i, handler in enumerate(handlers):
            if isinstance(handler, str):
                addresses.append(BackendAddress(f"b{i}", handler))
                continue
            backends.append(await stack.enter_async_context(serving(handler)))
            addresses.append(BackendAddress(f"b{i}", f"http://127.0.0.1:{backends[-1].port}"))
        edges = neighbours or [range(len(handlers)) for _ in frontends]
        system = fleet([curve] * len(handlers), [0.1] * len(frontends), edges)
        if cache_tokens is not None:
            cached = tuple(replace(it, cache_tokens=cache_tokens) for it in system.backends)
            system = replace(system, backends=cached, work=Work("tokens", 100.0, 1.0, 1.0))
        settings = ProxySettings(
            tuple(addresses),
            tuple(frontends),
            more.pop("listeners", (Listener(port=0),)),
            times,
            sizes or SizeLimits(),
            **{key: value for key, value in more.items() if key not in ("read_load", "unix_time")},
        )
        accesses: list[Access] = []
        learner = None if measure is None else Learner(len(handlers))
        core = core_of(system, parse(policy), rules=rules, learner=learner, measure=measure)
        clock = Clock()
        proxy = Proxy(
            core,
            settings,
            (accesses.append,),
            more.get("read_load"),
            clock,
            unix_time=more.get("unix_time", time),
        )
        await proxy.start()
        stack.push_async_callback(proxy.stop, 0.0)
        seen = Seen(proxy, clock, accesses)
        try:
            yield seen, backends
        finally:
            await dropped([client.writer for client in seen.clients])


def replaced(**limits: float) -> TimeLimits:
    """Quick limits, but for these."""
    return replace(QUICK, **limits)


async def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    while not condition():
        await asyncio.sleep(0.005)
