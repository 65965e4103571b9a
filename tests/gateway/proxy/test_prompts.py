"""Prompts read from bodies as they come, and routing by what is cached, over real sockets."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.core.prompts import BLOCK_LENGTH
from isocline.gateway.proxy.prompt_reader import LONGEST, read_prompt, session_prompt
from tests.gateway.proxies import Backend, Handler, ok, proxying, read_request, run

TURNS = st.lists(st.text(min_size=1, max_size=2000), min_size=1, max_size=4)


def chat(turns: list[str], model: str = "m", **more: Any) -> bytes:
    messages = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": turn}
        for i, turn in enumerate(turns)
    ]
    return json.dumps({"model": model, "messages": messages, **more}).encode()


def blocks(body: bytes) -> tuple[int, ...]:
    prompt = read_prompt(body, len(body))
    assert prompt is not None
    return prompt.blocks


@given(TURNS, st.text(max_size=3000))
def test_a_longer_chat_begins_as_the_shorter_one(turns: list[str], turn: str) -> None:
    body = chat(turns, max_tokens=7)
    before, after = blocks(body), blocks(chat([*turns, turn], max_tokens=7))
    # All but what closes the list of messages, and what follows.
    whole = (len(body) - body.index(b"[") - len(b'], "max_tokens": 7}')) // BLOCK_LENGTH
    assert before[:whole] == after[:whole]
    assert len(set(before)) == len(before)


def test_another_model_or_another_beginning_shares_nothing() -> None:
    turns = ["a" * 5000]
    assert not set(blocks(chat(turns))) & set(blocks(chat(turns, "n")))
    assert not set(blocks(chat(turns))) & set(blocks(chat(["b" + turns[0]])))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"model": "m"}',
        b"\xff" * 4000,
        b'{"x": "say \\"messages\\": so"}',
        b"[" * 2000,
    ],
)
def test_a_body_without_a_prompt_has_none(body: bytes) -> None:
    assert read_prompt(body, len(body)) is None


def test_of_a_long_body_its_beginning_is_enough() -> None:
    body = chat(["x" * 3 * LONGEST])
    prompt = read_prompt(body[:LONGEST], len(body))
    assert prompt is not None
    assert prompt.length > 3 * LONGEST
    assert prompt.blocks == blocks(body)[: len(prompt.blocks)]
    assert session_prompt(b"it", 0).length == 0


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        (b"[1, 2,3 ,\n4,5]", 5),
        (b"[7]", 1),
        (b'"[1, 2, 3]"', 0),
        (b"[[1, 2, 3]]", 0),
        (b"[1, 2, [3]]", 0),
        (b"[1, 2", 0),
        (b"[1,, 2]", 0),
        (b"[]", 0),
        (b"[" * 100_000 + b"]", 0),
        (b"[1" + b"0" * 5000 + b"]", 0),
    ],
)
@pytest.mark.parametrize("field", [b"prompt", b"input_ids"])
def test_prompts_of_tokens(field: bytes, prompt: bytes, tokens: int) -> None:
    body = b'{"model": "m", "%s": %s, "max_tokens": 3}' % (field, prompt)
    found = read_prompt(body, len(body), 2)
    assert found is not None
    assert (found.tokens, len(found.token_blocks)) == (tokens, tokens // 2)
    as_text = read_prompt(body, len(body))
    assert as_text is not None
    assert (as_text.tokens, as_text.blocks) == (0, found.blocks)


class Server:
    """A backend that says how much of each prompt it had cached: all of it, or none."""

    def __init__(self, caches: bool = True) -> None:
        self.caches = caches
        self.seen: set[bytes] = set()

    def __call__(self, backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                body = backend.bodies[-1]
                tokens = len(body) // 4
                cached = tokens if body in self.seen and self.caches else 0
                self.seen.add(body)
                details = {"prompt_tokens_details": {"cached_tokens": cached}}
                usage = {"prompt_tokens": tokens, "completion_tokens": 10, **details}
                writer.write(ok(json.dumps({"model": "m", "usage": usage}).encode()))

        return handle


def post(body: bytes, *fields: bytes) -> bytes:
    lines = [b"POST /v1/chat/completions HTTP/1.1", b"Host: a", *fields]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


CACHED: dict[str, Any] = {"prompts": True, "tokens": True, "cache_tokens": 1_000_000}


def test_requests_go_where_their_beginning_is_cached() -> None:
    async def scenario() -> None:
        async with proxying(Server(), Server(), Server(), **CACHED) as (seen, backends):
            client = await seen.connect()
            bodies = [chat([f"{name} " * 2000]) for name in "abcdef"]
            for _ in range(5):
                for body in bodies:
                    assert (await client.ask(post(body)))[0] == 200
            got = [{bytes(body) for body in backend.bodies} for backend in backends]
            assert sum(map(len, got)) == len(bodies)  # each went to one of them alone
            assert all(got)
            prompts = seen.proxy.bridge.core.prompts
            assert prompts is not None
            assert sum(prompts.cached_tokens) == pytest.approx(0.8 * sum(prompts.prompt_tokens))
            client.close()

    run(scenario())


def test_a_session_s_header_stands_for_its_prompts() -> None:
    async def scenario() -> None:
        async with proxying(Server(), Server(), **CACHED, session=b"x-session") as (
            seen,
            backends,
        ):
            client = await seen.connect()
            for i in range(20):
                for name in (b"one", b"two"):
                    body = chat([f"{i} {name!r} " * 500])
                    request = post(body, b"X-Session: " + name)
                    assert (await client.ask(request))[0] == 200
            homes = [{b"one" in head for head in backend.heads} for backend in backends]
            assert sorted(homes, key=sorted) == [{False}, {True}]
            client.close()

    run(scenario())


@pytest.mark.parametrize("cuts", [1, 3, 100])
def test_a_body_in_parts_is_read_as_one(cuts: int) -> None:
    async def scenario() -> None:
        async with proxying(Server(), Server(), **CACHED) as (seen, backends):
            client = await seen.connect()
            body = chat(["long " * 20_000])  # 100 kB
            for _ in range(4):
                data = post(body)
                step = len(data) // cuts + 1
                for at in range(0, len(data), step):
                    client.writer.write(data[at : at + step])
                    await client.writer.drain()
                    await asyncio.sleep(0)
                assert (await client.response())[0] == 200
            assert sorted(len(backend.bodies) for backend in backends) == [0, 4]
            assert all(sent == body for backend in backends for sent in backend.bodies)
            client.close()

    run(scenario())


def test_bodies_that_are_not_read_pass_all_the_same() -> None:
    async def scenario() -> None:
        async with proxying(Server(), Server(), **CACHED) as (seen, backends):
            client = await seen.connect()
            coded = post(b"\x1f\x8b" + bytes(1000), b"Content-Encoding: gzip")
            assert (await client.ask(coded))[0] == 200
            assert (await client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200
            assert (await client.ask(post(b'{"no": "prompt"}')))[0] == 200
            waiting = post(chat(["hello"]), b"Expect: 100-continue")
            head, _, body = waiting.partition(b"\r\n\r\n")
            client.writer.write(head + b"\r\n\r\n")
            assert b"100" in await client.reader.readuntil(b"\r\n\r\n")
            client.writer.write(body)
            assert (await client.response())[0] == 200
            assert sum(len(backend.heads) for backend in backends) == 4
            client.close()

    run(scenario())
