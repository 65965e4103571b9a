"""The router before a real llama-server: `make real`.

Skipped without LLAMA_SERVER, the path of a llama-server. MODEL may name a GGUF file, in place of a
tiny model that is made here. STREAMS says how many streams a closed loop is long.
"""

import asyncio
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from isocline.gateway.load_reports import jobs_in_metrics
from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.worker import Worker
from tests.gateway.proxies import Client
from tests.real.tiny_model import write_model

SERVER = os.environ.get("LLAMA_SERVER", "")
STREAMS = int(os.environ.get("STREAMS", "200"))
PARALLEL = 4
PATIENCE = 120.0  # s for anything that should happen
WORDS = " ".join(f"w{i}" for i in range(150))

pytestmark = pytest.mark.skipif(not SERVER, reason="LLAMA_SERVER names no llama-server")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the server listens."""
    folder = tmp_path_factory.mktemp("llama")
    model = os.environ.get("MODEL", "")
    if not model:
        model = str(folder / "tiny.gguf")
        write_model(Path(model))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    libraries = f"{Path(SERVER).parent}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    command = [SERVER, "-m", model, "--host", "127.0.0.1", "--port", str(port), "--metrics"]
    command += ["--parallel", str(PARALLEL), "-c", "8192", "-t", "1", "-tb", "1"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "LD_LIBRARY_PATH": libraries}
        )
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def until(true: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.1)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario

    uvloop.run(bounded())


@asynccontextmanager
async def routing(folder: Path, url: str, serve: str = "{}") -> AsyncIterator[Worker]:
    """A router that knows of the server nothing but its address."""
    file = folder / "system.yaml"
    file.write_text(
        f"kind: routing\nbackends: [{{name: llama, url: '{url}'}}]\n"
        f"frontends: [{{name: all, backends: [llama]}}]\nserve: {serve}\n"
    )
    worker = Worker(read(file, Overrides(listen="127.0.0.1:0")))
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop(1.0)


async def connect(port: int) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port))


def port_of(it: Worker | str) -> int:
    return int(it.rpartition(":")[2]) if isinstance(it, str) else it.addresses[0][2]


def post(tokens: int, prompt: str = "one two", **more: object) -> bytes:
    said = {"messages": [{"role": "user", "content": prompt}], "max_tokens": tokens}
    body = json.dumps({**said, "cache_prompt": False, **more}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def jobs_at(url: str) -> int:
    """The server's own count."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5.0) as answer:
        jobs = jobs_in_metrics(answer.read().decode(), "llama.cpp")
    assert jobs is not None
    return jobs


def test_the_workload_is_the_servers_own(url: str, tmp_path: Path) -> None:
    """Of others' requests, some of which wait at the server, and of ours."""

    async def scenario() -> None:
        async with routing(tmp_path, url, "{poll: {every: 0.1}}") as worker:
            others = [await connect(port_of(url)) for _ in range(PARALLEL + 1)]
            ours = [await connect(port_of(worker)) for _ in range(2)]
            for client in (*others, *ours):
                client.writer.write(post(1500, stream=True))
            wanted = len(others) + len(ours)
            while True:
                there = await asyncio.to_thread(jobs_at, url)
                live = worker.snapshot().backends["llama"].live
                assert live is not None
                if (there, live.workload) == (wanted, wanted):
                    break
                await asyncio.sleep(0.02)
            assert live.in_flight == len(ours)
            for client in (*others, *ours):
                client.close()

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_those_of_usage(url: str, tmp_path: Path, stream: bool) -> None:
    """Nobody asks for `usage` in a stream; llama.cpp's is that of one of three choices."""

    async def scenario() -> None:
        async with routing(tmp_path, url, "{learn: {work: tokens}}") as worker:
            client = await connect(port_of(worker))
            for choices in (1, 3):
                sent = post(20, stream=stream, n=choices)
                status, head, _ = await client.ask(sent)
                assert status == 200
                if b"close" in head.lower() or stream:
                    client.close()
                    await asyncio.sleep(0.05)
                    client = await connect(port_of(worker))
            client.close()
            learned = worker.learned()
            assert learned is not None
            (frontend,) = learned.frontends
            assert (frontend.requests, frontend.work) == (2, (20 + 60) / 2)

    run(scenario())


def test_the_time_to_first_token_is_the_clients(url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        seconds = []
        async with routing(tmp_path, url) as worker:
            for _ in range(10):
                await asyncio.sleep(0.05)  # the server closes its connection after each stream
                client = await connect(port_of(worker))
                began = time.monotonic()
                client.writer.write(post(5, WORDS, stream=True))
                head = await client.reader.readuntil(b"\r\n\r\n")
                assert b" 200 " in head
                while b'"content":"' not in await client.reader.readuntil(b"\n"):
                    pass
                seconds.append(time.monotonic() - began)
                await client.reader.readuntil(b"0\r\n\r\n")
                client.close()
            pair = worker.snapshot().pairs["all"]["llama"]
            assert pair.first_token.total == len(seconds)
            assert pair.first_token.mean == pytest.approx(sum(seconds) / len(seconds), rel=0.1)
            assert pair.first_token.mean is not None
            assert pair.duration.mean is not None
            assert pair.first_token.mean < pair.duration.mean

    run(scenario())


def test_streams_in_a_closed_loop_all_end_well(url: str, tmp_path: Path) -> None:
    """llama-server closes its connection right after a stream, whatever it has said before."""

    async def scenario() -> None:
        statuses: Counter[int] = Counter()

        async def loop(worker: Worker, times: int) -> None:
            client = await connect(port_of(worker))
            for number in range(times):
                status, _, body = await client.ask(post(1 + number % 5, stream=True))
                statuses[status] += 1
                assert status != 200 or b"[DONE]" in body
            client.close()

        async with routing(tmp_path, url) as worker:
            await asyncio.gather(*(loop(worker, STREAMS // PARALLEL) for _ in range(PARALLEL)))
        assert statuses == {200: STREAMS // PARALLEL * PARALLEL}

    run(scenario())
