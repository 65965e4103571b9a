"""What passes through the proxy, and how."""

import asyncio

import pytest

from isocline.model.serving_settings import SizeLimits
from tests.gateway.proxies import (
    RESTED,
    Backend,
    Handler,
    ok,
    proxying,
    read_request,
    run,
    saying,
    value_of,
)

GET = b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\n\r\n"


def test_a_request_goes_on_and_its_response_comes_back() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok(b"hello", b"X-Own: 1"))) as (seen, [backend]):
            client = await seen.connect()
            status, head, body = await client.ask(
                b"POST /a?b=c HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n"
                b"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nKeep-Alive: 5\r\n"
                b"Connection: x-mine\r\nX-Mine: 1\r\nX_Forwarded_For: 6.6.6.6\r\n"
                b"X-Kept: 1\r\n\r\nabc"
            )
            assert (status, body) == (200, b"hello")
            assert value_of(head, b"x-own") == b"1"
            assert value_of(head, b"connection") is None
            sent = backend.heads[0]
            assert sent.startswith(b"POST /a?b=c HTTP/1.1\r\nHost: example.org\r\n")
            assert backend.bodies == [b"abc"]
            assert b"6.6.6.6" not in sent
            assert value_of(sent, b"x-mine") is None
            assert value_of(sent, b"keep-alive") is None
            assert value_of(sent, b"x-kept") == b"1"
            assert value_of(sent, b"x-forwarded-for") == b"127.0.0.1"
            assert value_of(sent, b"forwarded") == b'for=127.0.0.1;proto=http;host="example.org"'
            assert value_of(sent, b"via") == b"1.1 isocline"
            await seen.settled()
            [access] = seen.accesses
            assert (access.status, access.frontend, access.backend, access.attempts) == (
                200,
                0,
                0,
                1,
            )
            client.close()

    run(scenario())


def test_connections_are_kept_on_both_sides() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok())) as (seen, [backend]):
            for _ in range(2):
                client = await seen.connect()
                for _ in range(3):
                    assert (await client.ask(GET))[0] == 200
                    seen.clock.skip(RESTED)
                client.close()
            assert len(backend.heads) == 6
            assert backend.connections == 1

    run(scenario())


