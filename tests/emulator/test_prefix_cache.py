"""Prefix cache of an emulated server: what is cached takes no time, and is told."""

import asyncio
import json
from typing import Any

import pytest

from isocline.emulator.prefix_cache import PrefixCache
from isocline.emulator.settings import Settings
from isocline.errors import UsageError
from isocline.model.curves import ServersCurve
from tests.emulator.in_memory import InMemory, emulating, request
from tests.virtual_time import run_virtually

FAST = ServersCurve(1000.0, 1)


def text(name: str, tokens: int) -> str:
    return "".join(f"{name}{i:03x}" for i in range(tokens))


async def asked(server: InMemory, prompt: object, **more: object) -> tuple[float, dict[str, Any]]:
    """Seconds that an answer of 10 tokens took, and its usage."""
    client = await server.connect()
    began = asyncio.get_running_loop().time()
    body = {"model": "m", "prompt": prompt, "max_tokens": 10} | more
    status, _, answer = await client.ask(request(body))
    assert status == 200
    client.close()
    return asyncio.get_running_loop().time() - began, json.loads(answer)["usage"]


def cached(usage: dict[str, Any]) -> int:
    return int(usage["prompt_tokens_details"]["cached_tokens"])


def test_what_is_cached_of_a_prompt_is_no_work() -> None:
    async def scenario() -> None:
        async with emulating(Settings(FAST, prefill=1.0, cache_tokens=10_000)) as server:
            first = await asked(server, text("a", 1600))
            assert first[0] == pytest.approx(1.61)
            assert cached(first[1]) == 0
            again = await asked(server, text("a", 1600))
            assert again[0] == pytest.approx(0.011)
            assert cached(again[1]) == 1599
            longer = await asked(server, text("a", 1600) + text("b", 160))
            assert longer[0] == pytest.approx(0.17)
            assert cached(longer[1]) == 1600
            other = await asked(server, text("c", 1600), model="n")
            assert other[0] == pytest.approx(1.61)
            assert cached(other[1]) == 0
            another_model = await asked(server, text("a", 1600), model="n")
            assert cached(another_model[1]) == 0
            client = await server.connect()
            _, _, page = await client.ask(b"GET /metrics HTTP/1.1\r\n\r\n")
            client.close()
            told = {line.partition(b"{")[0]: line.split()[-1] for line in page.splitlines()}
            assert float(told[b"vllm:prefix_cache_queries_total"]) == 4 * 1600 + 1760
            assert float(told[b"vllm:prefix_cache_hits_total"]) == 1599 + 1600

    run_virtually(scenario())


def test_messages_begin_alike_where_their_texts_do() -> None:
    cache = PrefixCache(10_000, 16)
    system = {"role": "system", "content": text("s", 64)}
    first = [system, {"role": "user", "content": text("u", 64)}]
    assert cache.read(first, 130, "m") == 0
    answered = [*first, {"role": "assistant", "content": text("r", 64)}]
    assert 112 <= cache.read(answered, 200, "m") <= 130
    assert 48 <= cache.read([system, {"role": "user", "content": text("v", 64)}], 130, "m") <= 66


def test_it_holds_so_many_tokens_and_drops_the_least_recently_used() -> None:
    cache = PrefixCache(64, 16)
    assert cache.read(text("a", 32), 33, "m") == 0
    assert cache.read(text("b", 32), 33, "m") == 0
    assert cache.read(text("a", 32), 33, "m") == 32
    assert cache.read(text("c", 16), 17, "m") == 0
    assert cache.read(text("a", 32), 33, "m") == 32
    assert cache.read(text("b", 32), 33, "m") == 16  # its end was dropped first
    assert PrefixCache(8, 16).read(text("a", 32), 32, "m") == 0


def test_tokens_given_as_numbers_are_cached_too() -> None:
    cache = PrefixCache(640, 16)
    assert cache.read(list(range(160)), 160, "m") == 0
    assert cache.read(list(range(160)), 160, "m") == 159


@pytest.mark.parametrize("given", [{"unit": "jobs"}, {"prefill": 0.0}])
def test_a_cache_where_prompts_are_no_work_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="give --prefill above 0"):
        Settings(FAST, **({"prefill": 1.0, "cache_tokens": 100} | given))
