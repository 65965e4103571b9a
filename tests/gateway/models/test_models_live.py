"""`GET /v1/models` over real sockets, as a worker answers it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.worker import Worker
from tests.gateway.proxies import (
    Backend,
    Client,
    Handler,
    ok,
    read_request,
    run,
    saying,
    serving,
    value_of,
)

CURVE = "curve: {type: hyperbolic, peak: 1000, half: 10}"
HERE = Overrides(listen="127.0.0.1:0")


def listing(*names: str) -> bytes:
    data = [{"id": it, "object": "model", "created": 1, "owned_by": "us"} for it in names]
    return ok(json.dumps({"object": "list", "data": data}).encode())


def having(*names: str) -> Callable[[Backend], Handler]:
    """A model server: lists its models, and says yes to all else."""

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                asks = backend.heads[-1].startswith(b"GET /v1/models ")
                writer.write(listing(*names) if asks else ok(b"yes"))

        return handle

    return handler


def write(folder: Path, backends: dict[str, int], frontends: list[str], *serve: str) -> Path:
    """A file of these backends, by their ports."""
    lines = ["kind: routing", "backends:"]
    for name, port in backends.items():
        lines.append(f"  - {{name: {name}, url: 'http://127.0.0.1:{port}', {CURVE}}}")
    lines += ["frontends:", *(f"  - {{{it}}}" for it in frontends), "serve:", "  drain: 1"]
    file = folder / "fleet.yaml"
    file.write_text("\n".join([*lines, *(f"  {it}" for it in serve)]))
    return file


def lists(backend: Backend) -> int:
    """How often a backend was asked for its models; it is asked for its metrics, too."""
    return sum(head.startswith(b"GET /v1/models ") for head in backend.heads)


@asynccontextmanager
async def working(served: Serving) -> AsyncIterator[Worker]:
    """A worker that serves within."""
    worker = Worker(served)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop(1.0)


async def ask(worker: Worker, request: bytes) -> tuple[int, bytes, bytes]:
    client = Client(*await asyncio.open_connection("127.0.0.1", worker.addresses[0][2]))
    try:
        return await client.ask(request)
    finally:
        client.close()


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def names_in(body: bytes) -> dict[str, list[str]]:
    return {it["id"]: it["backends"] for it in json.loads(body)["data"]}


FRONTENDS = [
    'name: large, match: {model: "large*"}, backends: [a, b]',
    'name: small, match: {model: "small*", headers: {X-Team: red}}, backends: [b, c]',
]


def test_the_list_is_the_union_over_what_the_client_may_use(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            serving(having("large-1", "small-9")) as a,
            serving(having("large-1", "large-2", "small-1")) as b,
            serving(having("small-1", "large-3", "org/small")) as c,
        ):
            ports = {"a": a.port, "b": b.port, "c": c.port}
            worker = Worker(read(write(tmp_path, ports, FRONTENDS), HERE))
            await worker.start()
            status, _, body = await ask(worker, get("/v1/models"))
            assert status == 200
            assert json.loads(body)["object"] == "list"
            assert names_in(body) == {"large-1": ["a", "b"], "large-2": ["b"]}
            _, _, body = await ask(worker, get("/v1/models?limit=5", "X-Team: red"))
            assert names_in(body) == {
                "large-1": ["a", "b"],
                "large-2": ["b"],
                "small-1": ["b", "c"],
            }
            assert [lists(it) for it in (a, b, c)] == [1, 1, 1]  # asked once for all
            status, head, body = await ask(worker, get("/v1/models", method="HEAD"))
            assert (status, body) == (200, b"")
            assert int(value_of(head, b"content-length") or b"0") > 100
            status, _, body = await ask(worker, get("/v1/models/large-2"))
            assert (status, json.loads(body)["id"]) == (200, "large-2")
            status, _, body = await ask(worker, get("/v1/models/small%2D1"))
            assert status == 404
            assert "'small-1'" in json.loads(body)["error"]["message"]
            status, _, body = await ask(worker, get("/v1/models/small%2D1", "X-Team: red"))
            assert (status, json.loads(body)["backends"]) == (200, ["b", "c"])
            # What is asked in another way, or of another path, is a request as others.
            assert (await ask(worker, get("/v1/modelsx")))[0] == 404
            assert (await ask(worker, get("/v1/models", method="DELETE")))[0] == 404
            await worker.stop(1.0)

    run(scenario())


def test_the_openai_client_lists_models_with_a_key_and_a_page(
    tmp_path: Path, monkeypatch: Any
) -> None:
    import openai  # here, as each worker imports all files of tests

    monkeypatch.setenv("DOOR", "right")

    async def scenario() -> None:
        async with serving(having("m", "org/n")) as a:
            serve = ("api_keys: {env: DOOR}", "cors: {origins: ['*']}", "models: {backends: false}")
            file = write(tmp_path, {"a": a.port}, ['name: all, backends: ["*"]'], *serve)
            worker = Worker(read(file, HERE))
            await worker.start()
            url = f"http://127.0.0.1:{worker.addresses[0][2]}/v1"
            async with openai.AsyncOpenAI(base_url=url, api_key="right", max_retries=0) as client:
                models = [model async for model in client.models.list()]
                assert [model.id for model in models] == ["m", "org/n"]
                assert "backends" not in models[0].to_dict()
                assert (await client.models.retrieve("org/n")).owned_by == "us"
            assert all(value_of(head, b"authorization") is None for head in a.heads)
            assert (await ask(worker, get("/v1/models")))[0] == 401
            page = ("x-api-key: right", "Origin: http://page")
            _, head, _ = await ask(worker, get("/v1/models", *page))
            assert value_of(head, b"access-control-allow-origin") == b"*"
            await worker.stop(1.0)

    run(scenario())


def test_a_backend_that_does_not_answer_does_not_hold_up_the_others(tmp_path: Path) -> None:
    def silent(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                pass

        return handle

    async def scenario() -> None:
        async with serving(having("m")) as a, serving(silent) as b:
            ports = {"a": a.port, "b": b.port, "gone": 1}
            rule = "models: {timeout: 3}"  # which a good one keeps on a busy machine
            worker = Worker(
                read(write(tmp_path, ports, ['name: all, backends: ["*"]'], rule), HERE)
            )
            await worker.start()
            # All who come meanwhile wait for the same answers; one of them leaves.
            gone = Client(*await asyncio.open_connection("127.0.0.1", worker.addresses[0][2]))
            gone.writer.write(get("/v1/models"))
            answers = [asyncio.create_task(ask(worker, get("/v1/models"))) for _ in range(5)]
            while not lists(b):
                await asyncio.sleep(0.005)
            gone.close()
            for answer in answers:
                assert names_in((await answer)[2]) == {"m": ["a"]}
            assert (lists(a), lists(b)) == (1, 1)
            await worker.stop(1.0)

    run(scenario())


def test_a_list_survives_a_restart_of_its_backend_and_a_reload(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(having("m")) as a:
            port = a.port
            frontends = ['name: all, backends: ["*"]']
            file = write(tmp_path, {"a": port}, frontends, "models: {fresh: 0.001}")
            worker = Worker(read(file, HERE))
            await worker.start()
            assert names_in((await ask(worker, get("/v1/models")))[2]) == {"m": ["a"]}
        assert names_in((await ask(worker, get("/v1/models")))[2]) == {"m": ["a"]}  # it is gone
        async with serving(having("n")) as b:
            file = write(tmp_path, {"b": b.port, "a": port}, frontends, "models: {fresh: 0.001}")
            await worker.reload(read(file, HERE))
            assert names_in((await ask(worker, get("/v1/models")))[2]) == {"n": ["b"], "m": ["a"]}
            file = write(tmp_path, {"b": b.port}, frontends, "models: off")
            await worker.reload(read(file, HERE))
            _, _, body = await ask(worker, get("/v1/models"))
            assert body == listing("n").partition(b"\r\n\r\n")[2]
            await worker.stop(1.0)

    run(scenario())


def test_connections_that_lists_came_by_are_not_kept(tmp_path: Path) -> None:
    """Lists are seldom asked for, and who counts connections would see them for no reason."""
    ended = asyncio.Event()

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                writer.write(listing("m"))
            ended.set()

        return handle

    async def scenario() -> None:
        async with serving(handler) as a:
            file = write(tmp_path, {"a": a.port}, ['name: all, backends: ["*"]'], "health: off")
            file.write_text(file.read_text().replace("curve:", "report: orca, curve:"))  # no polls
            async with working(read(file, HERE)) as worker:
                assert names_in((await ask(worker, get("/v1/models")))[2]) == {"m": ["a"]}
                await ended.wait()
                assert [value_of(head, b"connection") for head in a.heads] == [b"close"]

    run(scenario())


def test_servers_that_list_no_models_are_asked_as_for_anything_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(saying(ok(b"no list"))) as a:
            worker = Worker(
                read(write(tmp_path, {"a": a.port}, ["name: all, backends: [a]"]), HERE)
            )
            await worker.start()
            assert (await ask(worker, get("/v1/models")))[2] == b"no list"
            assert any(value_of(head, b"via") is not None for head in a.heads)
            await worker.stop(1.0)

    run(scenario())


def test_the_example_of_the_docs_lists_the_union(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    text = (root / "docs/start/routed-request.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"(?m)^\$ isocline backend .*$", text)
    parts = [re.split(" +", it) for it in commands]
    models = [[b for a, b in pairwise(it) if a == "--model"] for it in parts]
    listening = [b for it in parts for a, b in pairwise(it) if a == "--listen"]
    example = (root / "examples/serve.yaml").read_text()
    assert re.findall("http://([0-9.:]+)", example) == listening

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            for names, place in zip(models, listening, strict=True):
                server = await stack.enter_async_context(serving(having(*names)))
                nonlocal example
                example = example.replace(place, f"127.0.0.1:{server.port}")
            file = tmp_path / "serve.yaml"
            file.write_text(example)
            worker = Worker(read(file, HERE))
            await worker.start()
            _, _, body = await ask(worker, get("/v1/models"))
            both = ["big-1", "big-2"]
            assert names_in(body) == {"large-1": both, "small-1": [*both, "little"]}
            await worker.stop(0.0)

    run(scenario())
