"""Who may come in, where a request belongs, and connections that become something else."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trustme
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from isocline.errors import UsageError
from isocline.gateway.config import (
    BackendAddress,
    FrontendRule,
    Listener,
    ProxySettings,
    Tls,
    digest,
)
from isocline.gateway.proxy import Proxy
from isocline.model.match import Match
from tests.gateway.proxies import (
    listening,
    ok,
    proxying,
    replaced,
    run,
    saying,
    serving,
    until,
    value_of,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
# By `openssl genpkey -algorithm ED25519 -aes128`.
ENCRYPTED = b"""-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi9kz3FIGQ/gQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEJkqN7/kbTCi9PdUDbC3oAYEQP/q
cPvthksp0kSecNi0w2oi1i0DwwR+pLFeo0XENADz1h23loJR4w7gikqUdQ5QZs0A
Nbg2yunSPeogKH4NWJc=
-----END ENCRYPTED PRIVATE KEY-----
"""


def post(body: bytes, *fields: bytes) -> bytes:
    lines = [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: %d" % len(body), *fields, b"", body]
    return b"\r\n".join(lines)


# API keys


BEARER, API_KEY = b"Authorization: Bearer ", b"x-api-key: "


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        ([BEARER + b"right"], 200),
        ([b"Authorization: bearer  other"], 200),
        ([BEARER + b"wrong"], 401),
        ([b"Authorization: Basic right"], 401),
        ([b"Authorization: Bearer"], 401),
        ([b"Authorization: "], 401),
        ([], 401),
        ([API_KEY + b"right"], 200),
        ([b"X-Api-Key:other "], 200),
        ([API_KEY + b"wrong"], 401),
        ([API_KEY], 401),
        ([API_KEY + b"Bearer right"], 401),
        ([b"x_api_key: right"], 401),
        ([BEARER + b"right", API_KEY + b"wrong"], 200),
        ([BEARER + b"wrong", API_KEY + b"right"], 200),
        ([BEARER + b"wrong", API_KEY + b"wrong"], 401),
        ([API_KEY + b"right", API_KEY + b"right"], 400),
    ],
)
def test_keys_open_the_door_and_stay_there(shown: list[bytes], status: int) -> None:
    async def scenario() -> None:
        keys = (digest("right"), digest("other"))
        async with proxying(saying(ok()), key_digests=keys) as (seen, [backend]):
            client = await seen.connect()
            got = await client.ask(post(b"x", *shown))
            assert got[0] == status
            assert (value_of(got[1], b"www-authenticate") is None) == (status != 401)
            assert all(b"right" not in head and b"wrong" not in head for head in backend.heads)
            assert len(backend.heads) == (status == 200)
            client.close()

    run(scenario())


def test_without_keys_a_clients_key_is_the_backends() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok())) as (seen, [backend]):
            client = await seen.connect()
            await client.ask(post(b"x", BEARER + b"theirs", API_KEY + b"theirs too"))
            assert value_of(backend.heads[0], b"authorization") == b"Bearer theirs"
            assert value_of(backend.heads[0], b"x-api-key") == b"theirs too"
            client.close()

    run(scenario())


def test_a_backends_own_key_replaces_all_that_a_client_shows() -> None:
    async def scenario() -> None:
        async with serving(saying(ok())) as backend:
            address = BackendAddress(
                "b0", f"http://127.0.0.1:{backend.port}", authorization="Bearer ours"
            )
            async with proxying("http://127.0.0.1:1") as (seen, _):
                before = seen.proxy.settings
                settings = ProxySettings((address,), before.frontends, before.listeners)
                seen.proxy.replace(seen.proxy.bridge.core, settings)
                client = await seen.connect()
                await client.ask(post(b"x", BEARER + b"theirs", API_KEY + b"theirs too"))
                client.close()
            assert value_of(backend.heads[0], b"authorization") == b"Bearer ours"
            assert value_of(backend.heads[0], b"x-api-key") is None

    run(scenario())


# Frontends


def test_the_model_of_the_body_chooses_the_frontend() -> None:
    frontends = [
        FrontendRule("large", Match(model="large*")),
        FrontendRule("small", Match(model="small")),
    ]

    async def scenario() -> None:
        async with proxying(
            saying(ok(b"large")),
            saying(ok(b"small")),
            frontends=frontends,
            neighbours=[[0], [1]],
        ) as (seen, backends):
            client = await seen.connect()
            for model in (b"large", b"small"):
                body = b'{"messages": [{"model": "none"}], "model": "%b"}' % model
                assert (await client.ask(post(body)))[2] == model
            head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.writer.write(head + b'2\r\n{"\r\n')
            await asyncio.sleep(0.01)
            client.writer.write(b'e\r\nmodel":"small"\r\n1\r\n}\r\n0\r\n\r\n')
            backends[1].heads.clear()
            # The fake server does not read chunks; what it was sent is told by its head.
            while not backends[1].heads:
                await asyncio.sleep(0.005)
            client.close()

    run(scenario())


def test_a_client_that_waits_is_asked_for_the_body_that_names_the_model() -> None:
    async def scenario() -> None:
        frontends = [FrontendRule("m", Match(model="m"))]
        async with proxying(saying(ok()), frontends=frontends) as (seen, [backend]):
            client = await seen.connect()
            head = (
                b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n"
            )
            assert (await client.ask(head))[0] == 100
            assert (await client.ask(b'{"model":"m"}'))[0] == 200
            assert value_of(backend.heads[0], b"expect") is None
            assert backend.bodies == [b'{"model":"m"}']
            client.close()

    run(scenario())


def test_host_path_and_header_choose_the_frontend() -> None:
    frontends = [
        FrontendRule("host", Match(host="*.example.org")),
        FrontendRule("path", Match(path="/v1")),
        FrontendRule("header", Match(headers={"X-Team": "a*"})),
    ]

    async def scenario() -> None:
        async with proxying(saying(ok()), frontends=frontends) as (seen, _):
            client = await seen.connect()
            cases = [
                (b"/v10", b"eu.Example.org:80", b"", "host"),
                (b"/v1/models", b"a", b"", "path"),
                (b"/v1?x", b"a", b"", "path"),
                (b"/v10", b"a", b"X-Team: ab\r\n", "header"),
                (b"/v10", b"a", b"X-Team: b\r\n", None),
            ]
            for path, host, field, name in cases:
                request = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path, host, field)
                status = (await client.ask(request))[0]
                assert status == (200 if name else 404)
                number = seen.accesses[-1].frontend
                assert (frontends[number].name if number >= 0 else None) == name
            client.close()

    run(scenario())


def test_listeners_choose_the_frontend() -> None:
    listeners = (Listener(port=0, name="in"), Listener(port=0, name="out"))
    frontends = [FrontendRule("f", Match(listener="out"))]

    async def scenario() -> None:
        async with proxying(saying(ok()), frontends=frontends, listeners=listeners) as (seen, _):
            statuses = []
            for _, host, port in seen.proxy.addresses:
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    statuses.append((await reader.read())[9:12])
                finally:
                    writer.close()
            assert statuses == [b"404", b"200"]

    run(scenario())


# What a response tells of its backend's load


def test_load_in_head_and_trailers_reaches_the_core() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nEndpoint-Load-Metrics: 9\r\n\r\n"
    )

    async def scenario() -> None:
        async with proxying(
            saying(ok(b"", b"Endpoint-Load-Metrics: 7"), chunked), read_load=int
        ) as (
            seen,
            _,
        ):
            client = await seen.connect()
            workloads = []
            for _ in range(2):
                _, head, _ = await client.ask(post(b""))
                assert b"load" not in head.lower()
                await seen.settled()
                workloads.append(seen.proxy.bridge.core.workload(0, 0.0)[0])
            assert workloads[1] == workloads[0] + 2
            client.close()

    run(scenario())


# Upgraded connections


def test_websockets_pass_and_count_as_one_job_while_they_last() -> None:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def scenario() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with proxying(f"http://127.0.0.1:{port}") as (seen, _):
                async with connect(f"ws://127.0.0.1:{seen.port}/", compression=None) as socket:
                    for message in ("hello", "x" * 1_000_000):
                        await socket.send(message)
                        assert await socket.recv() == message
                    assert seen.proxy.bridge.core.in_flight(0) == 1
                await seen.settled()
                assert seen.accesses[-1].upgraded
                assert seen.accesses[-1].returned > 1_000_000

    run(scenario())


def test_an_idle_tunnel_is_closed() -> None:
    async def stay(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async def scenario() -> None:
        async with serve(stay, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with (
                proxying(f"http://127.0.0.1:{port}") as (seen, _),
                connect(f"ws://127.0.0.1:{seen.port}/") as socket,
            ):
                seen.clock.skip(seen.proxy.settings.times.tunnel)
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
                await seen.settled()

    run(scenario())


def test_only_known_protocols_are_changed_to() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok())) as (seen, [backend]):
            client = await seen.connect()
            await client.ask(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
            )
            assert value_of(backend.heads[0], b"upgrade") is None
            assert value_of(backend.heads[0], b"http2-settings") is None
            client.close()

    run(scenario())


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(path)
    )
    return iter([str(path)])


def tls_backend(certificate: str) -> AbstractAsyncContextManager[int]:
    """A backend that speaks TLS; gives its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ok(b"secret"))
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return listening(handle, ssl=context)


