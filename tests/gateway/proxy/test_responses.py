"""Responses that break off, come in parts, or are not quite HTTP."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from isocline.gateway.config import (
    BackendAddress,
    Listener,
    ProxySettings,
    Tls,
)
from isocline.gateway.proxy import Proxy
from tests.gateway.proxies import (
    RESTED,
    Backend,
    Client,
    Handler,
    listening,
    ok,
    proxying,
    read_request,
    replaced,
    run,
    saying,
    value_of,
)
from tests.gateway.proxy.test_timeouts import LATE, Scripted, told, until
from tests.live.memory_loop import run_in_memory
from tests.live.memory_proxy import Speaker, proxied

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LINGER = 60.0  # s; the proxy closes its connection as soon as it has the whole response
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nabc"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> str:
    path = str(tmp_path / "server.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        path
    )
    return path


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# Where the close is the end, what breaks off must not close


def breaking(part: bytes, end: asyncio.Event) -> Callable[[Backend], Handler]:
    """A backend that sends this part and is reset when told."""

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)
            writer.write(part)
            await end.wait()
            linger_none(writer)
            writer.transport.abort()

        return handle

    return handler


def linger_none(writer: asyncio.StreamWriter) -> None:
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def expect_reset(client: Client) -> None:
    """Of the body the first part, then a reset: what is on its way is lost."""
    await client.reader.readuntil(b"abc")
    with pytest.raises((ConnectionResetError, ssl.SSLError)):
        await client.reader.read()


@pytest.mark.parametrize("part", [CHUNKED, UNTIL_CLOSE])
@pytest.mark.parametrize("secure", [False, True])
def test_a_broken_response_to_http_1_0_is_reset(
    part: bytes, secure: bool, certificate: str, trusting: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        end = asyncio.Event()
        listener = Listener(port=0, tls=Tls(certificate) if secure else None)
        async with proxying(breaking(part, end), listeners=(listener,)) as (seen, _):
            client = await seen.connect(trusting if secure else None)
            client.writer.write(OLD)
            await client.reader.readuntil(b"\r\n\r\n")
            end.set()
            await expect_reset(client)
            await seen.settled()
            client.close()

    run(scenario())


def test_a_response_to_http_1_0_that_time_or_a_stop_ends_is_reset() -> None:
    async def scenario() -> None:
        end, times = asyncio.Event(), replaced(total=600.0)
        async with proxying(breaking(CHUNKED, end), times=times) as (seen, _):
            client = await seen.connect()
            client.writer.write(OLD)
            await client.reader.readuntil(b"\r\n\r\n")
            seen.clock.skip(times.idle)
            await expect_reset(client)
            assert "stood still" in seen.accesses[-1].reason
            client.close()
            end.set()
        end.clear()
        async with proxying(breaking(CHUNKED, end)) as (seen, _):
            client = await seen.connect()
            client.writer.write(OLD)
            await client.reader.readuntil(b"\r\n\r\n")
            await seen.proxy.stop(0.0)
            await expect_reset(client)
            client.close()
            end.set()

    run(scenario())


def test_a_whole_response_to_http_1_0_ends_with_a_close() -> None:
    async def scenario() -> None:
        async with proxying(saying(CHUNKED + b"0\r\n\r\n")) as (seen, _):
            client = await seen.connect()
            assert (await client.ask(OLD))[2] == b"abc"
            client.close()

    run(scenario())


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("request_", [GET, OLD])
def test_within_tls_only_the_backend_can_say_that_its_response_is_whole(
    clean: bool, request_: bytes, certificate: str, authority: trustme.CA, tmp_path: Path
) -> None:
    ca = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(ca)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(UNTIL_CLOSE)
        await writer.drain()
        if clean:
            writer.close()
        else:  # as somebody between could do
            writer.transport.abort()

    async def scenario() -> None:
        async with (
            listening(handle, ssl=context) as port,
            proxying("http://127.0.0.1:1") as (seen, _),
        ):
            backend = BackendAddress("b0", f"https://localhost:{port}", ca_file=ca)
            proxy: Proxy = seen.proxy
            settings = ProxySettings((backend,), proxy.settings.frontends, (Listener(port=0),))
            proxy.replace(proxy.bridge.core, settings)
            client = await seen.connect()
            whole = True
            try:
                assert (await client.ask(request_))[2] == b"abc"
            except (ConnectionError, asyncio.IncompleteReadError, ValueError):
                whole = False
            assert whole == clean

    run(scenario())


# 1xx


def test_limits_and_times_follow_the_final_response() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"

    async def scenario() -> None:
        scripts = iter([[(100.0, hints)] * 3, [(100.0, hints)] * 5 + [(50.0, OK)]])
        async with proxied(lambda: Scripted(*next(scripts))) as made:
            silent, answered = Speaker(), Speaker()
            await told(made, silent, GET)
            passed = await until(lambda: silent.ended or b" 504 " in silent.data)
            assert 600.0 <= passed <= 600.0 + LATE  # not 300 s, `idle`, after the last of them
            assert made.accesses[0].first_byte is None
            await told(made, answered, GET)
            await until(lambda: answered.data.endswith(OK))
            access = made.accesses[1]
            assert access.first_byte is not None
            assert 549.0 < access.first_byte - access.arrived < 551.0
            assert answered.data.count(hints) == 5

    run_in_memory(scenario())


def test_interim_responses_are_signs_of_life_during_an_upload() -> None:
    working = b"HTTP/1.1 102 Processing\r\n\r\n"

    async def scenario() -> None:
        async with proxied(lambda: Scripted((200.0, working), (200.0, working))) as made:
            client = Speaker()
            await told(made, client, POST[:-1])
            passed = await until(lambda: b" 408 " in client.data)
            assert 700.0 <= passed <= 700.0 + LATE  # `idle`, 300 s, after the last of them

    run_in_memory(scenario())


def test_there_may_be_only_so_many_interim_responses() -> None:
    async def scenario() -> None:
        many = b"HTTP/1.1 102 Processing\r\n\r\n" * 101 + OK
        async with proxied(lambda: Scripted((0.0, many))) as made:
            client = Speaker()
            await told(made, client, GET)
            await until(lambda: b" 502 " in client.data)

    run_in_memory(scenario())


# Framing


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\n\r\nstray",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nstray\r\n0\r\n\r\n",
    ],
)
def test_after_a_204_with_a_body_its_connection_is_not_used(framing: bytes) -> None:
    def late(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                if len(backend.heads) > 1:
                    writer.write(ok(b"own"))
                    continue
                head, _, body = framing.partition(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 204 No Content\r\n" + head + b"\r\n\r\n")
                with contextlib.suppress(asyncio.IncompleteReadError):
                    backend.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(body)  # where the next response should stand

        return handle

    async def scenario() -> None:
        async with proxying(late) as (seen, [backend]):
            client = await seen.connect()
            status, head, _ = await client.ask(GET)
            assert status == 204
            assert value_of(head, b"content-length") is None
            assert value_of(head, b"transfer-encoding") is None
            seen.clock.skip(RESTED)
            assert (await client.ask(GET))[2] == b"own"
            assert backend.connections == 2
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "bare CR or LF"),
        (b"HTTP/1.1 200 OK\rContent-Length: 2\r\rok", "bare CR or LF"),
        (b"220 mail.example.org ESMTP\r\n", "status line"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "status line"),  # HTTP/2 without TLS
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 60_000 + b"\r\nContent-Length: 2\r\n\r\nok", "32768"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 60_000, "32768"),
    ],
)
def test_what_cannot_be_a_response_is_refused_at_once(said: bytes, reason: str) -> None:
    async def scenario() -> None:
        async with proxied(lambda: Scripted((0.0, said))) as made:
            client = Speaker()
            passed = await told(made, client, GET)
            assert client.data.startswith(b"HTTP/1.1 502 ")
            assert passed < 1.0
            assert reason in made.accesses[0].reason

    run_in_memory(scenario())


# A response while the request is still being sent


def refuse(listener: socket.socket, lingers: bool) -> None:
    """Refuse each body after its first part, and close: with a reset, as more has come.

    In a thread of its own, so that what it does may fall between any two steps of the proxy.
    """
    with contextlib.suppress(OSError):  # the listener is closed
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(LINGER)
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (piece := connection.recv(65_536)):
                        break
                    head += piece
                connection.sendall(REFUSAL)
                while lingers and connection.recv(65_536):
                    pass


@pytest.mark.parametrize("lingers", [True, False])
@pytest.mark.parametrize("secure", [False, True])
def test_an_early_response_is_passed_on_though_the_backend_closes(
    lingers: bool, secure: bool, certificate: str, authority: trustme.CA, tmp_path: Path
) -> None:
    ca = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(ca)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    if secure:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        listener = context.wrap_socket(listener, server_side=True)
    thread = threading.Thread(target=refuse, args=(listener, lingers), daemon=True)
    thread.start()

    async def scenario() -> None:
        url = f"{'https' if secure else 'http'}://localhost:{port}"
        async with proxying("http://127.0.0.1:1") as (seen, _):
            proxy: Proxy = seen.proxy
            backend = BackendAddress("b0", url, ca_file=ca)
            settings = ProxySettings((backend,), proxy.settings.frontends, (Listener(port=0),))
            proxy.replace(proxy.bridge.core, settings)
            got = []
            for _ in range(5):
                client = await seen.connect()
                client.writer.write(
                    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n"
                )
                sending = asyncio.ensure_future(upload(client))
                status, _, body = await client.response()
                got.append((status, body))
                await sending
                client.close()
            if secure and not lingers:  # a reset may come between what is read and what is written
                got = [(413, b"no") if status == 502 else (status, body) for status, body in got]
            assert got == [(413, b"no")] * 5

    try:
        run(scenario())
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # which ends `accept`
        listener.close()
        thread.join()


async def upload(client: Client) -> None:
    with contextlib.suppress(ConnectionError):
        for _ in range(40):
            client.writer.write(b"x" * 100_000)
            await client.writer.drain()
            await asyncio.sleep(0)
