"""Open loop: sends each request when it is due, on a connection that is free, or a new one."""

import asyncio
import contextlib
import signal
import threading
from collections import deque
from collections.abc import Callable
from typing import final

import uvloop

from isocline.event_loop.clock import SYSTEM_CLOCK, Clock
from isocline.loadgen.connection import Connection, InFlight, failure_of
from isocline.loadgen.flight import Flight
from isocline.loadgen.prompts import Prompts
from isocline.loadgen.schedule import Schedule
from isocline.loadgen.settings import LoadSettings
from isocline.loadgen.tally import Tally
from isocline.loadgen.target import Target


@final
class Drive:
    """One run of a schedule on the running event loop; times are s of its clock."""

    def __init__(
        self, settings: LoadSettings, schedule: Schedule, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._now = clock.now
        self._settings = settings
        self._target = Target(settings)
        self._times: list[float] = schedule.times.tolist()
        self._prompts = Prompts(schedule)
        self._output_tokens: list[int] = schedule.output_tokens.tolist()
        self._tally = Tally()
        self._next = 0
        self._start = 0.0
        self._idle: list[Connection] = []
        self._open = 0  # connections, also those that are being made
        self._waiting: deque[Flight] = deque()
        self._flying: deque[Flight] = deque()  # in order of their times, and so of their deadlines
        self._making: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._alarm = clock.alarm(self._ring)

    async def run(self, start: float) -> Tally:
        """Send everything from `start` on, and wait for all answers or their timeouts."""
        self._start = start
        self._ring()
        await self._over.wait()
        self._alarm.close()
        self._tally.ended = self._now() - start
        for task in list(self._making):
            task.cancel()
        for connection in self._idle:
            connection.abort()
        await asyncio.gather(*self._making, return_exceptions=True)
        return self._tally

    def stop(self) -> None:
        """Send no more; what is under way is not counted."""
        self._tally.interrupted = True
        for flight in self._flying:
            if not flight.over and isinstance(flight.wire, Connection):
                flight.wire.abort()
        self._over.set()

    # What connections call.

    def free(self, connection: Connection) -> None:
        if not self._give_work(connection):
            self._idle.append(connection)
            self._look_for_the_end()

    def gone(self, connection: Connection) -> None:
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        self._look_for_the_end()
        if self._waiting:
            self._connect()

    def stale(self, flight: InFlight) -> None:
        self._open -= 1
        self._tally.reconnections += 1
        self._connect(flight)

    # Its own.

    def _ring(self) -> None:
        now = self._now()
        self._expire(now)
        # As the alarm's time is computed: `now - start` may round to before what is due.
        times, start = self._times, self._start
        while self._next < len(times) and start + times[self._next] <= now:
            self._send(self._next)
            self._next += 1
        self._look_for_the_end()
        self._set_alarm()

    def _set_alarm(self) -> None:
        when = float("inf")
        if self._next < len(self._times):
            when = self._start + self._times[self._next]
        if self._flying:
            when = min(when, self._flying[0].due + self._settings.timeout)
        self._alarm.set(when)

    def _send(self, number: int) -> None:
        time_due = self._times[number]
        tally = self._tally if time_due >= self._settings.warmup else None
        if tally is not None:
            tally.due += 1
        data = self._target.request(self._prompts.text(number), self._output_tokens[number])
        flight = Flight(self._start + time_due, data, self._target.streams, tally)
        self._flying.append(flight)
        if self._idle:
            self._idle.pop().carry(flight)
            return
        self._waiting.append(flight)
        if self._open < self._settings.connections:
            self._connect()

    def _give_work(self, connection: Connection) -> bool:
        flight = self._longest_waiting()
        if flight is not None:
            connection.carry(flight)
        return flight is not None

    def _connect(self, flight: InFlight | None = None) -> None:
        """Open a connection for this request, or for the one that has waited longest."""
        self._open += 1
        self._tally.connections = max(self._tally.connections, self._open)
        task = self._loop.create_task(self._connected(flight))
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    async def _connected(self, flight: InFlight | None) -> None:
        target = self._target
        try:
            async with asyncio.timeout(self._settings.timeout):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self, self._now), target.host, target.port, ssl=target.tls
                )
        except (OSError, TimeoutError) as error:
            self._open -= 1
            self._fail(flight or self._longest_waiting(), failure_of(error))
            return
        if flight is None or flight.over:
            self.free(connection)
        else:
            connection.carry(flight)

    def _longest_waiting(self) -> Flight | None:
        while self._waiting:
            flight = self._waiting.popleft()
            if not flight.over:
                return flight
        return None

    def _fail(self, flight: InFlight | None, kind: str) -> None:
        """A connection could not be made, which was for this request."""
        if flight is not None and not flight.over:
            flight.failed(kind)
        self._look_for_the_end()
        if self._waiting:
            self._connect()

    def _expire(self, now: float) -> None:
        """Forget what is over, and give up what took too long."""
        flying, timeout = self._flying, self._settings.timeout
        while flying and (flying[0].over or flying[0].due + timeout <= now):
            flight = flying.popleft()
            if not flight.over:
                flight.failed("timeout")
                if isinstance(flight.wire, Connection):
                    flight.wire.abort()

    def _look_for_the_end(self) -> None:
        if self._next < len(self._times):
            return
        while self._flying and self._flying[0].over:
            self._flying.popleft()
        if not self._flying:
            self._over.set()


def drive(settings: LoadSettings, schedule: Schedule, start: Callable[[], float]) -> Tally:
    """Run a schedule in this process; `start` gives its beginning, s, once all is ready."""
    return uvloop.run(_drive(settings, schedule, start))


async def _drive(settings: LoadSettings, schedule: Schedule, start: Callable[[], float]) -> Tally:
    made = Drive(settings, schedule)
    with contextlib.ExitStack() as undo:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, made.stop)
            undo.callback(loop.remove_signal_handler, signal.SIGINT)
        return await made.run(start())
