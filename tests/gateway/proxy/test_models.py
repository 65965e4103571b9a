"""Bodies whose model chooses the frontend, over real sockets: long, in parts, encoded, forms."""

import asyncio
import gzip
import json
import random
import zlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from backports import zstd

from isocline.gateway.config import FrontendRule
from isocline.model.match import Match
from isocline.model.serving_settings import SizeLimits
from tests.gateway.proxies import Backend, Client, Seen, ok, proxying, run, saying, value_of

FRONTENDS = [
    FrontendRule("large", Match(path="/", model="large*")),
    FrontendRule("small", Match(path="/", model="small")),
]
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"


def post(body: bytes, *fields: bytes) -> bytes:
    lines = [*fields, b"Content-Length: %d" % len(body)]
    return HEAD + b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, size: int, *fields: bytes) -> bytes:
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(it), it) for it in chunks) + b"0\r\n\r\n"
    head = HEAD + b"".join(field + b"\r\n" for field in fields)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed


def two(**more: Any) -> AbstractAsyncContextManager[tuple[Seen, list[Backend]]]:
    """A proxy before a backend for large models and one for small ones."""
    return proxying(
        saying(ok(b"large")),
        saying(ok(b"small")),
        frontends=FRONTENDS,
        neighbours=[[0], [1]],
        **more,
    )


async def asked(seen: Seen, request: bytes, cuts: int = 0) -> tuple[int, bytes, bytes]:
    """The response to a request on a connection of its own, sent in so many more parts."""
    client = await seen.connect()
    size = len(request) // (cuts + 1) + 1
    for i in range(0, len(request), size):
        client.writer.write(request[i : i + size])
        await asyncio.sleep(0.002)
    response = await client.response()
    client.close()
    return response


IMAGE = "data:image/png;base64," + "QUJD" * 750_000  # 3 MB
MESSAGES = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]


def test_the_answer_depends_neither_on_the_order_of_keys_nor_on_the_way_a_body_comes() -> None:
    first = json.dumps({"model": "small", "messages": MESSAGES}).encode()
    last = json.dumps({"messages": MESSAGES, "model": "small"}).encode()
    twice = json.dumps({"model": "large-1", "x": MESSAGES}).encode()[:-1] + b',"model":"small"}'

    async def scenario() -> None:
        async with two() as (seen, backends):
            for body in (first, last, twice):
                for cuts in (0, 40):
                    assert (await asked(seen, post(body), cuts))[2] == b"small"
                assert backends[1].bodies[-2:] == [body, body]
            assert backends[0].heads == []
            await seen.settled()
            assert seen.proxy.clients.bodies.size == 0

    run(scenario())


