"""Load on a virtual loop, against servers in memory: all latencies are exact."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np

from isocline.loadgen import LoadResult, LoadSettings, Schedule
from isocline.loadgen.drive import Drive
from tests.live.memory_loop import memory_loop
from tests.loadgen.servers import OK
from tests.virtual_time import LoopClock

Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[int]:
    """The port of a server that calls `answer` for each GET that it has read."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                await answer(writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in writers:
        writer.close()
    await memory_loop().settled()


async def load(port: int, schedule: Schedule, path: str = "/", **options: object) -> LoadResult:
    """What `run_load` says of this schedule."""
    settings = LoadSettings(f"http://127.0.0.1:{port}{path}", **options)  # type: ignore[arg-type]
    clock = LoopClock()
    tally = await Drive(settings, schedule, clock).run(clock.now())
    return LoadResult.of(
        tally,
        url=settings.url,
        source=schedule.source,
        rate=schedule.rate,
        duration=schedule.duration,
        warmup=settings.warmup,
        streams=settings.streams,
        workers=1,
    )


def evenly(rate: float, duration: float) -> Schedule:
    """A request every 1 / `rate` s, the first one half of that after the start."""
    times = (np.arange(round(rate * duration), dtype=np.float64) + 0.5) / rate
    ones = np.ones(times.size, dtype=np.int64)
    return Schedule("even", duration, times, ones, ones)


async def at_once(writer: asyncio.StreamWriter) -> None:
    """Answer without any delay."""
    writer.write(OK)
