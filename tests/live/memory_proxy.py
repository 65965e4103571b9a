"""A proxy before one backend, in memory, and a client that hears what comes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

from isocline.gateway.build import core_of
from isocline.gateway.proxy import Proxy
from isocline.gateway.rules import RetryRule, Rules
from isocline.gateway.settings import BackendAddress, FrontendRule, Listener, ProxySettings
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.proxies import CURVE
from tests.live.memory_loop import Factory, memory_loop

SYSTEM, POLICY = fleet([CURVE], [0.1]), parse("gmsr")
ONCE = Rules(retries=RetryRule(attempts=1))  # each request reaches a backend once at most


class Speaker(asyncio.Protocol):
    """Keeps what it hears, and closes when the other end has.

    Attributes:
        data: All of it.
        ended: The other end said that nothing more comes.
    """

    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.ended = True


@asynccontextmanager
async def proxied(backend: Factory) -> AsyncIterator[Callable[[asyncio.Protocol], Awaitable[None]]]:
    """Connects clients; afterwards nothing is under way, and the core knows it."""
    loop = memory_loop()
    server = await loop.create_server(backend)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = ProxySettings((BackendAddress("b0", url),), (FrontendRule("all"),), (Listener(),))
    proxy = Proxy(core_of(SYSTEM, POLICY, rules=ONCE), settings)
    await proxy.start()
    clients: list[asyncio.Transport] = []

    async def connect(client: asyncio.Protocol) -> None:
        transport, _ = await loop.create_connection(lambda: client, port=proxy.addresses[0][2])
        clients.append(transport)

    yield connect
    for client in clients:
        client.close()
    await loop.settled()
    left = (proxy.in_flight, proxy.downstreams, proxy.router.core.in_flight(0))
    assert left == (0, set(), 0), "a client has gone, and something of it is left"
    await proxy.stop(0.0)
    await loop.settled()
