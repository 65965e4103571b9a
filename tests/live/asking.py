"""Clients of a router that is being broken: each request has an id, and is told how it went."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.gateway.proxies import Client

BROKEN = 0  # in place of a status: the connection ended before the answer did


@dataclass
class Asked:
    """How it went: of each id its method and status, in the order of their ends."""

    outcomes: dict[str, tuple[str, int]] = field(default_factory=dict)

    def of(self, method: str) -> dict[str, int]:
        return {i: status for i, (how, status) in self.outcomes.items() if how == method}

    def statuses(self, method: str) -> set[int]:
        return set(self.of(method).values())


def request(method: str, path: str, number: str) -> bytes:
    """A request with a body of two bytes, or without one if it is a GET."""
    body = b"" if method in ("GET", "HEAD") else b"hi"
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nX-Id: {number}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def connect(port: int) -> Client:
    """A connection; a worker that was killed may have taken one with it that it never saw."""
    while True:
        try:
            return Client(*await asyncio.open_connection("127.0.0.1", port))
        except ConnectionResetError:
            await asyncio.sleep(0.01)


async def ask(client: Client, method: str, path: str, number: str) -> tuple[int, bytes, bytes]:
    """(status or BROKEN, head, body)."""
    try:
        return await client.ask(request(method, path, number))
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        return BROKEN, b"", b""


async def once(port: int, path: str, number: str, method: str = "POST") -> tuple[int, bytes, bytes]:
    """The same on a connection of its own."""
    client = await connect(port)
    try:
        return await ask(client, method, path, number)
    finally:
        client.close()


_numbers = itertools.count(1)


async def keep_asking(
    port: int, over: Callable[[], bool], path: str = "/ok", clients: int = 16
) -> Asked:
    """GET and POST in turn from so many clients until it is over, each on its connection."""
    asked = Asked()

    async def one() -> None:
        client = await connect(port)
        for method in itertools.cycle(("GET", "POST")):
            if over():
                break
            number = f"{method}-{next(_numbers)}"
            status, head, _ = await ask(client, method, path, number)
            asked.outcomes[number] = (method, status)
            if status == BROKEN or b"Connection: close" in head:
                client.close()
                client = await connect(port)
        client.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return asked
