"""Malformed messages of either side, over plain connections and TLS: nobody else is troubled."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
import trustme

from isocline.gateway.proxy import Proxy
from isocline.gateway.settings import BackendAddress, Listener, ProxySettings, Tls
from tests.gateway import malformed
from tests.gateway.proxies import Client, Seen, ok, proxying, replaced, run, value_of

REQUESTS, RESPONSES = malformed.requests(), malformed.responses()


def good(mark: bytes, case: int = -1) -> bytes:
    """A request whose answer is its own mark; with a `case`, that malformed response."""
    head = b"POST /%b HTTP/1.1\r\nHost: a\r\nX-Case: %d\r\nContent-Length: 0\r\n\r\n"
    return head % (mark, case)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A backend that answers with the path, or with the malformed response that is asked for."""
    cases = list(RESPONSES.values())
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            case = int(value_of(head, b"x-case") or b"-1")
            path = head.split(b" ", 2)[1]
            writer.write(ok(path) if case < 0 else cases[case])
            await writer.drain()
    writer.close()


async def own_answer(client: Client, mark: bytes) -> bool:
    status, _, body = await client.ask(good(mark))
    return (status, body) == (200, b"/" + mark)


async def bad_request(seen: Seen, tls: ssl.SSLContext | None, name: str, request: bytes) -> str:
    """What is wrong with how it is refused, or nothing."""
    client = await seen.connect(tls)
    assert await own_answer(client, b"before")
    client.writer.write(request)
    status, head, body = await client.response()
    rest = b""
    with contextlib.suppress(ConnectionError):
        rest = await client.reader.read()
    client.close()
    fair = 400 <= status < 502 and value_of(head, b"connection") == b"close" and not rest
    again = await seen.connect(tls)
    own = await own_answer(again, b"after")
    again.close()
    return "" if fair and own else f"{name}: {status} {head!r} {body!r} {rest!r} {own}"


async def bad_response(seen: Seen, tls: ssl.SSLContext | None, name: str, case: int) -> str:
    """What is wrong with what the client gets, or nothing."""
    client = await seen.connect(tls)
    client.writer.write(good(b"bad", case))
    whole, status = False, 0
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        status, _, _ = await client.response()
        whole = True
    fair = status == 502 if whole else name.startswith("chunks")
    if not whole:
        client.close()
        client = await seen.connect(tls)
    own = await own_answer(client, b"after")
    client.close()
    return "" if fair and own else f"{name}: {status} {whole} {own}"


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("side", ["requests", "responses"])
def test_malformed_messages_trouble_nobody_else(side: str, secure: bool, tmp_path: Path) -> None:
    authority, path, ca = trustme.CA(), str(tmp_path / "own.pem"), str(tmp_path / "ca.pem")
    own = authority.issue_cert("localhost", "127.0.0.1")
    own.private_key_and_cert_chain_pem.write_to_path(path)
    authority.cert_pem.write_to_path(ca)
    backend_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    backend_tls.load_cert_chain(path)
    client_tls = ssl.create_default_context(cafile=ca) if secure else None

    async def scenario() -> None:
        server = await asyncio.start_server(
            serve, "127.0.0.1", 0, ssl=backend_tls if secure else None
        )
        port = server.sockets[0].getsockname()[1]
        url = f"{'https' if secure else 'http'}://localhost:{port}"
        listeners = (Listener(port=0, tls=Tls(path) if secure else None),)
        async with proxying(
            "http://127.0.0.1:1", listeners=listeners, times=replaced(header=5.0)
        ) as (seen, _):
            proxy: Proxy = seen.proxy
            backend = BackendAddress("b0", url, ca_file=ca if secure else None)
            settings = ProxySettings((backend,), proxy.settings.frontends, listeners)
            proxy.replace(proxy.router.core, settings)
            if side == "requests":
                said = await asyncio.gather(
                    *(bad_request(seen, client_tls, *case) for case in REQUESTS.items())
                )
            else:
                # An ejection would turn the answers of others into 503.
                said = []
                for case, name in enumerate(RESPONSES):
                    said.append(await bad_response(seen, client_tls, name, case))
            assert [words for words in said if words] == []
            assert not any(access.target == b"/smuggled" for access in seen.accesses)
            await seen.settled()
        server.close()

    run(scenario())


def test_there_are_a_hundred_of_each() -> None:
    assert len(REQUESTS) > 100
    assert len(RESPONSES) > 100