def test_the_openai_client_sends_an_image() -> None:
    import openai  # here, as each worker imports all files of tests

    async def scenario() -> None:
        answer = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "small",
            "choices": [],
        }
        said = ok(json.dumps(answer).encode(), b"Content-Type: application/json")
        async with proxying(saying(said), frontends=[FRONTENDS[1]], neighbours=[[0]]) as (
            seen,
            [backend],
        ):
            async with openai.AsyncOpenAI(
                base_url=f"http://127.0.0.1:{seen.port}/v1", api_key="x", max_retries=0
            ) as client:
                # In the order of the client before version 2.
                await client.post(
                    "/chat/completions",
                    cast_to=object,
                    body={"messages": MESSAGES, "model": "small"},
                )
                with pytest.raises(openai.NotFoundError, match="model 'none'"):
                    await client.chat.completions.create(model="none", messages=MESSAGES)  # type: ignore[arg-type]
                with pytest.raises(openai.BadRequestError, match="`model` is longer than 4096"):
                    await client.chat.completions.create(
                        model="m" * 900_000, messages=[{"role": "user", "content": "hi"}]
                    )
            assert backend.bodies[0].index(b"messages") < backend.bodies[0].index(b'"model"')

    run(scenario())


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        (post(b'{"model": "other"}'), 404, b"(model 'other')"),
        (post(b"not json"), 400, b"the body is not JSON: unexpected character at position 0"),
        (post(b'{"model": "small",}'), 400, b"the body is not JSON"),
        (post(b""), 400, b"the body is empty"),
        (HEAD + b"\r\n", 400, b"the body is empty"),
        (chunked(b"", 9), 400, b"the body is empty"),
        (post(b"[]"), 400, b"the body is not an object with a field `model`"),
        (post(b'{"model": 3}'), 400, b"`model` is not text"),
        (post(b'{"model": "' + b"m" * 900_000 + b'"}'), 400, b"`model` is longer than 4096"),
        (post(b'{"model": "' + b"m" * 4000 + b'"}'), 404, b"(model '" + b"m" * 100 + b"...')"),
        (post(b'{"model": "\\u001b[31m\\n"}'), 404, rb"(model '\\x1b[31m\\n')"),
        (post(b"x", b"Content-Encoding: br"), 415, b"gzip, deflate, zstd"),
        (post(b"{}", b"Content-Encoding: gzip"), 400, b"not what Content-Encoding says"),
        (
            post(gzip.compress(b"{}", mtime=0)[:-1], b"Content-Encoding: gzip"),
            400,
            b"ends too early",
        ),
        (
            post(gzip.compress(bytes(20_000), mtime=0), b"Content-Encoding: gzip"),
            413,
            b"longer than 10000",
        ),
        (post(bytes(10_001)), 413, b"longer than 10000"),
        (chunked(b"[" + bytes(10_001), 999), 413, b"longer than the limit"),
        (post(b"x", b"Content-Type: multipart/form-data"), 400, b"no valid boundary"),
        (
            post(b"--b--", b"Content-Type: multipart/form-data; boundary=b"),
            400,
            b"no field `model`",
        ),
        (
            post(b"--b--", b"Content-Type: text/plain", b"Content-Type: application/json"),
            400,
            b"more than one Content-Type",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404, b"the request has no model"),
    ],
)
def test_what_no_frontend_takes_is_told_why(request_: bytes, status: int, says: bytes) -> None:
    big = len(request_) > 11_000 and status != 413

    async def scenario() -> None:
        sizes = SizeLimits() if big else SizeLimits(body=10_000)
        async with two(sizes=sizes) as (seen, backends):
            got, head, body = await asked(seen, request_)
            error = json.loads(body)["error"]
            assert (got, error["code"]) == (status, status)
            assert json.loads(b'"' + says.replace(b'"', b'\\"') + b'"') in error["message"]
            assert len(body) < 500
            assert value_of(head, b"accept-encoding") == (
                b"gzip, deflate, zstd" if status == 415 else None
            )
            await seen.settled()
            assert len(seen.accesses[-1].reason) < 400
            assert seen.proxy.clients.bodies.size == 0
            assert not backends[0].heads
            assert not backends[1].heads

    run(scenario())


def test_a_whole_number_of_6000_digits_is_json() -> None:
    async def scenario() -> None:
        async with two() as (seen, _):
            body = b'{"seed": ' + b"7" * 6000 + b', "model": "small"}'
            assert (await asked(seen, post(body)))[2] == b"small"
            assert (await asked(seen, chunked(body, 999)))[2] == b"small"

    run(scenario())


def test_what_needs_no_model_is_not_read() -> None:
    """Neither if the first frontend takes all of a path, nor if a later one takes the rest."""

    async def scenario() -> None:
        frontends = [
            FrontendRule("files", Match(path="/v1/files")),
            FrontendRule("small", Match(model="small")),
            FrontendRule("rest"),
        ]
        async with proxying(
            saying(ok(b"a")), saying(ok(b"b")), frontends=frontends, neighbours=[[0], [0], [1]]
        ) as (seen, _):
            strange = post(b"noise", b"Content-Encoding: br")
            assert (await asked(seen, strange.replace(b"/v1/chat", b"/v1/files/x")))[2] == b"a"
            for body in (strange, post(b"noise"), post(b"")):
                assert (await asked(seen, body))[2] == b"b"

    run(scenario())


