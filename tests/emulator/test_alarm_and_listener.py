"""The alarm rings when it was set to; the listener takes all who wait."""

import asyncio
import socket
import time

import pytest
import uvloop

from isocline.alarm import Alarm, alarm
from isocline.listener import Listener


def rings(kind: object, delays: list[float]) -> list[float]:
    """How late each of these settings, made at once, rang; only the last one counts."""

    async def run() -> list[float]:
        late: list[float] = []
        rang = asyncio.Event()
        when = 0.0

        def ring() -> None:
            late.append(time.monotonic() - when)
            rang.set()

        made = kind(asyncio.get_running_loop(), ring)  # type: ignore[operator]
        for _ in range(5):
            rang.clear()
            for delay in delays:
                when = time.monotonic() + delay
                made.set(when)
            await asyncio.wait_for(rang.wait(), 5.0)
        made.set(time.monotonic() + 0.01)
        made.close()
        made.set(time.monotonic())
        await asyncio.sleep(0.03)
        return late

    return uvloop.run(run())


@pytest.mark.parametrize("kind", [alarm, Alarm])
@pytest.mark.parametrize("delays", [[0.0], [0.0123], [0.5, 0.01], [0.001, 0.02]])
def test_it_rings_once_and_not_early(kind: object, delays: list[float]) -> None:
    late = rings(kind, delays)
    assert len(late) == 5
    assert min(late) >= (0.0 if kind is alarm else -0.001)
    assert sorted(late)[2] < 0.02


def test_all_who_wait_are_accepted_in_a_few_turns() -> None:
    """uvloop's own servers take one a turn."""

    async def run() -> int:
        made: list[asyncio.BaseTransport] = []

        class Greeted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.append(transport)

        listener = await Listener.open(Greeted, "127.0.0.1", 0)
        clients = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(100)]
        turns = 0
        while len(made) < 100 and turns < 1000:
            turns += 1
            await asyncio.sleep(0)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", listener.port))
        for one in clients:
            one.close()
        for transport in made:
            transport.close()
        await asyncio.sleep(0.01)
        return turns

    assert uvloop.run(run()) < 20


def test_two_listeners_share_a_port_if_both_ask_for_it() -> None:
    async def run() -> None:
        first = await Listener.open(asyncio.Protocol, "127.0.0.1", 0, share=True)
        second = await Listener.open(asyncio.Protocol, "127.0.0.1", first.port, share=True)
        with pytest.raises(OSError, match="in use"):
            await Listener.open(asyncio.Protocol, "127.0.0.1", first.port)
        first.close()
        second.close()

    uvloop.run(run())