def test_tls_on_both_sides(
    authority: trustme.CA, certificate: Iterator[str], tmp_path: Path
) -> None:
    path = next(certificate)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))

    async def scenario() -> None:
        context = ssl.create_default_context(cafile=str(ca))
        listeners = (Listener(port=0, tls=Tls(path)),)
        async with tls_backend(path) as port:
            url = f"https://localhost:{port}"
            known = BackendAddress("b0", url, ca_file=str(ca))
            for backend, status in ((known, 200), (BackendAddress("b0", url), 502)):
                async with proxying("http://127.0.0.1:1", listeners=listeners) as (seen, _):
                    proxy: Proxy = seen.proxy
                    settings = ProxySettings((backend,), proxy.settings.frontends, listeners)
                    proxy.replace(proxy.bridge.core, settings)
                    client = await seen.connect(ssl=context)
                    for _ in range(2):
                        assert (await client.ask(post(b"")))[0] == status
                    client.close()
                    await client.writer.wait_closed()

    run(scenario())


# Settings


def test_settings_say_what_is_wrong(tmp_path: Path) -> None:
    backend = BackendAddress("b", "http://127.0.0.1:1")
    for url in ("127.0.0.1:80", "ftp://a", "http://", "http://a:99999", "http://a/?b"):
        with pytest.raises(UsageError, match=r"url: .* give http://host:port"):
            BackendAddress("b", url)
    with pytest.raises(UsageError, match=r"match\.listener 'x' is not one of default"):
        ProxySettings((backend,), (FrontendRule("f", Match(listener="x")),))
    with pytest.raises(UsageError, match="limit idle = 0: give a number above 0"):
        ProxySettings((backend,), (FrontendRule("f"),), times=replaced(idle=0))
    with pytest.raises(UsageError, match="frontend f is given twice"):
        ProxySettings((backend,), (FrontendRule("f"), FrontendRule("f")))
    with pytest.raises(UsageError, match=r"none\.pem cannot be read: no such file"):
        Tls(str(tmp_path / "none.pem")).context()


