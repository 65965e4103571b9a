"""The alarm rings when it was set to; the listener takes all who wait."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator

import pytest
import uvloop

from isocline.event_loop.alarm import CoarseAlarm, alarm
from isocline.event_loop.listener import Listener

PATIENCE = 60.0  # s for what takes a moment where the machine is idle


async def lateness(kind: object, delays: list[float], times: int) -> AsyncIterator[float]:
    """How late each of these settings, made at once, rang; only the last one counts."""
    rang: list[float] = []
    heard = asyncio.Event()

    def ring() -> None:
        rang.append(time.monotonic())
        heard.set()

    made = kind(asyncio.get_running_loop(), ring)  # type: ignore[operator]
    for _ in range(times):
        heard.clear()
        for delay in delays:
            when = time.monotonic() + delay
            made.set(when)
        async with asyncio.timeout(PATIENCE):
            await heard.wait()
        yield rang.pop() - when
    made.set(time.monotonic() + 0.01)
    made.close()
    made.set(time.monotonic())
    await asyncio.sleep(0.03)
    assert rang == []


@pytest.mark.parametrize("kind", [alarm, CoarseAlarm])
@pytest.mark.parametrize("delays", [[0.0], [0.0123], [3600.0, 0.01], [0.001, 0.02]])
def test_it_rings_once_and_not_early(kind: object, delays: list[float]) -> None:
    async def run() -> list[float]:
        return [late async for late in lateness(kind, delays, 5)]

    late = uvloop.run(run())
    assert len(late) == 5
    assert min(late) >= (0.0 if kind is alarm else -0.001)


@pytest.mark.skipif(sys.platform != "linux", reason="needs timerfd")
def test_it_can_ring_within_a_fraction_of_the_loop_s_millisecond() -> None:
    """Not each time, as this machine may be busy with something else."""

    async def run() -> float:
        return min([late async for late in lateness(alarm, [0.0013], 200)])

    assert uvloop.run(run()) < 0.0003


def test_all_who_wait_are_accepted_in_a_few_turns() -> None:
    """uvloop's own servers take one a turn."""

    async def run() -> int:
        made: list[asyncio.BaseTransport] = []
        lost: list[object] = []

        class Greeted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.append(transport)

            def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
                lost.append(self)

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
        while len(lost) < len(made):
            await asyncio.sleep(0.001)
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
