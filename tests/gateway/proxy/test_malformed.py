"""Malformed messages of either side, over plain connections and TLS: nobody else is troubled."""

import asyncio
import ssl
from collections.abc import Awaitable
from pathlib import Path

import pytest
import trustme

from isocline.gateway.config import BackendAddress, Listener, ProxySettings, Tls
from isocline.gateway.proxy import Proxy
from tests.gateway.proxies import Client, proxying, replaced, run
from tests.gateway.proxy.malforming import REQUESTS, RESPONSES, bad_request, bad_response, serve


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
            proxy.replace(proxy.bridge.core, settings)

            def connect() -> Awaitable[Client]:
                return seen.connect(client_tls)

            if side == "requests":
                said = await asyncio.gather(
                    *(bad_request(connect, *case) for case in REQUESTS.items())
                )
            else:
                # An ejection would turn the answers of others into 503.
                said = []
                for case, name in enumerate(RESPONSES):
                    said.append(await bad_response(connect, name, case))
            assert [words for words in said if words] == []
            assert not any(access.target == b"/smuggled" for access in seen.accesses)
            await seen.settled()
        server.close()

    run(scenario())


def test_there_are_a_hundred_of_each() -> None:
    assert len(REQUESTS) > 100
    assert len(RESPONSES) > 100
