"""Closed loop: a number of clients, each of which sends its next request when it has an answer."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import final

from isocline.event_loop.clock import Clock
from isocline.loadgen.connection import Connection, InFlight, failure_of
from isocline.loadgen.target import Target
from isocline.sweep.requests import Request, Requests

# After a failure a client waits, so that a server that refuses at once is not asked a thousand
# times a second.
_PAUSE = 0.1  # s


@final
class ClosedLoop:
    """Keeps as many requests in flight as it is told; times are s of its clock.

    A connection carries one request at a time, and is kept from one to the next.
    """

    def __init__(
        self,
        target: Target,
        requests: Requests,
        timeout: float,
        clock: Clock,
        ended: Callable[[Request], None],
    ) -> None:
        """Initialise with no client.

        Args:
            target: The server.
            requests: What they send.
            timeout: Of a request, s.
            clock: Time and alarms.
            ended: Called with each request that was answered or failed.
        """
        self.flying: dict[Request, None] = {}  # in the order of their times
        self._target, self._requests, self._timeout = target, requests, timeout
        self._now = clock.now
        self._alarm = clock.alarm(self._ring)
        self._on_end = ended
        self._clients = 0
        self._due: list[float] = []  # when waiting clients send, a heap
        self._ready = 0  # clients that send as soon as a connection is free
        self._idle: list[Connection] = []
        self._making: set[asyncio.Task[None]] = set()
        self._closed = False

    def hold(self, clients: int, over: float) -> None:
        """Have so many clients: new ones begin evenly over `over` s, others end with an answer."""
        self._clients = clients
        new = clients - self._active
        now = self._now()
        for i in range(new):
            heappush(self._due, now + over * i / new)
        self._ring()

    def drop(self) -> None:
        """Abandon all that is in flight; connections are closed, and no client is left."""
        self._clients, self._ready = 0, 0
        self._due.clear()
        flying, self.flying = list(self.flying), {}
        for request in flying:
            request.over = True
            if isinstance(request.wire, Connection):
                request.wire.abort()
        self._alarm.set(float("inf"))

    async def close(self) -> None:
        """Drop all, for good."""
        self._closed = True
        self.drop()
        self._alarm.close()
        for task in list(self._making):
            task.cancel()
        for connection in list(self._idle):
            connection.abort()
        await asyncio.gather(*self._making, return_exceptions=True)

    # What connections call.

    def free(self, connection: Connection) -> None:
        self._idle.append(connection)
        self._send_ready()

    def gone(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        self._send_ready()

    def stale(self, flight: InFlight) -> None:
        if not flight.over:
            self._connect(flight)

    # Its own.

    @property
    def _active(self) -> int:
        """Clients that are there: with a request, about to send one, or waiting to."""
        return len(self.flying) + self._ready + len(self._due)

    def _ended(self, request: Request) -> None:
        if request not in self.flying:  # dropped
            return
        del self.flying[request]
        self._on_end(request)
        if self._active < self._clients:
            if request.error:
                heappush(self._due, self._now() + _PAUSE)
                self._set_alarm()
            else:
                self._ready += 1  # its connection is free in a moment, or gone

    def _ring(self) -> None:
        now = self._now()
        while self._due and self._due[0] <= now:
            heappop(self._due)
            self._ready += 1
        for request in list(self.flying):
            if request.due + self._timeout > now:
                break
            wire = request.wire
            request.failed("timeout")
            if isinstance(wire, Connection):
                wire.abort()
        self._send_ready()
        self._set_alarm()

    def _set_alarm(self) -> None:
        when = self._due[0] if self._due else float("inf")
        first = next(iter(self.flying), None)
        if first is not None:
            when = min(when, first.due + self._timeout)
        self._alarm.set(when)

    def _send_ready(self) -> None:
        first = not self.flying
        while self._ready and not self._closed:
            self._ready -= 1
            request = self._requests.make(self._now(), self._ended)
            self.flying[request] = None
            if self._idle:
                self._idle.pop().carry(request)
            else:
                self._connect(request)
        if first and self.flying:
            self._set_alarm()

    def _connect(self, request: InFlight) -> None:
        task = asyncio.get_running_loop().create_task(self._connected(request))
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    async def _connected(self, request: InFlight) -> None:
        target = self._target
        try:
            async with asyncio.timeout(self._timeout):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, self._now), target.host, target.port, ssl=target.tls
                )
        except (OSError, TimeoutError) as error:
            if not request.over:
                request.failed(failure_of(error))
            return
        if request.over:
            self.free(connection)
        else:
            connection.carry(request)
