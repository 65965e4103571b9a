"""Reports and tokens of emulated servers, as the router hears them, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.emulator.serve import Emulator, start
from isocline.emulator.settings import Settings
from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.learned_curves import LearnedCurves, learned_file, write_learned
from isocline.gateway.serve.worker import Worker, read_load
from isocline.model.curves import ServersCurve
from isocline.report.tables.curves import curves_document
from tests.gateway.proxies import Client, proxying, run

QUICK = ServersCurve(1e5, 64)  # tokens/s
SLOW = ServersCurve(20.0, 64)


@asynccontextmanager
async def emulated(settings: Settings) -> AsyncIterator[Emulator]:
    emulator = await start(settings)
    try:
        yield emulator
    finally:
        await emulator.close()


def post(
    tokens: int, stream: bool = False, usage: bool = False, path: str = "completions"
) -> bytes:
    body: dict[str, object] = {"model": "m", "max_tokens": tokens, "stream": stream}
    body |= {"prompt": "one two three"}
    if usage:
        body["stream_options"] = {"include_usage": True}
    data = json.dumps(body).encode()
    return b"POST /v1/%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(data),
        data,
    )


async def connect(port: int) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port))


@pytest.mark.parametrize("stream", [False, True])
def test_a_report_counts_others_exactly(stream: bool) -> None:
    """Two requests of someone else are there, whatever of ours was there when it was made."""

    async def scenario() -> None:
        async with (
            emulated(Settings(SLOW, orca="text", orca_counts="all")) as emulator,
            proxying(f"http://127.0.0.1:{emulator.port}", read_load=read_load) as (seen, _),
        ):
            others = [await connect(emulator.port) for _ in range(2)]
            for other in others:
                other.writer.write(post(10_000))
            while emulator.engine.sharing.running < 2:
                await asyncio.sleep(0.01)
            client = await seen.connect()
            core = seen.proxy.bridge.core
            for _ in range(3):
                assert (await client.ask(post(1, stream)))[0] == 200
                await seen.settled()
                assert core.workload(0, monotonic())[0] == 2
            for one in (client, *others):
                one.close()

    run(scenario())


async def learned_from(folder: Path, port: int, work: str, requests: list[bytes]) -> LearnedCurves:
    file = folder / "fleet.yaml"
    file.write_text(
        f"kind: routing\nbackends: [{{name: a, url: 'http://127.0.0.1:{port}'}}]\n"
        f"frontends: [{{name: all, backends: [a]}}]\nserve: {{learn: {{work: {work}}}}}\n"
    )
    worker = Worker(read(file, Overrides(listen="127.0.0.1:0")))
    await worker.start()
    client = await connect(worker.addresses[0][2])
    for request in requests:
        status, head, _ = await client.ask(request)
        assert status == 200
        assert b"endpoint-load-metrics" not in head.lower()
    client.close()
    await worker.stop(1.0)
    learned = worker.learned()
    assert learned is not None
    return learned


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        (post(70), 70),
        (post(70, stream=True, usage=True), 70),
        (post(70, stream=True), 70),
    ],
)
def test_tokens_of_a_response_are_what_is_learned(
    tmp_path: Path, request_: bytes, tokens: int
) -> None:
    async def scenario() -> None:
        async with emulated(Settings(QUICK)) as emulator:
            nothing = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
            requests = [request_, nothing, request_, nothing, nothing]
            learned = await learned_from(tmp_path, emulator.port, "tokens", requests)
            (frontend,) = learned.frontends
            assert (frontend.name, frontend.requests, frontend.work) == ("all", 2, tokens)
            assert learned.unit == "tokens"
            # Of 2000 completions half are forgotten: of two 0.14 %, if it took as long as a refit.
            assert sum(learned.backends[0].done) == pytest.approx(2.0, rel=0.002)

    run(scenario())


def test_curves_in_tokens_are_shown_with_their_unit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with emulated(Settings(QUICK)) as emulator:
            learned = await learned_from(tmp_path, emulator.port, "tokens", [post(300)] * 4)
            write_learned(tmp_path / "curves.json", learned)
            found = learned_file(tmp_path / "curves.json")
            assert found is not None
            system = found.as_system()
            document = curves_document(system)
            assert (document["unit"], document["mean_work"]) == ("tokens/s", 300.0)
            shown = CliRunner().invoke(main, ["curves", str(tmp_path / "curves.json"), "--json"])
            assert shown.exit_code == 0
            said = json.loads(shown.output)["frontends"]
            assert said == [{"name": "all", "requests": 4.0, "work": 300.0}]
            table = CliRunner().invoke(main, ["curves", str(tmp_path / "curves.json")]).output
            assert "tokens of a request" in table
            assert "service curves in tokens/s" in table
            in_jobs = float(system.curves[0].rate(1.0))
            assert document["backends"][0]["at"][0]["rate"] == pytest.approx(300.0 * in_jobs)

    run(scenario())
