"""Which connections to a backend are used again, and when."""

import asyncio
import itertools
from collections import Counter
from time import monotonic
from typing import cast

import pytest

from isocline.gateway.config import FrontendRule
from isocline.gateway.core.actions import Cause
from isocline.gateway.proxy.pool import ClosingHabit
from isocline.model.serving_settings import SizeLimits, TimeLimits
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
from tests.live.memory_loop import memory_loop, run_in_memory
from tests.live.memory_proxy import Proxied, Speaker, proxied

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STANDSTILL = 0.03  # s: a connection rests for 0.05 s, and backends here close within 0.008 s


class Closing(asyncio.Protocol):
    """A backend that closes each connection so many s after a response; None: keeps it.

    Attributes:
        connections: Ever, of all of one run.
    """

    connections = 0

    def __init__(self, response: bytes, closes: float | None) -> None:
        self.response, self.closes = response, closes
        Closing.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, _: bytes) -> None:
        self.transport.write(self.response)
        if self.closes is not None:
            asyncio.get_running_loop().call_later(self.closes, self.transport.close)


async def asked(made: Proxied, count: int, pause: float) -> list[bytes]:
    """The statuses that a client gets, which asks again so many s after each answer."""
    client, statuses = Speaker(), []
    await made(client)
    for _ in range(count):
        client.data = b""
        client.transport.write(POST)
        await memory_loop().settled()
        statuses.append(client.data[9:12])
        await asyncio.sleep(pause)
    return statuses


@pytest.mark.parametrize("response", [STREAM, OK])
@pytest.mark.parametrize("closes", [0.0, 0.00002, 0.0005, 0.008, 0.03])
@pytest.mark.parametrize("pause", [0.0, 0.0001, 0.0007, 0.01, 0.2])
def test_no_request_meets_a_connection_that_is_being_closed(
    response: bytes, closes: float, pause: float
) -> None:
    async def scenario() -> None:
        async with proxied(lambda: Closing(response, closes)) as made:
            assert await asked(made, 60, pause) == [b"200"] * 60
            assert {access.attempts for access in made.accesses} == {1}

    run_in_memory(scenario())


def test_connections_of_a_backend_that_keeps_them_are_soon_used_at_once() -> None:
    async def scenario() -> None:
        Closing.connections = 0
        async with proxied(lambda: Closing(STREAM, None)) as made:
            await asked(made, 1000, 0.001)
            assert Closing.connections <= 60  # a rest is 50 ms long

    run_in_memory(scenario())


def test_a_backend_that_begins_to_close_is_found_out() -> None:
    async def scenario() -> None:
        closes: list[float | None] = [None]
        Closing.connections = 0

        class Turning(Closing):
            def data_received(self, data: bytes) -> None:
                self.closes = closes[0]
                super().data_received(data)

        async with proxied(lambda: Turning(OK, None)) as made:
            await asked(made, 200, 0.001)
            closes[0] = 0.0015
            statuses = await asked(made, 500, 0.001)
            assert statuses.count(b"502") <= 1  # that one could not be known

    run_in_memory(scenario())


def test_a_habit_is_forgotten_after_a_thousand_connections_that_stay() -> None:
    habit = ClosingHabit()
    assert habit.rest == 0.05
    for _ in range(8):
        habit.kept()
    assert habit.rest == 0.0
    habit.closed(0.1)
    assert habit.rest == 0.4
    habit.closed(0.001)
    assert habit.rest == 0.4
    habit.closed(0.9)
    assert habit.rest == 1.0
    for _ in range(999):
        habit.kept()
    assert habit.rest == 1.0
    habit.kept()
    assert habit.rest == 0.0
    habit.closed(30.0)  # as servers do with what is idle for long
    assert habit.rest == 0.0


def test_a_pool_of_none_uses_each_connection_once_and_says_so() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok()), sizes=SizeLimits(pool=0)) as (seen, [backend]):
            client = await seen.connect()
            for _ in range(3):
                assert (await client.ask(POST))[0] == 200
                seen.clock.skip(RESTED)
            assert backend.connections == 3
            assert [value_of(head, b"connection") for head in backend.heads] == [b"close"] * 3
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("said", "pause", "connections"),
    [
        (b"timeout=2, max=100", 1.5, 1),  # 0.8 of what the backend says
        (b"timeout=2", 1.7, 4),
        (b"timeout=60", 3.9, 1),  # no longer than `times.pool`
        (b"timeout=60", 4.3, 4),
        (b"timeout=0", 0.1, 4),
        (b"max=5", 3.9, 1),
    ],
)
def test_a_backend_is_believed_that_says_how_long_it_keeps_connections(
    said: bytes, pause: float, connections: int
) -> None:
    async def scenario() -> None:
        response = b"HTTP/1.1 200 OK\r\nKeep-Alive: %b\r\nContent-Length: 2\r\n\r\nok" % said
        Closing.connections = 0
        async with proxied(lambda: Closing(response, None), TimeLimits()) as made:
            assert await asked(made, 4, pause) == [b"200"] * 4
            assert Closing.connections == connections

    run_in_memory(scenario())


