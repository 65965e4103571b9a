"""Emulated servers on a virtual loop: HTTP in memory, and durations that are exact."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from isocline.emulator.engine import Engine
from isocline.emulator.http import Connection
from isocline.emulator.settings import Settings
from tests.gateway.proxies import Client
from tests.live.memory_loop import memory_loop
from tests.virtual_time import LoopClock


@dataclass
class InMemory:
    """A server that listens in memory."""

    engine: Engine
    port: int

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, body: object, path: str = "/v1/completions", method: str = "POST") -> int:
        """The status of one answer, which is whole; a text is sent as it is."""
        client = await self.connect()
        try:
            return (await client.ask(request(body, path, method)))[0]
        finally:
            client.close()


def request(body: object, path: str = "/v1/completions", method: str = "POST") -> bytes:
    """The bytes of one request."""
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    return b"%s %s HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (
        method.encode(),
        path.encode(),
        len(data),
        data,
    )


@asynccontextmanager
async def emulating(settings: Settings) -> AsyncIterator[InMemory]:
    """A server for as long as the block lasts."""
    engine, connections = Engine(settings, LoopClock()), set[Connection]()
    loop = memory_loop()
    server = await loop.create_server(lambda: Connection(engine, connections))
    try:
        yield InMemory(engine, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for connection in list(connections):
            connection.close()
        engine.close()
        await loop.settled()
