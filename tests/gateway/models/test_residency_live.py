"""Models loaded by a worker at emulated servers, over real sockets, whatever happens to them."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from isocline.emulator import Settings
from isocline.emulator.faults import Faults
from isocline.emulator.serve import Emulator, start
from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.worker import Worker
from isocline.model.curves import ServersCurve
from isocline.model.residency import Model
from tests.emulator.in_memory import request
from tests.gateway.proxies import Client, run

HERE = Overrides(listen="127.0.0.1:0")
FAST = ServersCurve(1.0e6, 1000)
BY_CALL = {
    "source": "models",
    "every": 0.05,
    "load": {"path": "/v1/load_lora_adapter", "body": {"lora_name": "{model}", "lora_path": "x"}},
    "unload": {"path": "/v1/unload_lora_adapter", "body": {"lora_name": "{model}"}},
}
LOAD = 0.05  # s


@dataclass
class Fleet:
    """A worker before emulated servers."""

    worker: Worker
    servers: list[Emulator]
    file: Path
    content: dict[str, Any]

    async def ask(self, model: str) -> int:
        """The status of one answer."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.worker.addresses[0][2]))
        try:
            body = {"model": model, "prompt": "hi"}
            sent = request(body).replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nHost: x\r\n")
            return (await client.ask(sent))[0]
        finally:
            client.close()

    def loads(self) -> int:
        return sum(it.loads for it in self.worker.snapshot().backends.values())

    def holders(self, model: str) -> list[int]:
        """Servers that have a model."""
        return [
            i
            for i, it in enumerate(self.servers)
            if it.engine.models and model in it.engine.models.resident
        ]

    def store(self, number: int) -> dict[str, float]:
        models = self.servers[number].engine.models
        assert models is not None
        return models.resident


@asynccontextmanager
async def fleet(
    folder: Path,
    servers: int = 2,
    memory: float = 2.0,
    load: float = LOAD,
    residency: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Fleet]:
    rule = BY_CALL if residency is None else residency
    adapters = (Model("lora-*", 1.0, load),)
    async with AsyncExitStack() as stack:
        running = []
        for _ in range(servers):
            given = Settings(FAST, memory=memory, loadable=adapters, **settings)
            running.append(await start(given))
            stack.push_async_callback(running[-1].close)
        content = {
            "kind": "routing",
            "models": [{"name": "lora-*", "size": 1, "load": load}],
            "backends": [
                {
                    "name": f"b{i}",
                    "url": f"http://127.0.0.1:{it.port}",
                    "memory": memory,
                    "report": "orca",
                    "curve": {"type": "hyperbolic", "peak": 1000, "half": 10},
                }
                for i, it in enumerate(running)
            ],
            "frontends": [{"name": "all", "backends": ["*"]}],
            "serve": {
                "drain": 1,
                "residency": rule,
                "retries": {"share": 1.0, "least": 1000},
            },
        }
        file = folder / "fleet.yaml"
        file.write_text(yaml.safe_dump(content))
        worker = Worker(read(file, HERE))
        await worker.start()
        stack.push_async_callback(worker.stop, 1.0)
        yield Fleet(worker, running, file, content)


