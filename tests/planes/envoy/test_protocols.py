"""Protocols: TLS and HTTP/2 on both sides of a real Envoy, and gRPC through it.

One Envoy is both sides: its listener `outer` sends to its listener `inner`, by TLS and HTTP/2.
"""

import asyncio
import json
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_connection, create_server
from typing import Any

import pytest
import trustme

from tests.gateway.proxies import Client
from tests.live.asking import request
from tests.live.processes import counting, until
from tests.planes.envoy.live_planes import TIMES, needs_envoy, plane

CURVE = {"type": "hyperbolic", "peak": 200.0, "half": 4.0}
METHOD = "/test.Echo/Say"

pytestmark = needs_envoy


def free_port() -> int:
    with closing(create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def echoing(grpc: Any) -> Iterator[int]:
    """A gRPC server that sends back each message of a stream, and ends with trailers."""

    def say(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for message in messages:
            yield message[::-1]
        context.set_trailing_metadata((("x-end", "yes"),))

    handler = grpc.stream_stream_rpc_method_handler(say)
    server = grpc.server(ThreadPoolExecutor(2))
    service = grpc.method_handlers_generic_handler("test.Echo", {"Say": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def chained(folder: Path, ports: dict[str, int], ca: Path, certificate: Path) -> dict[str, Any]:
    tls = {"certificate": str(certificate)}
    inner = f"https://localhost:{ports['inner']}"
    return {
        "kind": "routing",
        "backends": [
            {"name": "inner", "url": inner, "curve": CURVE, "http2": True, "ca_file": str(ca)},
            {"name": "last", "url": f"http://127.0.0.1:{ports['last']}", "curve": CURVE},
            {
                "name": "echo",
                "url": f"http://127.0.0.1:{ports['echo']}",
                "curve": CURVE,
                "http2": True,
            },
        ],
        "frontends": [
            {"name": "outer", "match": {"listener": "outer"}, "backends": ["inner"]},
            {"name": "rpc", "match": {"path": "/test.Echo"}, "backends": ["echo"]},
            {"name": "rest", "backends": ["last"]},
        ],
        "serve": {
            "listen": [
                {"name": "outer", "address": "127.0.0.1:0", "tls": tls},
                {"name": "inner", "address": f"127.0.0.1:{ports['inner']}", "tls": tls},
            ],
            "times": TIMES,
            "access_log": str(folder / "log"),
        },
    }


def test_http2_and_grpc_pass_by_tls_through_two_listeners(tmp_path: Path) -> None:
    grpc = pytest.importorskip("grpc")
    authority, own, ca = trustme.CA(), tmp_path / "own.pem", tmp_path / "ca.pem"
    issue(authority, own)
    authority.cert_pem.write_to_path(str(ca))
    with counting(tmp_path, "last") as (last,), echoing(grpc) as echo:
        ports = {"inner": free_port(), "last": last.port, "echo": echo}
        with plane(tmp_path, chained(tmp_path, ports, ca, own)) as live:
            context = ssl.create_default_context(cafile=str(ca))
            assert asyncio.run(_asked(live.port, context)) == (200, b"hi")
            assert last.executed == ["one"]
            credentials = grpc.ssl_channel_credentials(ca.read_bytes())
            with grpc.secure_channel(f"localhost:{live.port}", credentials) as channel:
                call = channel.stream_stream(METHOD)(iter([b"abc", b"de"]))
                assert list(call) == [b"cba", b"ed"]
                assert dict(call.trailing_metadata())["x-end"] == "yes"
            log = tmp_path / "log"
            until(lambda: len(log.read_text().splitlines()) >= 4, log.read_text)
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            seen = {(it["frontend"], it["backend"], it["protocol"]) for it in lines}
            assert seen == {
                ("outer", "inner", "HTTP/1.1"),
                ("outer", "inner", "HTTP/2"),
                ("rest", "last", "HTTP/2"),
                ("rpc", "echo", "HTTP/2"),
            }
            before = shown(live.port, context)
            issue(authority, own)  # a renewal
            until(lambda: shown(live.port, context) != before, lambda: live.said)
            assert asyncio.run(_asked(live.port, context)) == (200, b"hi")


def issue(authority: trustme.CA, file: Path) -> None:
    """Write a new certificate with its key, which is there as a whole at any moment."""
    draft = file.with_suffix(".draft")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(draft))
    draft.replace(file)


def shown(port: int, context: ssl.SSLContext) -> bytes | None:
    """Certificate that a listener shows."""
    with (
        create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.getpeercert(binary_form=True)


async def _asked(port: int, context: ssl.SSLContext) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    status, _, body = await Client(reader, writer).ask(request("POST", "/echo", "one"))
    writer.close()
    await writer.wait_closed()
    return status, body
