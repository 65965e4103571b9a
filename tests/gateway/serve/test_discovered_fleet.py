"""A fleet that changes a thousand times under load, over real sockets: no request is lost."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.from_file import opened, serving_of
from isocline.gateway.serve.worker import Worker
from isocline.model.endpoint import Endpoint, Found
from tests.gateway.proxies import Backend, Client, Handler, ok, read_request, serving, value_of

CHANGES = 1000
SECONDS = 600.0  # for all of it, on a busy machine
HERE = Overrides(listen="127.0.0.1:0")
FILE = """\
kind: routing
discover:
  - name: pods
    admin: {}
    templates: [{report: orca, curve: {type: hyperbolic, peak: 1000, half: 10}}]
frontends: [{name: all, backends: ["*"]}]
serve: {models: off}
"""


def echoing(backend: Backend) -> Handler:
    """Answers after a moment, in two pieces, so that requests are always in flight."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader, backend):
            answer = ok(b"served")
            writer.write(answer[:-3])
            await asyncio.sleep(0.001)
            writer.write(answer[-3:])

    return handle


async def keep_asking(port: int, answers: Counter[tuple[int, bytes]], over: asyncio.Event) -> None:
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    while not over.is_set():
        client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        head = await client.reader.readuntil(b"\r\n\r\n")
        body = await client.reader.readexactly(int(value_of(head, b"content-length") or b"0"))
        answers[int(head.split()[1]), body] += 1
    client.writer.close()


def test_no_request_is_lost_in_a_thousand_changes(tmp_path: Path) -> None:
    draw = random.Random(1)
    path = tmp_path / "fleet.yaml"
    path.write_text(FILE)
    file = opened(path)

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            backends = [await stack.enter_async_context(serving(echoing)) for _ in range(8)]
            pods = [Endpoint(f"pod-{i}", f"127.0.0.1:{it.port}") for i, it in enumerate(backends)]

            def fleet() -> Found:
                return {"pods": draw.sample(pods, draw.randrange(1, 6))}

            worker = Worker(serving_of(file, HERE, fleet()))
            await worker.start()
            port = worker.addresses[0][2]
            answers: Counter[tuple[int, bytes]] = Counter()
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for _ in range(6):
                    group.create_task(keep_asking(port, answers, over))
                for _ in range(CHANGES):
                    await worker.reload(serving_of(file, HERE, fleet()))
                over.set()
            assert answers.keys() == {(200, b"served")}
            seen = worker.snapshot()
            await worker.stop(10.0)
            # None was served twice, and each is counted by the name of its backend.
            reached = {f"pod-{i}": len(it.heads) for i, it in enumerate(backends)}
            assert sum(reached.values()) == answers.total() > CHANGES
            counted = {name: pair.served for name, pair in seen.pairs["all"].items()}
            assert counted == reached

    wrong: list[object] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with asyncio.timeout(SECONDS):
            await scenario()

    asyncio.run(bounded())
    assert wrong == []
