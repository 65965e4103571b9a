"""Usage that the router asks for: the backend is asked, and the client sees nothing of it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.core.request_cost import ClassWork, Mix, TokenWork
from isocline.gateway.http.body import UntilClose, encode
from isocline.gateway.proxy.usage_request import WithoutUsage, asking
from isocline.model.serving_settings import SizeLimits
from tests.gateway.proxies import (
    Backend,
    Handler,
    proxying,
    read_request,
    run,
    value_of,
)

PATH = b"/v1/chat/completions"


def event(**said: object) -> bytes:
    return b"data: " + json.dumps(said, separators=(",", ":")).encode() + b"\n\n"


CONTENT = [
    event(choices=[{"index": 0, "delta": {"content": text}}], usage=None)
    for text in ("a", ' "usage":{ "choices":[]', "b")
]
USAGE = event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 7})
DONE = b"data: [DONE]\n\n"
SEEN = b"".join(CONTENT) + DONE


def streaming(backend: Backend) -> Handler:
    """A server that has usage for who asks, each event in a chunk; one that is cut, too."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader, backend):
            said = json.loads(backend.bodies[-1])
            asked = (said.get("stream_options") or {}).get("include_usage")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
            for one in (*CONTENT, *([USAGE[:30], USAGE[30:]] if asked else []), DONE):
                writer.write(encode(one))
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")

    return handle


def post(body: bytes, path: bytes = PATH, version: bytes = b"1.1", *fields: bytes) -> bytes:
    lines = [b"POST %b HTTP/%b" % (path, version), b"Host: x", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def dumped(**more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [], **more}).encode()


STREAM = dumped(stream=True)


def asked_of(body: bytes) -> Any:
    return json.loads(body).get("stream_options")


def served(ask: Callable[..., Any], **more: Any) -> None:
    async def scenario() -> None:
        more.setdefault("tokens", True)
        async with proxying(streaming, ask_usage=True, **more) as (seen, [backend]):
            await ask(seen, backend)
            await seen.settled()

    run(scenario())


@pytest.mark.parametrize("at_once", [True, False])
def test_the_backend_is_asked_and_the_client_sees_what_it_would_have_seen(at_once: bool) -> None:
    async def ask(seen: Any, backend: Backend) -> None:
        client, request = await seen.connect(), post(STREAM)
        if not at_once:
            client.writer.write(request[:-20])
            await asyncio.sleep(0.05)
            assert not backend.heads
            request = request[-20:]
        for _ in range(2):  # the connections stay in step
            status, head, body = await client.ask(request)
            assert (status, body) == (200, SEEN)
            assert b"content-length" not in head.lower()
            request = post(STREAM)
        assert [asked_of(it) for it in backend.bodies] == [{"include_usage": True}] * 2
        assert value_of(backend.heads[0], b"content-length") == b"%d" % len(backend.bodies[0])
        client.close()

    measured = TokenWork(Mix([ClassWork(0.0, 0.0)], None), prefill=100.0, decode=1.0)
    served(ask, measure=measured)
    assert measured.mix.classes() == [ClassWork(2.0, 307.0)]  # of 3 and 7 tokens, each time


@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        (post(dumped(stream=True, stream_options={"include_usage": True})), True),
        (post(dumped(stream=True, stream_options={"include_usage": False})), False),
        (post(dumped(stream=True, stream_options=None)), False),
        (post(dumped(stream=False)), False),
        (post(dumped()), False),
        (post(STREAM, b"/v1/responses"), False),
        (post(dumped(stream=True, prompt="x" * 70_000)), False),
    ],
)
def test_who_speaks_of_it_or_streams_nothing_is_left_alone(request_: bytes, asked: bool) -> None:
    body = request_.partition(b"\r\n\r\n")[2]

    async def ask(seen: Any, backend: Backend) -> None:
        client = await seen.connect()
        _, _, answer = await client.ask(request_)
        assert backend.bodies == [body]
        assert (USAGE in answer) == asked
        assert answer.replace(USAGE, b"") == SEEN
        client.close()

    served(ask)


def test_a_client_without_chunks_and_one_that_waits_to_be_asked() -> None:
    async def ask(seen: Any, backend: Backend) -> None:
        old = await seen.connect()
        old.writer.write(post(STREAM, PATH, b"1.0"))
        answer = await old.reader.read()
        assert answer.partition(b"\r\n\r\n")[2] == SEEN
        waiting = await seen.connect()
        request = post(STREAM, PATH, b"1.1", b"Expect: 100-continue")
        waiting.writer.write(request[: -len(STREAM)])
        assert (await waiting.response())[0] == 100
        waiting.writer.write(STREAM)
        assert (await waiting.response())[2] == SEEN
        assert [asked_of(it) for it in backend.bodies] == [{"include_usage": True}] * 2
        for client in (old, waiting):
            client.close()

    served(ask)


def test_it_is_off_unless_it_is_asked_for() -> None:
    async def scenario() -> None:
        async with proxying(streaming, tokens=True) as (seen, [backend]):
            client = await seen.connect()
            await client.ask(post(STREAM))
            assert backend.bodies == [STREAM]
            client.close()

    run(scenario())


def test_a_body_that_goes_to_another_backend_asks_there_once() -> None:
    def failing(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            backend.heads.append(b"")
            writer.transport.abort()

        return handle

    async def scenario() -> None:
        with_retry: dict[str, Any] = {"ask_usage": True, "tokens": True, "sizes": SizeLimits()}
        async with proxying(
            "http://127.0.0.1:1", streaming, policy="round_robin", **with_retry
        ) as (seen, [backend]):
            client = await seen.connect()
            for _ in range(4):
                assert (await client.ask(post(STREAM)))[2] == SEEN
            for body in backend.bodies:
                assert body.count(b"include_usage") == 1
                assert asked_of(body) == {"include_usage": True}
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'["stream"]', b'{"stream": true', b"[" * 99_999 + b'"stream"', b'"stream"'],
)
def test_what_is_no_object_is_left_as_it_is(body: bytes) -> None:
    assert asking(body) is None


def test_what_is_added_is_all_that_changes() -> None:
    body = b' \n{ "stream" : true, "n":1}'
    changed = asking(body)
    assert changed is not None
    assert json.loads(changed) == {"stream_options": {"include_usage": True}} | json.loads(body)
    assert changed.replace(b'"stream_options":{"include_usage":true},', b"") == body


EVENTS = st.sampled_from([*CONTENT, b": ping\n\n", b"event: x\n", DONE, b"data: x\r\n\r\n", b"\n"])


@given(
    st.lists(EVENTS, max_size=5),
    st.lists(EVENTS, max_size=5),
    st.lists(st.integers(0, 900), max_size=8),
    st.booleans(),
)
def test_all_but_the_one_event_goes_on_however_it_is_cut(
    before: list[bytes], after: list[bytes], places: list[int], carriage: bool
) -> None:
    usage = USAGE.replace(b"\n", b"\r\n") if carriage else USAGE
    whole = b"".join((*before, usage, *after))
    framing = WithoutUsage(UntilClose(False), chunked=False)
    ends = sorted({min(place, len(whole)) for place in places} | {len(whole)})
    passed = b"".join(
        framing.feed(whole[begin:end])[0] for begin, end in zip([0, *ends], ends, strict=False)
    )
    assert passed + (framing.ended() or b"") == b"".join((*before, *after))
    assert framing.removed.rstrip() == USAGE.rstrip()