def test_certificate_files_say_what_is_wrong_with_which_and_what_to_do(
    authority: trustme.CA, tmp_path: Path
) -> None:
    def pem(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    one, other = authority.issue_cert("a"), authority.issue_cert("b")
    certificate = pem("cert.pem", one.cert_chain_pems[0].bytes())
    keys = [pem(f"{i}.key", it.private_key_pem.bytes()) for i, it in enumerate((one, other))]
    locked = pem("locked.key", ENCRYPTED)
    junk, folder, absent = pem("junk.pem", b"junk"), str(tmp_path), str(tmp_path / "absent.pem")
    for pair, says in {
        (absent, keys[0]): f"{absent} cannot be read: no such file or directory; give a PEM file",
        (certificate, absent): f"{absent} cannot be read: no such file or directory; give a PEM",
        (folder, keys[0]): f"{folder} cannot be read: is a directory; give a PEM file",
        (junk, keys[0]): f"{junk} holds no certificate; give",
        (certificate, junk): f"{junk} holds no private key; give",
        (certificate, None): f"{certificate} holds no private key; give",
        (certificate, keys[1]): f"the key in {keys[1]} is not that of {certificate}; give two",
        (certificate, locked): f"{locked} holds an encrypted key; give one without a passphrase",
    }.items():
        with pytest.raises(UsageError) as caught:
            Tls(*pair).context()
        assert str(caught.value).startswith(says)
    Tls(certificate, keys[0]).context()
    remedy = "; give a PEM file with the certificates of the authorities to trust"
    for path, problem in {absent: "cannot be read: no such", junk: "holds no certificate"}.items():
        with pytest.raises(UsageError) as caught:
            BackendAddress("b", "https://a", ca_file=path).context()
        assert str(caught.value).startswith(f"{path} {problem}")
        assert str(caught.value).endswith(remedy)


def test_plain_http_at_a_tls_port_is_answered_and_tls_goes_on(
    authority: trustme.CA, certificate: Iterator[str]
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    listeners = (Listener(port=0, tls=Tls(next(certificate))),)

    async def scenario() -> None:
        async with proxying(saying(ok()), listeners=listeners) as (seen, _):
            plain = await seen.connect()
            status, _, body = await plain.ask(GET)
            assert status == 400
            assert b"https://" in body
            plain.writer.write(GET)  # it does not listen
            with contextlib.suppress(ConnectionError):
                assert await plain.reader.read() == b""
            plain.close()
            client = await seen.connect(ssl=context)
            assert (await client.ask(GET))[0] == 200
            client.close()
            await client.writer.wait_closed()

    run(scenario())


def test_tls_at_a_plain_port_is_named(authority: trustme.CA) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def scenario() -> None:
        async with proxying(saying(ok())) as (seen, _):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await seen.connect(ssl=context)
            await until(lambda: bool(seen.accesses))
            assert seen.accesses[0].status == 400
            assert seen.accesses[0].reason.startswith("TLS came to a port of plain HTTP")

    run(scenario())


@pytest.mark.parametrize(
    ("line", "version"),
    [(b"PRI * HTTP/2.0", "2.0"), (b"GET / HTTP/3.0", "3.0"), (b"GET / HTTP/1.2", "1.2")],
)
def test_another_version_hears_what_is_spoken_here(line: bytes, version: str) -> None:
    async def scenario() -> None:
        async with proxying(saying(ok())) as (seen, _):
            client = await seen.connect()
            status, _, body = await client.ask(line + b"\r\n\r\n")
            assert status == 505
            assert f"HTTP/{version} is not spoken here; use HTTP/1.1".encode() in body
            client.close()

    run(scenario())


def test_a_taken_port_is_a_clear_error() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok())) as (seen, _):
            settings = ProxySettings(
                seen.proxy.settings.backends,
                seen.proxy.settings.frontends,
                (Listener(port=seen.port),),
            )
            with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{seen.port}"):
                await Proxy(seen.proxy.bridge.core, settings).start()

    run(scenario())
