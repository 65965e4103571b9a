"""Limits on the time of each step, with their defaults, on virtual time."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from isocline.model.serving_settings import TimeLimits
from tests.live.memory_loop import memory_loop, run_in_memory
from tests.live.memory_proxy import Proxied, Speaker, proxied

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE = 0.25  # s: the proxy looks at all limits ten times in the shortest one, 2 s


class Scripted(asyncio.Protocol):
    """A backend that writes these pieces once asked, each so many seconds after the one before."""

    def __init__(self, *script: tuple[float, bytes]) -> None:
        self.script = script

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, _: bytes) -> None:
        self.task = asyncio.get_running_loop().create_task(self.speak())

    async def speak(self) -> None:
        for pause, piece in self.script:
            await asyncio.sleep(pause)
            self.transport.write(piece)


async def until(condition: Callable[[], object]) -> float:
    """The time at which it holds, s."""
    while not condition():
        await asyncio.sleep(0.01)
    return memory_loop().time()


async def told(made: Proxied, client: Speaker, request: bytes) -> float:
    """When the client, which connects now, has got something or lost its connection, s from now."""
    begun = memory_loop().time()
    await made(client)
    client.transport.write(request)
    return await until(lambda: client.data or client.ended) - begun


@pytest.mark.parametrize(
    ("limits", "request_", "seconds", "status", "reason"),
    [
        (TimeLimits(), GET, 600.0, b"504", "did not begin in time"),
        (TimeLimits(first_byte=900.0, total=700.0), GET, 700.0, b"504", "altogether"),
        (TimeLimits(), POST[:-1], 300.0, b"408", "body of the request"),
        (TimeLimits(), GET[:-2], 15.0, b"408", "head of the request"),
    ],
)
def test_a_step_that_takes_too_long_ends_at_its_limit(
    limits: TimeLimits,
    request_: bytes,
    seconds: float,
    status: bytes,
    reason: str,
) -> None:
    async def scenario() -> None:
        async with proxied(Scripted, limits) as made:
            client = Speaker()
            passed = await told(made, client, request_)
            assert seconds <= passed <= seconds + LATE
            assert client.data.startswith(b"HTTP/1.1 " + status)
            assert reason in made.accesses[-1].reason

    run_in_memory(scenario())


def test_a_response_that_stands_still_is_broken_off() -> None:
    async def scenario() -> None:
        part = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
        async with proxied(lambda: Scripted((1.0, part), (299.0, b"d"))) as made:
            client = Speaker()
            await told(made, client, GET)
            ended = await until(lambda: client.ended)
            assert client.data.endswith(b"abcd")
            assert 600.0 <= ended <= 600.0 + LATE  # 300 s after the last byte
            assert "stood still" in made.accesses[0].reason

    run_in_memory(scenario())


def test_silent_and_slow_and_resting_clients_are_let_go() -> None:
    async def scenario() -> None:
        async with proxied(lambda: Scripted((0.0, OK))) as made:
            begun = memory_loop().time()
            says_nothing, drips, rests = Speaker(), Speaker(), Speaker()
            for client in (says_nothing, drips, rests):
                await made(client)
            rests.transport.write(GET)
            for i in range(14):
                drips.transport.write(GET[i : i + 1])
                await asyncio.sleep(1.0)
            assert not says_nothing.ended
            assert 15.0 <= await until(lambda: says_nothing.ended) - begun <= 15.0 + LATE
            assert says_nothing.data == b""
            await until(lambda: drips.ended)
            assert drips.data.startswith(b"HTTP/1.1 408")
            assert 75.0 <= await until(lambda: rests.ended) - begun <= 75.0 + LATE
            assert rests.data == OK
            await until(lambda: not made.proxy.clients.connections)

    run_in_memory(scenario())
