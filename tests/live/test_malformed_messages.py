"""Malformed messages of either side under TLS, before two workers: nobody else is troubled."""

import asyncio
import ssl
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import pytest
import trustme

from tests.gateway.proxies import Client, listening, refusing_port
from tests.gateway.proxy.malforming import (
    REQUESTS,
    RESPONSES,
    Connect,
    bad_request,
    bad_response,
    serve,
)
from tests.gateway.proxy.test_smuggling import CASES, bytes_of
from tests.live.processes import TIMES, Live, serving, soon, system

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/net/tcp").exists(), reason="connections are counted in /proc"
)
AT_ONCE = 8


class Backend:
    """Answers with what it is asked for (`malforming.serve`), and notes each request."""

    def __init__(self, tls: ssl.SSLContext, port: int) -> None:
        self.port = port
        self.requests: list[bytes] = []
        self._tls = tls

    def listening(self) -> AbstractAsyncContextManager[int]:
        return listening(self._serve, self.port, ssl=self._tls, reuse_port=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer, self.requests)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Backend, Connect]]:
    """Two workers with TLS on both sides, where no response ejects the backend."""
    folder = tmp_path_factory.mktemp("secured")
    authority, own, ca = trustme.CA(), folder / "own.pem", folder / "ca.pem"
    held = ExitStack()
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(own)
    )
    inward = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    inward.load_cert_chain(own)
    outward = ssl.create_default_context(cafile=ca)
    port = held.enter_context(refusing_port())
    backend = Backend(inward, port)
    content = system(
        {"b": f"https://localhost:{backend.port}"},
        workers=2,
        times=TIMES | {"linger": 0.05},  # TLS cannot close one direction alone
        ejection={"failures": 1_000_000, "rate": 1.0, "least": 1_000_000},
    )
    content["backends"][0]["ca_file"] = str(ca)

    async def connect() -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", live.port, ssl=outward))

    with held, serving(folder, content, tls={"certificate": str(own)}) as live:
        yield live, backend, connect


def run(secured: tuple[Live, Backend, Connect], clients: Iterable[Awaitable[str]]) -> None:
    """All of these clients are content, few at a time, and nothing is left of them."""
    live, backend, _ = secured

    async def scenario() -> None:
        async with backend.listening():
            await all_of_them(asyncio.Semaphore(AT_ONCE))

    async def all_of_them(room: asyncio.Semaphore) -> None:
        async def in_turn(client: Awaitable[str]) -> str:
            async with room:
                return await client

        said = await asyncio.gather(*map(in_turn, clients))
        assert [words for words in said if words] == []
        assert backend.requests
        assert not any(b"/smuggled" in request for request in backend.requests)
        await soon(lambda: counters(live) == {0}, f"counters are {counters(live)}")
        await live.nothing_left()

    asyncio.run(scenario())


def counters(live: Live) -> set[float]:
    """Everything that is under way, as the router counts it."""
    said = live.statistics
    keys = ("in_flight", "workload")
    at_backends = {backend[key] for backend in said["backends"] for key in keys}
    at_frontends = {it[key] for it in said["frontends"] for key in ("waiting", "held")}
    return at_backends | at_frontends | {said["client_connections"], said["tunnels"]}


def test_malformed_requests(secured: tuple[Live, Backend, Connect]) -> None:
    corpus = {case["name"]: bytes_of(case) for case in CASES}
    run(secured, (bad_request(secured[2], *case) for case in (REQUESTS | corpus).items()))


def test_malformed_responses(secured: tuple[Live, Backend, Connect]) -> None:
    run(secured, (bad_response(secured[2], name, i) for i, name in enumerate(RESPONSES)))
