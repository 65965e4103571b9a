"""Clients and a backend that send malformed messages, each followed by a fair request."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from tests.gateway.proxies import Client, ok, value_of
from tests.gateway.proxy import malformed

Connect = Callable[[], Awaitable[Client]]
REQUESTS, RESPONSES = malformed.requests(), malformed.responses()


def good(mark: bytes, case: int = -1) -> bytes:
    """A request whose answer is its own mark; with a `case`, that malformed response."""
    head = b"POST /%b HTTP/1.1\r\nHost: a\r\nX-Case: %d\r\nContent-Length: 0\r\n\r\n"
    return head % (mark, case)


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heads: list[bytes] | None = None
) -> None:
    """A backend that answers with the path, or with the malformed response that is asked for.

    Heads of requests are added to `heads`.
    """
    cases = list(RESPONSES.values())
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if heads is not None:
                heads.append(head)
            case = int(value_of(head, b"x-case") or b"-1")
            path = head.split(b" ", 2)[1]
            writer.write(ok(path) if case < 0 else cases[case])
            await writer.drain()
    writer.close()


async def own_answer(client: Client, mark: bytes) -> bool:
    status, _, body = await client.ask(good(mark))
    return (status, body) == (200, b"/" + mark)


async def bad_request(connect: Connect, name: str, request: bytes) -> str:
    """What is wrong with how it is refused, or nothing."""
    client = await connect()
    assert await own_answer(client, b"before")
    client.writer.write(request)
    status, head, body = await client.response()
    rest = b""
    with contextlib.suppress(ConnectionError):
        rest = await client.reader.read()
    client.close()
    refused = 400 <= status < 502 or status == 505
    fair = refused and value_of(head, b"connection") == b"close" and not rest
    again = await connect()
    own = await own_answer(again, b"after")
    again.close()
    return "" if fair and own else f"{name}: {status} {head!r} {body!r} {rest!r} {own}"


async def bad_response(connect: Connect, name: str, case: int) -> str:
    """What is wrong with what the client gets, or nothing."""
    client = await connect()
    client.writer.write(good(b"bad", case))
    whole, status = False, 0
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        status, _, _ = await client.response()
        whole = True
    fair = status == 502 if whole else name.startswith("chunks")
    if not whole:
        client.close()
        client = await connect()
    own = await own_answer(client, b"after")
    client.close()
    return "" if fair and own else f"{name}: {status} {whole} {own}"
