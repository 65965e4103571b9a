"""Backends that say that they are full, over real sockets: who gets the request then, and what."""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from time import time

import pytest

from isocline.gateway.access_log import AccessLog
from isocline.model.serving_settings import RefusalRule, Rules, SizeLimits
from tests.gateway.proxies import Backend, Handler, ok, proxying, read_request, run, saying

BODY = b'{"error": "busy"}'


def refusal(status: bytes, *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(BODY), *fields, b"", BODY]
    return b"\r\n".join(lines)


FULL = refusal(b"429 Too Many Requests", b"Retry-After: 7")


def post(body: bytes) -> bytes:
    return b"POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def in_pieces(*pieces: bytes) -> Callable[[Backend], Handler]:
    """A backend whose response comes in pieces, each on its own."""

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                for piece in pieces:
                    if writer.is_closing():  # the rest is not wanted
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)

        return handle

    return handler


CHUNKED = b"HTTP/1.1 429 No\r\nTransfer-Encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 429 No\r\nContent-Length: 4\r\n\r\nbusy"


@pytest.mark.parametrize(
    "full",
    [
        saying(FULL),
        saying(refusal(b"429 Too Many Requests")),
        saying(refusal(b"503 Service Unavailable", b"Retry-After: 7")),
        saying(
            refusal(b"503 No", b"Retry-After: " + formatdate(time() + 86_400, usegmt=True).encode())
        ),
        saying(b"HTTP/1.1 429 No\r\n\r\n"),  # its body ends with the connection
        in_pieces(CHUNKED, b"4\r\nbusy\r\n", b"0\r\n\r\n"),
        in_pieces(EARLY[:20], EARLY[20:-4], EARLY[-4:]),
    ],
)
def test_what_a_full_backend_refuses_another_one_does(
    full: Callable[[Backend], Handler],
) -> None:
    async def scenario() -> None:
        async with proxying(full, saying(ok(b"done"))) as (seen, (first, second)):
            client = await seen.connect()
            for body in (b"one", b"two"):
                assert (await client.ask(post(body)))[::2] == (200, b"done")
            await seen.settled()
            assert first.bodies == [b"one"]  # and then it is not asked again
            assert second.bodies == [b"one", b"two"]
            one, two = seen.accesses
            assert [backend for backend, _ in one.refusals] == [0]
            assert (one.status, one.backend, one.attempts, one.failures) == (200, 1, 2, ())
            assert (two.status, two.backend, two.attempts, two.refusals) == (200, 1, 1, ())
            client.close()

    run(scenario())


def test_a_refusal_that_nobody_mends_is_passed_on_as_it_is() -> None:
    async def scenario() -> None:
        other = refusal(b"429 Slow Down", b"Retry-After: 9", b"X-Why: full")
        async with proxying(saying(FULL), saying(other)) as (seen, backends):
            client = await seen.connect()
            status, head, body = await client.ask(post(b"one"))
            assert (status, body) == (429, BODY)
            assert head.startswith(b"HTTP/1.1 429 Slow Down\r\n")
            assert b"Retry-After: 9\r\n" in head
            assert b"X-Why: full\r\n" in head
            await seen.settled()
            assert [backend.bodies for backend in backends] == [[b"one"], [b"one"]]
            assert seen.accesses[0].refusals == ((0, 429),)
            assert (seen.accesses[0].status, seen.accesses[0].backend) == (429, 1)
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("response", "size"),
    [
        (refusal(b"503 Service Unavailable"), 3),  # a failure: it may have done something
        (refusal(b"404 Not Found", b"Retry-After: 7"), 3),
        (FULL, 40_000),  # longer than what is kept
    ],
)
def test_what_may_not_be_sent_again_is_passed_on(response: bytes, size: int) -> None:
    async def scenario() -> None:
        sizes = SizeLimits(replay=20_000)
        async with proxying(saying(response), saying(ok()), sizes=sizes) as (seen, backends):
            client = await seen.connect()
            status, _, body = await client.ask(post(b"x" * size))
            assert (status, body) == (int(response[9:12]), BODY)
            await seen.settled()
            assert [len(backend.heads) for backend in backends] == [1, 0]
            client.close()

    run(scenario())


def test_a_connection_whose_refusal_was_read_is_used_again() -> None:
    async def scenario() -> None:
        backends = saying(refusal(b"429 No"), ok(b"a")), saying(ok(b"b"))
        rules = Rules(refusals=RefusalRule(first=1.0))  # s, when the connection has rested for long
        async with proxying(*backends, rules=rules) as (seen, (first, _)):
            client = await seen.connect()
            assert (await client.ask(post(b"one")))[2] == b"b"
            # It named no time and has no job: it is asked again after a pause.
            seen.clock.skip(1.0)
            while (await client.ask(post(b"two")))[2] == b"b":
                await asyncio.sleep(0.01)
            assert (first.connections, len(first.heads)) == (1, 2)
            client.close()

    run(scenario())


def test_the_log_says_who_was_full() -> None:
    async def scenario() -> None:
        async with proxying(saying(FULL), saying(ok())) as (seen, _):
            client = await seen.connect()
            await client.ask(post(b"one"))
            client.close()
            await seen.settled()
            log = AccessLog(_Nothing(), ["all"], ["b0", "b1"], "gmsr")
            line = log.line(seen.accesses[0], 0.0)
            assert ',"refused":{"b0":429}' in line
            assert '"status":200' in line
            assert '"backend":"b1"' in line

    run(scenario())


class _Nothing:
    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


def test_dates_in_retry_after_are_of_the_clock_that_is_given() -> None:
    """Twenty seconds from then, which is long past by the machine's clock."""
    then = 784_111_777.0  # RFC 9110's example of a date
    date = b"Retry-After: " + formatdate(then + 20.0, usegmt=True).encode()
    full = saying(refusal(b"503 Service Unavailable", date))

    async def scenario() -> None:
        async with proxying(full, saying(ok()), unix_time=lambda: then) as (seen, backends):
            client = await seen.connect()
            for _ in range(5):
                assert (await client.ask(post(b"hi")))[0] == 200
            assert len(backends[0].heads) == 1  # it is believed for twenty seconds
            assert seen.accesses[0].refusals == ((0, 503),)
            client.close()

    run(scenario())