def test_over_real_sockets_no_stream_of_a_closed_loop_is_lost() -> None:
    pauses = [0.0, 0.00002, 0.0005, 0.002, 0.008]

    def closing(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)
            writer.write(STREAM)
            await writer.drain()
            await asyncio.sleep(pauses[len(backend.heads) % len(pauses)])

        return handle

    async def scenario() -> None:
        async with proxying(closing) as (seen, [backend]):
            stood = 0

            async def watch() -> None:
                """Count how often this process, which is all ends, stood still for long.

                A backend that means to close has not done so then, and its connection has rested.
                """
                nonlocal stood
                while True:
                    before = monotonic()
                    await asyncio.sleep(0.001)
                    stood += monotonic() - before > STANDSTILL

            async def loop() -> list[int]:
                client = await seen.connect()
                return [(await client.ask(POST))[0] for _ in range(100)]

            watching = asyncio.create_task(watch())
            statuses = Counter(itertools.chain(*await asyncio.gather(*(loop() for _ in range(8)))))
            watching.cancel()
            lost = statuses.pop(502, 0)
            assert lost <= 8 * stood  # none on a machine that is not so busy
            assert statuses == {200: 800 - lost}
            assert 800 - lost <= len(backend.heads) <= 800

    run(scenario())


@pytest.mark.parametrize(
    ("resend", "part", "status", "sends"),
    [
        (False, b"", 502, 1),
        (True, b"", 200, 2),
        (True, b"HTTP/1.1 1", 502, 1),  # a part of an answer: it was read
    ],
)
def test_a_post_that_was_never_answered_goes_again_where_that_is_wished(
    resend: bool, part: bytes, status: int, sends: int
) -> None:
    asked: list[bytes] = []

    def closing(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                if len(backend.heads) > 1 and not asked:
                    asked.append(part)
                    writer.write(part)
                    return
                writer.write(ok())

        return handle

    async def scenario() -> None:
        rules = (FrontendRule("all", resend_unanswered=resend),)
        async with proxying(closing, frontends=rules) as (seen, [backend]):
            client = await seen.connect()
            assert (await client.ask(POST))[0] == 200
            seen.clock.skip(RESTED)
            assert (await client.ask(POST))[0] == status
            assert len(backend.heads) == 1 + sends
            assert backend.bodies == [b"hi"] * (1 + sends)
            await seen.settled()
            client.close()

    run(scenario())


def test_a_new_connection_that_breaks_is_no_reason_to_send_a_post_again() -> None:
    def breaking(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)

        return handle

    async def scenario() -> None:
        rules = (FrontendRule("all", resend_unanswered=True),)
        async with proxying(breaking, frontends=rules) as (seen, [backend]):
            client = await seen.connect()
            assert (await client.ask(POST))[0] == 502
            assert len(backend.heads) == 1
            client.close()

    run(scenario())


LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate"


@pytest.mark.parametrize("body", [b"hi", b"x" * 200_000])
def test_408_on_a_kept_connection_is_its_end_and_not_an_answer(body: bytes) -> None:
    """A backend that ends an idle connection with a word crosses a request that it has not read."""
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def leaving(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first = True
            while await read_request(reader, backend):
                writer.write(ok() if first else LATE)
                if not first:
                    return
                first = False

        return handle

    async def scenario() -> None:
        async with proxying(leaving) as (seen, [backend]):
            client = await seen.connect()
            assert (await client.ask(POST))[0] == 200
            seen.clock.skip(RESTED)
            status, _, _ = await client.ask(post)
            kept = len(body) <= seen.proxy.settings.sizes.replay
            assert status == (200 if kept else 408)  # what cannot be sent again is passed on
            assert len(backend.heads) == (3 if kept else 2)
            assert [cause for _, cause in seen.accesses[-1].failures] == [Cause.STALE] * kept
            client.close()

    run(scenario())


def test_408_on_a_new_connection_is_an_answer() -> None:
    async def scenario() -> None:
        async with proxying(saying(LATE)) as (seen, [backend]):
            client = await seen.connect()
            assert (await client.ask(POST))[0] == 408
            assert len(backend.heads) == 1
            client.close()

    run(scenario())