def test_pipelined_requests_are_served_one_after_the_other() -> None:
    def slow_first(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                if len(backend.heads) == 1:
                    await asyncio.sleep(0.05)
                writer.write(ok(b"%d" % len(backend.heads)))

        return handle

    async def scenario() -> None:
        async with proxying(slow_first) as (seen, _):
            client = await seen.connect()
            chunked = (
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy"
                b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            client.writer.write(chunked + GET * 50)
            for i in range(52):
                assert (await client.response())[2] == b"%d" % (i + 1)
            client.close()

    run(scenario())


def test_a_chunked_request_is_followed_by_another_in_one_piece() -> None:
    def echo(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                backend.heads.append(head)
                if b"chunked" in head:
                    backend.bodies.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(ok())

        return handle

    async def scenario() -> None:
        async with proxying(echo) as (seen, [backend]):
            client = await seen.connect()
            client.writer.write(
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3;x=y\r\nabc\r\n00002\r\nde\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n" + GET
            )
            assert (await client.response())[0] == 200
            assert (await client.response())[0] == 200
            assert backend.bodies == [b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"]
            assert backend.heads[1].startswith(b"GET /a?b=c")
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("said", "status", "length", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, None, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"9", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"0", b""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
            200,
            None,
            b"abcde",
        ),
        (b"HTTP/1.1 500 \r\nContent-Length: 2\r\n\r\nno", 500, b"2", b"no"),
    ],
)
def test_bodies_end_where_they_end(
    said: bytes, status: int, length: bytes | None, body: bytes
) -> None:
    async def scenario() -> None:
        async with proxying(saying(said, ok(b"next"))) as (seen, [backend]):
            client = await seen.connect()
            got = await client.ask(GET)
            assert (got[0], got[2]) == (status, body)
            assert value_of(got[1], b"content-length") == length
            seen.clock.skip(RESTED)
            assert (await client.ask(GET))[2] == b"next"
            assert backend.connections == 1
            client.close()

    run(scenario())


def test_the_answer_to_head_has_no_body() -> None:
    async def scenario() -> None:
        said = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        async with proxying(saying(said, ok())) as (seen, [backend]):
            client = await seen.connect()
            status, head, _ = await client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (status, value_of(head, b"content-length")) == (200, b"1000")
            seen.clock.skip(RESTED)
            assert (await client.ask(GET))[2] == b"ok"
            assert backend.connections == 1
            client.close()

    run(scenario())


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_body_that_ends_with_its_connection(version: bytes) -> None:
    def closing(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)
            writer.write(b"HTTP/1.0 200 OK\r\n\r\nab")
            await asyncio.sleep(0.02)
            writer.write(b"cd")

        return handle

    async def scenario() -> None:
        async with proxying(closing) as (seen, _):
            client = await seen.connect()
            got = await client.ask(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
            assert got[2] == b"abcd"
            assert (value_of(got[1], b"transfer-encoding") is None) == (version == b"1.0")
            client.close()

    run(scenario())


def test_chunks_are_taken_off_for_http_1_0() -> None:
    async def scenario() -> None:
        said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        async with proxying(saying(said)) as (seen, _):
            client = await seen.connect()
            _, head, body = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert body == b"abc"
            assert value_of(head, b"connection") == b"close"
            client.close()

    run(scenario())


def test_events_pass_as_they_come() -> None:
    step = asyncio.Event()

    def events(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(3):
                writer.write(b"9\r\ndata: %d\n\n\r\n" % i)
                await step.wait()
                step.clear()
            writer.write(b"0\r\n\r\n")

        return handle

    async def scenario() -> None:
        async with proxying(events) as (seen, _):
            client = await seen.connect()
            client.writer.write(GET)
            await client.reader.readuntil(b"\r\n\r\n")
            for i in range(3):  # each must be here before the next is made
                assert await client.reader.readexactly(14) == b"9\r\ndata: %d\n\n\r\n" % i
                step.set()
            assert await client.reader.readexactly(5) == b"0\r\n\r\n"
            client.close()

    run(scenario())


def test_continue_is_asked_for_and_passed_on() -> None:
    def asking(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            assert value_of(head, b"expect") == b"100-continue"
            writer.write(
                b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
            )
            backend.bodies.append(await reader.readexactly(5))
            writer.write(ok())

        return handle

    async def scenario() -> None:
        async with proxying(asking) as (seen, [backend]):
            client = await seen.connect()
            request = (
                b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            )
            assert (await client.ask(request))[0] == 103
            assert (await client.response())[0] == 100
            client.writer.write(b"hello")
            assert (await client.response())[0] == 200
            assert backend.bodies == [b"hello"]
            client.close()

    run(scenario())


def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    def refusing(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            await reader.read()

        return handle

    async def scenario() -> None:
        async with proxying(refusing) as (seen, _):
            client = await seen.connect()
            client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
            for _ in range(8):
                client.writer.write(b"x" * 100_000)
                await asyncio.sleep(0.005)
            status, head, body = await client.response()
            assert (status, body) == (403, b"no")
            assert value_of(head, b"connection") == b"close"
            assert await client.reader.read() == b""
            client.close()

    run(scenario())


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok()), sizes=SizeLimits(body=100)) as (seen, [backend]):
            client = await seen.connect()
            got = await client.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n")
            assert got[0] == 413
            assert b"100 bytes" in got[2]
            client.close()
            client = await seen.connect()
            got = await client.ask(
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"
            )
            assert got[0] == 413
            client.close()
            assert backend.heads == []

    run(scenario())
