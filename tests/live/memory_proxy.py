"""A proxy before one backend, in memory, and a client that hears what comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from isocline.gateway.access_log import Access
from isocline.gateway.config import BackendAddress, FrontendRule, Listener, ProxySettings
from isocline.gateway.core.build import core_of
from isocline.gateway.proxy import Proxy
from isocline.model.serving_settings import RetryRule, Rules, SizeLimits, TimeLimits
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.proxies import CURVE
from tests.live.memory_loop import Factory, MemoryLoop, memory_loop

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


@dataclass
class Proxied:
    """A running proxy; called with a client, it connects it.

    Attributes:
        accesses: What its observers were told.
    """

    proxy: Proxy
    accesses: list[Access]
    loop: MemoryLoop
    clients: list[asyncio.Transport]

    async def __call__(self, client: asyncio.Protocol) -> None:
        port = self.proxy.addresses[0][2]
        transport, _ = await self.loop.create_connection(lambda: client, port=port)
        self.clients.append(transport)


@asynccontextmanager
async def proxied(
    backend: Factory, times: TimeLimits | None = None, sizes: SizeLimits | None = None
) -> AsyncIterator[Proxied]:
    """Afterwards nothing is under way, and the core knows it."""
    loop = memory_loop()
    server = await loop.create_server(backend)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = ProxySettings(
        (BackendAddress("b0", url),),
        (FrontendRule("all"),),
        (Listener(),),
        times or TimeLimits(),
        sizes or SizeLimits(),
    )
    accesses: list[Access] = []
    core = core_of(SYSTEM, POLICY, rules=ONCE)
    proxy = Proxy(core, settings, (accesses.append,), clock=loop.time)
    await proxy.start()
    made = Proxied(proxy, accesses, loop, [])
    yield made
    for client in made.clients:
        client.close()
    await loop.settled()
    left = (proxy.in_flight, proxy.clients.connections, proxy.bridge.core.in_flight(0))
    assert left == (0, set(), 0), "a client has gone, and something of it is left"
    await proxy.stop(0.0)
    await loop.settled()
