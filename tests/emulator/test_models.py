"""Emulated servers that load models: by calls as vLLM's for LoRA adapters, or on demand."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from isocline.emulator.faults import Faults
from isocline.emulator.settings import Settings
from isocline.errors import UsageError
from isocline.model.curves import ServersCurve
from isocline.model.residency import Model
from isocline.model.systemfile.some_models import read_models
from tests.emulator.in_memory import InMemory, emulating, request
from tests.live.memory_loop import memory_loop
from tests.virtual_time import run_virtually

LOAD = 0.5
ADAPTERS = (Model("lora-*", 1.0, LOAD),)
ONE_SECOND = ServersCurve(16.0, 100)  # for 16 tokens


def virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        run_virtually(test())

    return run


def settings(memory: float = 2.0, **others: object) -> Settings:
    return Settings(ONE_SECOND, memory=memory, loadable=ADAPTERS, **others)  # type: ignore[arg-type]


def ask(model: str) -> dict[str, object]:
    return {"model": model, "prompt": "hello"}


async def call(server: InMemory, verb: str, name: str) -> int:
    return await server.ask({"lora_name": name, "lora_path": "x"}, f"/v1/{verb}_lora_adapter")


async def listed(server: InMemory) -> list[str]:
    client = await server.connect()
    body = (await client.ask(request("", "/v1/models", "GET")))[-1]
    client.close()
    return [entry["id"] for entry in json.loads(body)["data"]]


@virtually
async def test_adapters_are_loaded_and_unloaded_by_calls() -> None:
    loop = memory_loop()
    async with emulating(settings(models=("base",))) as server:
        assert await server.ask(ask("lora-1")) == 404
        assert await listed(server) == ["base"]
        begun = loop.time()
        assert await call(server, "load", "lora-1") == 200
        assert loop.time() - begun == pytest.approx(LOAD)
        assert await listed(server) == ["base", "lora-1"]
        assert await server.ask(ask("lora-1")) == 200
        assert await server.ask(ask("base")) == 200
        assert await call(server, "load", "lora-1") == 400
        assert await call(server, "load", "other") == 404
        assert await call(server, "load", "lora-2") == 200
        assert await call(server, "load", "lora-3") == 400  # there is no room
        assert await call(server, "unload", "lora-1") == 200
        assert await call(server, "unload", "lora-1") == 404
        assert await call(server, "load", "lora-3") == 200
        assert await listed(server) == ["base", "lora-2", "lora-3"]


@virtually
async def test_the_server_stands_still_while_it_loads() -> None:
    loop = memory_loop()
    async with emulating(settings(models=("base",))) as server:
        begun = loop.time()
        served = loop.create_task(server.ask(ask("base")))
        loads = [loop.create_task(call(server, "load", f"lora-{i}")) for i in (1, 2)]
        assert await served == 200
        assert loop.time() - begun == pytest.approx(1.0 + 2 * LOAD)
        assert [await load for load in loads] == [200, 200]


@virtually
async def test_on_demand_what_was_used_the_longest_time_ago_goes() -> None:
    loop = memory_loop()
    async with emulating(settings(on_demand=True)) as server:
        begun = loop.time()
        both = [loop.create_task(server.ask(ask("lora-1"))) for _ in range(2)]
        assert [await one for one in both] == [200, 200]
        assert loop.time() - begun == pytest.approx(LOAD + 1.0)
        assert await server.ask(ask("lora-2")) == 200
        assert await server.ask(ask("lora-1")) == 200
        assert await server.ask(ask("lora-3")) == 200
        assert sorted(await listed(server)) == ["lora-1", "lora-3"]
        assert await server.ask(ask("other")) == 404


@virtually
async def test_what_is_in_use_stays() -> None:
    loop = memory_loop()
    async with emulating(settings(1.0, on_demand=True)) as server:
        first = loop.create_task(server.ask(ask("lora-1")))
        await asyncio.sleep(LOAD + 0.1)
        assert await server.ask(ask("lora-2")) == 503
        assert await first == 200
        assert await server.ask(ask("lora-2")) == 200


@virtually
async def test_metrics_name_the_adapters_in_service() -> None:
    loop = memory_loop()
    async with emulating(settings(models=("base",))) as server:
        await call(server, "load", "lora-1")
        served = loop.create_task(server.ask(ask("lora-1")))
        await asyncio.sleep(LOAD + 0.1)
        text = server.engine.metrics.text().decode()
        await served
    assert 'vllm:lora_requests_info{max_lora="1",running_lora_adapters="lora-1"' in text


@virtually
async def test_loads_fail_as_they_are_told() -> None:
    async with emulating(settings(faults=Faults(load_error=1.0))) as server:
        assert await call(server, "load", "lora-1") == 500
        assert await listed(server) == []


@virtually
async def test_a_server_without_memory_loads_nothing() -> None:
    async with emulating(Settings(ONE_SECOND)) as server:
        assert await call(server, "load", "lora-1") == 404


@pytest.mark.parametrize(
    "given", ["3", "[]", "[{}]", "[{name: a, size: x}]", "[{name: a, count: 3}]", "[{", "{a: 1}"]
)
def test_bad_models_are_named(given: str) -> None:
    with pytest.raises(UsageError, match="--models"):
        read_models(given)


def test_memory_is_for_models() -> None:
    with pytest.raises(UsageError, match="--models"):
        Settings(ONE_SECOND, memory=1.0)
    with pytest.raises(UsageError, match="--models"):
        Settings(ONE_SECOND, on_demand=True)