def test_a_crowd_for_one_model_is_answered_after_one_load_at_a_backend(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with fleet(tmp_path, load=1.0) as it:
            statuses = await asyncio.gather(*(it.ask("lora-1") for _ in range(40)))
            assert Counter(statuses) == {200: 40}
            assert it.loads() == len(it.holders("lora-1"))
            assert await it.ask("nobody's") == 404

    run(scenario())


def test_more_models_than_fit_are_loaded_and_dropped_within_the_memory(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(tmp_path, load=0.005) as it:
            names = [f"lora-{i % 9}" for i in range(60)]
            statuses = await asyncio.gather(*(it.ask(name) for name in names))
            assert Counter(statuses) == {200: 60}  # a server refuses what does not fit
            for number in range(2):
                assert len(it.store(number)) <= 2
            backends = it.worker.snapshot().backends.values()
            assert sum(one.failed_loads for one in backends) == 0
            assert sum(one.evictions for one in backends) >= 5

    run(scenario())


def test_a_model_dropped_behind_the_router_is_loaded_again(tmp_path: Path) -> None:
    rule = BY_CALL | {"source": "calls"}

    async def scenario() -> None:
        async with fleet(tmp_path, residency=rule) as it:
            assert await it.ask("lora-1") == 200
            (home,) = it.holders("lora-1")
            it.store(home).clear()
            assert await it.ask("lora-1") == 200
            assert it.holders("lora-1") == [1 - home]
            assert it.loads() == 2
            assert it.worker.snapshot().backends[f"b{home}"].missing == 1

    run(scenario())


def test_what_others_load_and_drop_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(tmp_path) as it:
            it.store(1)["lora-7"] = 1.0
            while it.worker.snapshot().backends["b1"].resident != 1:
                await asyncio.sleep(0.02)
            assert await it.ask("lora-7") == 200
            it.store(1).clear()
            while it.worker.snapshot().backends["b1"].resident:
                await asyncio.sleep(0.02)
            assert it.loads() == 0
            assert await it.ask("lora-7") == 200
            assert it.loads() == 1

    run(scenario())


@pytest.mark.parametrize("fault", ["load_error", "load_hang"])
def test_loads_that_are_refused_or_hang_go_elsewhere(tmp_path: Path, fault: str) -> None:
    rule = BY_CALL | {"timeout": 0.5}

    async def scenario() -> None:
        async with fleet(tmp_path, residency=rule) as it:
            it.servers[0].engine.set_faults(Faults().with_these({fault: 1.0}))
            statuses = await asyncio.gather(*(it.ask(f"lora-{i}") for i in range(4)))
            assert set(statuses) <= {200, 503}
            assert await asyncio.gather(*(it.ask("lora-9") for _ in range(5))) == [200] * 5
            assert it.holders("lora-9") == [1]

    run(scenario())


def test_a_server_that_ends_while_it_loads_costs_no_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(tmp_path, load=0.5) as it:
            asked = [asyncio.ensure_future(it.ask("lora-1")) for _ in range(10)]
            loading = None
            while loading is None:
                await asyncio.sleep(0.01)
                loading = next(
                    (
                        i
                        for i, one in enumerate(it.servers)
                        if one.engine.models and one.engine.models.ends < float("inf")
                    ),
                    None,
                )
            await it.servers[loading].close()
            assert Counter(await asyncio.gather(*asked)) == {200: 10}
            assert it.holders("lora-1") == [1 - loading]

    run(scenario())


def test_servers_that_load_on_demand_need_no_calls(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(tmp_path, residency={"source": "calls"}, on_demand=True) as it:
            for _ in range(3):
                statuses = await asyncio.gather(*(it.ask(f"lora-{i}") for i in range(4)))
                assert set(statuses) == {200}
            assert it.loads() == 4
            assert sorted(len(it.store(b)) for b in range(2)) == [2, 2]

    run(scenario())


def test_servers_that_load_nothing_are_told_apart_by_their_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(tmp_path, residency={"source": "metrics", "every": 0.05}) as it:
            it.store(1)["lora-1"] = 1.0
            assert [await it.ask("lora-1") for _ in range(20)] == [200] * 20
            assert await it.ask("lora-2") == 404

    run(scenario())


def test_a_reload_keeps_what_is_loaded_and_who_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(tmp_path, load=0.3) as it:
            assert await it.ask("lora-1") == 200
            waiting = [asyncio.ensure_future(it.ask("lora-2")) for _ in range(3)]
            while it.loads() < 2:
                await asyncio.sleep(0.01)
            await it.worker.reload(read(it.file, HERE))
            assert await it.ask("lora-1") == 200
            assert await asyncio.gather(*waiting) == [200] * 3
            del it.content["serve"]["residency"]
            for backend in it.content["backends"]:
                del backend["memory"]
            del it.content["models"]
            it.file.write_text(yaml.safe_dump(it.content))
            more = asyncio.ensure_future(it.ask("lora-3"))
            await asyncio.sleep(0.05)
            await it.worker.reload(read(it.file, HERE))
            assert await more in (200, 404, 503)
            assert await it.ask("lora-1") in (200, 404)

    run(scenario())


def test_the_list_of_models_is_that_of_the_polls(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(tmp_path) as it:
            assert await it.ask("lora-5") == 200
            client = Client(*await asyncio.open_connection("127.0.0.1", it.worker.addresses[0][2]))
            _, _, body = await client.ask(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            client.close()
            assert [model["id"] for model in json.loads(body)["data"]] == ["lora-5"]

    run(scenario())
