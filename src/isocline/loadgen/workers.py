"""Load from several processes.

To a worker: (settings, schedule). From it: None when it is ready. To it: the time to start at, s of
CLOCK_MONOTONIC, which is one for all processes of a machine. From it: a `Sent`. And so on, until
its parent is gone, which also ends a run at once; SIGINT ends one early, with what was measured.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import uvloop

from isocline.loadgen.drive import Drive
from isocline.loadgen.schedule import Schedule
from isocline.loadgen.settings import LoadSettings
from isocline.loadgen.tally import Tally
from isocline.subprocesses.framing import packed, received
from isocline.subprocesses.spawn import connection
from isocline.subprocesses.supervise import Child, answers

WORKER = "isocline.loadgen.workers"
_SOON = 0.05  # s, so that the last worker hears of the start before it


class Sent(NamedTuple):
    """What came of a run in a worker."""

    tally: Tally
    cpu: float  # s that the process used


def drive_in_workers(settings: LoadSettings, schedule: Schedule, workers: int) -> Tally:
    """Run a schedule in `workers` processes that begin at one time.

    Raises:
        ProcessError: A worker ended before its time.
    """
    mine = replace(settings, connections=settings.connections // workers)
    total = Tally()
    with ExitStack() as stack:
        running = [
            stack.enter_context(Child(WORKER, f"load worker {number}", "start the load again"))
            for number in range(workers)
        ]
        for number, worker in enumerate(running):
            worker.tell((mine, schedule.part(number, workers)))
        answers(running)
        stack.enter_context(_passing_on_sigint(running))
        start = time.monotonic() + _SOON
        for worker in running:
            worker.tell(start)
        for sent in answers(running):
            total += sent.tally
    return total


@contextmanager
def _passing_on_sigint(workers: Sequence[Child]) -> Iterator[None]:
    """Have workers end early on SIGINT, in place of this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        for worker in workers:
            worker.interrupt()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def main() -> None:
    """Run a worker until its parent is gone."""
    with suppress(asyncio.CancelledError):
        uvloop.run(_work())


async def _work() -> None:
    reader, writer = await asyncio.open_unix_connection(sock=connection())
    loop, messages = asyncio.get_running_loop(), asyncio.Queue[Any]()

    async def hear() -> None:
        with suppress(EOFError, ConnectionError):
            while True:
                messages.put_nowait(await received(reader))

    working = asyncio.current_task()
    assert working is not None
    hearing = loop.create_task(hear())
    hearing.add_done_callback(lambda _: working.cancel())
    while True:
        settings, schedule = await messages.get()
        drive = Drive(settings, schedule)
        loop.add_signal_handler(signal.SIGINT, drive.stop)
        writer.write(packed(None))
        start = await messages.get()
        before = time.process_time()
        tally = await drive.run(start)
        writer.write(packed(Sent(tally, time.process_time() - before)))
