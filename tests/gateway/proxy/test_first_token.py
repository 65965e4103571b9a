"""Time to first token: the first event with content, in whatever pieces it comes."""

import asyncio
import json
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.http.body import encode
from isocline.gateway.proxy.first_token import FirstToken
from tests.gateway.proxies import Backend, Handler, ok, proxying, read_request, run

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


def event(data: Any, name: str = "") -> bytes:
    said = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {said}\n\n".encode()


def choice(**delta: object) -> dict[str, object]:
    return {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


QUOTED = 'it says \\"content\\":\\"x\\"'
EMPTY = [
    b": ping\n\n",
    event(choice(role="assistant", content="")),
    event(choice(role="assistant", content=None)),
    event({"choices": [{"index": 0, "text": "", "finish_reason": None}]}),
    event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}),
    event({"error": QUOTED, "type": "text"}),
    event({"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 1}}}),
    event({"type": "content_block_start", "content_block": {"type": "text", "text": ""}}),
    event({"type": "response.created", "response": {"instructions": "x", "text": "y"}}, "a"),
    event({"type": "response.output_item.added", "item": {"content": [], "role": "assistant"}}),
    event({"type": "response.content_part.added", "part": {"text": "", "type": "output_text"}}),
    event("[DONE]"),
]
CONTENT = [
    event(choice(content="a")),
    event(choice(content="\n")),
    event(choice(reasoning_content="a")),
    event(choice(reasoning="a")),
    event(choice(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}])),
    event(choice(tool_calls=[{"index": 0, "function": {"arguments": "{"}}])),
    event('{"choices":[{"index":0,"text":" a"}]}'),
    event({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}),
    event({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "a"}}),
    event({"type": "response.output_text.delta", "delta": "a"}, "response.output_text.delta"),
    event(choice(content="long" * 30_000)),
]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def found_in(pieces: list[bytes], chunked: bool) -> list[bool]:
    token, found = FirstToken(chunked), list[bool]()
    for piece in pieces:
        found.append(token.feed(piece))
        if found[-1]:
            break
    return found


@pytest.mark.parametrize("content", CONTENT)
def test_the_event_with_content_is_the_first_token(content: bytes) -> None:
    assert found_in([*EMPTY, content], chunked=False) == [*[False] * len(EMPTY), True]


CUTS = st.lists(st.integers(0, 1500), max_size=8)


@given(st.lists(st.sampled_from(EMPTY), max_size=6), st.sampled_from(CONTENT[:-1]), CUTS, CUTS)
def test_it_is_found_however_the_body_is_cut(
    before: list[bytes], content: bytes, chunks: list[int], places: list[int]
) -> None:
    """Chunks end anywhere, even amid a key, and so do pieces that are read."""
    head, whole = b"".join(before), b"".join(before) + content
    coded = b"".join(encode(part) for part in cut(whole, chunks))
    assert any(found_in(cut(coded, places), chunked=True))
    assert any(found_in(cut(whole, places), chunked=False))
    if head:
        coded = b"".join(encode(part) for part in cut(head, chunks))
        assert not any(found_in(cut(coded, places), chunked=True))
        assert not any(found_in(cut(head, places), chunked=False))


def streaming(*pieces: bytes | asyncio.Event, kind: bytes = b"text/event-stream") -> Any:
    """A stream whose head goes at once; it waits for each event."""

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % kind)
                writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
                for piece in pieces:
                    if isinstance(piece, bytes):
                        writer.write(encode(piece))
                    else:
                        await piece.wait()
                writer.write(b"0\r\n\r\n")

        return handle

    return handler


def test_the_head_of_a_stream_is_not_its_first_token() -> None:
    async def scenario() -> None:
        opened, more = asyncio.Event(), asyncio.Event()
        pieces: list[bytes | asyncio.Event]
        pieces = [EMPTY[1], opened, CONTENT[0][:20], CONTENT[0][20:], more, CONTENT[1]]
        async with proxying(streaming(*pieces)) as (seen, _):
            client = await seen.connect()
            client.writer.write(POST)
            await client.reader.readuntil(EMPTY[1])
            now = monotonic()
            opened.set()
            await client.reader.readuntil(CONTENT[0][20:])
            later = monotonic()
            more.set()
            await client.reader.readuntil(b"0\r\n\r\n")
            await seen.settled()
            (access,) = seen.accesses
            assert access.first_byte is not None
            assert access.first_token is not None
            assert access.first_byte <= now <= access.first_token <= later <= access.ended
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    "handler",
    [
        streaming(CONTENT[0], kind=b"application/json"),
        streaming(CONTENT[0], kind=b"text/event-stream\r\nContent-Encoding: gzip"),
        streaming(*EMPTY),
    ],
)
def test_what_is_no_stream_or_says_nothing_has_no_first_token(handler: Any) -> None:
    async def scenario() -> None:
        async with proxying(handler) as (seen, _):
            client = await seen.connect()
            assert (await client.ask(POST))[0] == 200
            await seen.settled()
            assert seen.accesses[0].first_token is None
            client.close()

    run(scenario())


def test_a_client_without_chunks_has_a_first_token_too() -> None:
    async def scenario() -> None:
        async with proxying(streaming(EMPTY[1], CONTENT[0])) as (seen, _):
            client = await seen.connect()
            client.writer.write(b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
            assert (await client.reader.read()).endswith(CONTENT[0])
            await seen.settled()
            assert seen.accesses[0].first_token is not None
            client.close()

    run(scenario())


def test_a_response_with_a_length_is_not_looked_at() -> None:
    async def scenario() -> None:
        answer = ok(CONTENT[0], b"Content-Type: text/event-stream")

        def handler(backend: Backend) -> Handler:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while await read_request(reader, backend):
                    writer.write(answer)

            return handle

        async with proxying(handler) as (seen, _):
            client = await seen.connect()
            assert (await client.ask(POST))[0] == 200
            await seen.settled()
            assert seen.accesses[0].first_token is None
            client.close()

    run(scenario())