@pytest.mark.parametrize(
    ("coding", "encode"),
    [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"zstd", zstd.compress)],
)
def test_encoded_bodies_are_read_and_sent_on_untouched(
    coding: bytes, encode: Callable[[bytes], bytes]
) -> None:
    noise = random.Random(1).randbytes(2_000_000).hex()  # which does not become short
    plain = json.dumps({"messages": noise, "model": "small"}).encode()

    async def scenario() -> None:
        async with two() as (seen, backends):
            for cuts in (0, 30):
                body = encode(plain)
                assert (await asked(seen, post(body, b"Content-Encoding: " + coding), cuts))[2] == (
                    b"small"
                )
                assert backends[1].bodies[-1] == body
                assert value_of(backends[1].heads[-1], b"content-encoding") == coding

    run(scenario())


def test_forms_name_their_model_after_a_file_too() -> None:
    sound = random.Random(2).randbytes(500_000)
    form = (
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\n" + sound + b"\r\n"
        b'--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nsmall\r\n--xyz--\r\n'
    )
    kind = b"Content-Type: multipart/form-data; boundary=xyz"

    async def scenario() -> None:
        async with two() as (seen, backends):
            for cuts in (0, 25):
                assert (await asked(seen, post(form, kind), cuts))[2] == b"small"
                assert backends[1].bodies[-1] == form
            answer = await asked(seen, post(gzip.compress(form), kind, b"Content-Encoding: gzip"))
            assert answer[2] == b"small"

    run(scenario())


def test_the_openai_client_transcribes() -> None:
    import openai  # here, as each worker imports all files of tests

    async def scenario() -> None:
        said = ok(b'{"text": "hello"}', b"Content-Type: application/json")
        async with (
            proxying(saying(said), frontends=[FRONTENDS[1]], neighbours=[[0]]) as (seen, _),
            openai.AsyncOpenAI(
                base_url=f"http://127.0.0.1:{seen.port}/v1", api_key="x", max_retries=0
            ) as client,
        ):
            sound = ("a.wav", random.Random(3).randbytes(300_000))
            answer = await client.audio.transcriptions.create(model="small", file=sound)
            assert answer.text == "hello"
            with pytest.raises(openai.NotFoundError):
                await client.audio.transcriptions.create(model="none", file=sound)

    run(scenario())


def test_the_memory_of_bodies_that_wait_is_bounded_and_given_back() -> None:
    """One of those that would hold more in all is sent away, and may come again."""

    async def scenario() -> None:
        sizes = SizeLimits(body=100_000, bodies=150_000)
        async with two(sizes=sizes) as (seen, _):
            start = HEAD + b"Content-Length: 90000\r\n\r\n" + b'{"x": "' + b"x" * 80_000
            waiting: list[Client] = [await seen.connect()]
            waiting[0].writer.write(start)
            while seen.proxy.clients.bodies.size < 80_000:
                await asyncio.sleep(0.005)
            status, head, body = await asked(seen, start)
            assert status == 503
            assert value_of(head, b"retry-after") == b"1"
            assert b"hold more than 150000 bytes" in body
            rest = 90_000 - 80_007 - len(b'", "model": "small"}')
            waiting[0].writer.write(b"x" * rest + b'", "model": "small"}')
            assert (await waiting[0].response())[2] == b"small"
            gone = await seen.connect()
            gone.writer.write(start)
            while seen.proxy.clients.bodies.size < 80_000:
                await asyncio.sleep(0.005)
            gone.close()
            while seen.proxy.clients.bodies.size:
                await asyncio.sleep(0.005)
            assert (await asked(seen, post(b'{"model": "small"}')))[0] == 200
            waiting[0].close()

    run(scenario())
