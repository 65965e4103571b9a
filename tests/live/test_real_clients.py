"""Clients that others wrote, through a real router: openai, curl, wrk, websockets."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import openai
import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.sync.server import ServerConnection, serve

from tests.emulator.running import emulated
from tests.live.processes import CURVE, Live, counting, serving

CURL, WRK = shutil.which("curl"), shutil.which("wrk")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not here")
needs_wrk = pytest.mark.skipif(WRK is None, reason="wrk is not here")
ASK: Any = [{"role": "user", "content": "hello"}]
BODY = bytes(range(256)) * 2000  # more than is kept of a request, and than one buffer


def echo(connection: ServerConnection) -> None:
    """Says everything again, and closes when asked to."""
    for message in connection:
        if message == "close":
            connection.close(4001, "as you wish")
            break
        connection.send(message)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A router before an emulated model server, a WebSocket server, and a server of our own."""
    folder = tmp_path_factory.mktemp("clients")
    with (
        emulated("--model", "tiny") as model,
        counting(folder, "plain") as [plain],
        serve(echo, "127.0.0.1", 0, compression=None) as sockets,
    ):
        thread = Thread(target=sockets.serve_forever)
        thread.start()
        urls = {
            "model": f"http://{model}",
            "sockets": f"http://127.0.0.1:{sockets.socket.getsockname()[1]}",
            "plain": f"http://127.0.0.1:{plain.port}",
        }
        paths = {"model": "/v1", "sockets": "/ws", "plain": "/plain"}
        content = {
            "kind": "routing",
            # Polls would keep connections of their own open.
            "backends": [
                {"name": name, "url": url, "curve": CURVE, "report": "orca"}
                for name, url in urls.items()
            ],
            "frontends": [
                {"name": name, "rate": 1.0, "backends": [name], "match": {"path": path}}
                for name, path in paths.items()
            ],
            "serve": {"health": "off", "times": {"pool": 0.5}},
        }
        try:
            with serving(folder, content) as live:
                yield live
                asyncio.run(live.nothing_left())
        finally:
            sockets.shutdown()
            thread.join()


# openai


def openai_client(live: Live, path: str = "/v1") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{live.port}{path}", api_key="sk-0", max_retries=0
    )


def test_openai_asks_and_streams(live: Live) -> None:
    async def streamed(client: openai.AsyncOpenAI, tokens: int) -> tuple[int, str | None]:
        stream: Any = await client.chat.completions.create(
            model="tiny", messages=ASK, max_tokens=tokens, stream=True
        )
        pieces = [chunk.choices[0] async for chunk in stream if chunk.choices]
        return sum(bool(piece.delta.content) for piece in pieces), pieces[-1].finish_reason

    async def scenario() -> None:
        async with openai_client(live) as client:
            assert [model.id async for model in client.models.list()] == ["tiny"]
            whole = await client.chat.completions.create(model="tiny", messages=ASK, max_tokens=7)
            assert whole.usage
            assert whole.usage.completion_tokens == 7
            assert whole.choices[0].message.content
            counts = range(1, 21)
            streams = await asyncio.gather(*(streamed(client, n) for n in counts))
            assert streams == [(n, "length") for n in counts]

    asyncio.run(scenario())


def test_openai_understands_what_the_router_and_the_backend_refuse(live: Live) -> None:
    async def scenario() -> None:
        async with openai_client(live, "/nowhere") as client:
            with pytest.raises(openai.NotFoundError, match="no frontend"):
                await client.models.list()
        async with openai_client(live) as client:
            with pytest.raises(openai.NotFoundError, match="huge"):
                await client.chat.completions.create(model="huge", messages=ASK)

    asyncio.run(scenario())


# curl


def curl(
    live: Live, path: str, *options: str, body: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    assert CURL
    url = f"http://127.0.0.1:{live.port}/plain{path}"
    command = [CURL, "--silent", "--show-error", "--max-time", "100", *options, url]
    return subprocess.run(command, input=body, capture_output=True, check=True, timeout=120)


@needs_curl
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data-binary", "@-", "-H", "Expect:"], b"0"),
        (["--data-binary", "@-", "-H", "Expect: 100-continue"], b"1"),
        (["--upload-file", "-", "-H", "Expect:"], b"0"),  # chunked, as its length is not known
        (["--upload-file", "-", "-H", "Expect: 100-continue"], b"1"),
        (["--data-binary", "@-", "-H", "Expect:", "--http1.0"], b"0"),
    ],
)
def test_curl_gets_back_what_it_uploads(
    live: Live, tmp_path: Path, options: list[str], expected: bytes
) -> None:
    heads = tmp_path / "heads"
    # Longer than it takes on any machine: a 100 that does not come is a failure, not a wait.
    options = [*options, "--expect100-timeout", "90", "--dump-header", str(heads)]
    assert curl(live, "/echo", *options, body=BODY).stdout == BODY
    said = heads.read_bytes()
    assert said.count(b"HTTP/1.1 100 Continue") == int(expected)
    assert b"X-Expected: " + expected in said


@needs_curl
def test_curl_asks_for_heads_and_keeps_its_connection(live: Live) -> None:
    head = curl(live, "/ok", "--head").stdout
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 2\r\n" in head
    again = f"http://127.0.0.1:{live.port}/plain/ok"
    asked = curl(live, "/ok", "--write-out", " %{num_connects} ", again)
    assert asked.stdout == b"ok 1 ok 0 "


@needs_curl
def test_curl_gets_trailers(live: Live) -> None:
    said = curl(live, "/trailers", "--include", "--raw").stdout
    assert said.endswith(b"data: x\n\n\r\n0\r\nX-End: yes\r\n\r\n")


# wrk


@needs_wrk
def test_wrk_finds_no_error(live: Live) -> None:
    assert WRK
    url = f"http://127.0.0.1:{live.port}/plain/ok"
    command = [WRK, "--threads", "1", "--connections", "64", "--duration", "1s", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    requests = re.search(r"(\d+) requests in", said)
    assert requests, said
    assert int(requests[1]) > 0, said
    assert "Socket errors" not in said
    assert "Non-2xx" not in said


# websockets


def test_a_websocket_passes_both_ways_and_closes_with_its_code(live: Live) -> None:
    async def scenario() -> None:
        async with connect(f"ws://127.0.0.1:{live.port}/ws/echo", compression=None) as socket:
            for message in ("hello", b"\x00\xff", "x" * 700_000, ""):
                await socket.send(message)
                assert await socket.recv() == message
            await (await socket.ping())
            assert live.in_flight >= 1  # it occupies its backend
            await socket.send("close")
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await socket.recv()
            assert closed.value.rcvd
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you wish")

    asyncio.run(scenario())
