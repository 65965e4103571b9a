"""Pool of connections to one backend: idle ones, and those being opened.

Some servers close a connection after a response (llama.cpp's after each stream, 0.02 to 8 ms
later). A request that is written into a connection which is being closed is lost, and a POST must
not be sent twice. So a connection rests after a response before it is used again, until the backend
has shown that it keeps connections; and from the first time that it closes one early, until it has
shown it for longer.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from isocline.gateway import connect_failures
from isocline.gateway.config import BackendAddress, ProxySettings
from isocline.gateway.core.actions import Cause
from isocline.gateway.http.forwarded import Forwarded
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.proxy.backend_connection import BackendConnection

if TYPE_CHECKING:
    from isocline.gateway.proxy.exchange import Exchange

# Six times the longest that was seen on an idle machine.
_REST = 0.05  # s
# A busy machine is slower: what is seen counts fourfold, up to a time after which a connection is
# of no more use than a new one.
_MARGIN, _LONGEST_REST = 4.0, 1.0
# In a row, of connections that were still open after their rest. A backend that is not known closes
# after all responses of a kind or after none; from one that has closed a share p of them is hidden
# with probability (1 - p)^1000, 4e-5 for p of 1 %.
_TO_BE_TRUSTED, _TO_BE_TRUSTED_AGAIN = 8, 1000


@final
class ClosingHabit:
    """Closing habit of one backend, after one kind of response.

    Attributes:
        rest: Time for which a connection rests before it is used again, s; 0: none.
    """

    __slots__ = ("_left", "_longest", "rest")

    def __init__(self) -> None:
        self.rest = _REST
        self._longest = _REST
        self._left = _TO_BE_TRUSTED

    def kept(self) -> None:
        """Record a connection that was still open after its rest."""
        if self.rest:
            self._left -= 1
            if self._left <= 0:
                self.rest = 0.0

    def closed(self, after: float) -> None:
        """Record a connection that the backend closed so many s after a response."""
        if after > _LONGEST_REST:
            return  # it had been idle for long
        self._longest = min(max(self._longest, _MARGIN * after), _LONGEST_REST)
        self.rest = self._longest
        self._left = _TO_BE_TRUSTED_AGAIN


# Of the time for which a backend says that it keeps connections: 4 s of uvicorn's 5.
_EARLIER = 0.8
_CLOSE = b"Connection: close\r\n"
_ASKS = b"endpoint-load-metrics-format: TEXT\r\n"


@final
class Pool:
    """The connections to one backend.

    The connection used last is used first: the others grow old, and are closed before the backend
    closes them under a request. If the backend may close them after a response, they rest first.

    Attributes:
        clock: Seconds; see Proxy.
    """

    def __init__(
        self, address: BackendAddress, settings: ProxySettings, clock: Callable[[], float]
    ) -> None:
        """Initialise; raises UsageError if the backend's certificates cannot be read."""
        self.clock = clock
        self.address = address
        self.host = address_of(address)
        self._base = address.base.encode()
        self._authorization = None
        if address.authorization is not None:
            self._authorization = b"Authorization: %b\r\n" % address.authorization.encode("latin-1")
        self._asks = _ASKS if address.reports == "ask" else b""
        self._passes_keys = not settings.key_digests  # else they are the gateway's
        self.sizes = settings.sizes
        self.opened = 0  # ever
        self._times = settings.times
        self._context: ssl.SSLContext | None = address.context()
        self._keep = settings.times.pool  # s
        self._idle: deque[BackendConnection] = deque()
        # Servers differ after responses of known length and after others: streams.
        self._resting: tuple[deque[BackendConnection], deque[BackendConnection]] = deque(), deque()
        self._habits = ClosingHabit(), ClosingHabit()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def idle(self) -> int:
        """Idle connections."""
        return len(self._idle) + len(self._resting[0]) + len(self._resting[1])

    def take(self, now: float) -> BackendConnection | None:
        """Take a connection that is open as far as is known, or None."""
        if self._resting[0] or self._resting[1]:
            self._wake(now)
        while self._idle:
            upstream = self._idle.pop()
            if upstream.due < now:
                upstream.close()
            elif upstream.is_quiet():
                return upstream
            else:
                self.found_closed(upstream, now)
                upstream.abort()
        return None

    def give(self, upstream: BackendConnection, now: float, streamed: bool = False) -> None:
        """Keep a connection for the next request, if there is space.

        `streamed`: its last response had no length.
        """
        if self._closed or self.idle >= self.sizes.pool:
            upstream.close()
            return
        upstream.due = now + self._keep
        upstream.released = now
        upstream.streamed = streamed
        if upstream.uses and self._habits[streamed].rest:
            self._resting[streamed].append(upstream)
        else:
            self._idle.append(upstream)

    def keeps(self, seconds: float) -> None:
        """Record the time for which the backend keeps an idle connection (Keep-Alive: timeout)."""
        self._keep = min(self._times.pool, _EARLIER * seconds)

    def found_closed(self, upstream: BackendConnection, now: float) -> None:
        """Record that the backend has closed a connection that was idle from its point of view."""
        self._habits[upstream.streamed].closed(now - upstream.released)

    def forget(self, upstream: BackendConnection) -> None:
        """Forget an idle connection that is gone."""
        for waiting in (self._idle, *self._resting):
            if upstream in waiting:
                waiting.remove(upstream)
                self.found_closed(upstream, self.clock())

    def rewrite(self, head: RequestHead, way: Forwarded) -> bytes:
        """Rewrite a request's head for this backend."""
        host = head.host if self.address.keep_host and head.host else self.host
        added = way.lines(head.host or b"", head.way) + self._asks
        if not self.sizes.pool and not head.upgrade:
            added += _CLOSE
        if self._authorization is not None:
            added += self._authorization
        elif self._passes_keys:
            if head.authorization is not None:
                added += b"Authorization: %b\r\n" % head.authorization
            if head.api_key is not None:
                added += b"x-api-key: %b\r\n" % head.api_key
        return head.forward(self._base, host, added)

    def open(self, exchange: "Exchange", attempt: int) -> None:
        """Open a connection for an exchange, which gets it, or the error."""
        task = asyncio.get_running_loop().create_task(self._open(exchange, attempt))
        self._opening.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._opening.discard)

    def sweep(self, now: float) -> None:
        """Close those that have waited too long: the oldest are first."""
        self._wake(now)
        while self._idle and self._idle[0].due < now:
            self._idle.popleft().close()

    def close(self) -> None:
        """Keep none from now on; connections in use go on until they are done."""
        self._closed = True
        for waiting in (self._idle, *self._resting):
            while waiting:
                waiting.pop().close()

    def _wake(self, now: float) -> None:
        """Release rested connections for use, if they are still open."""
        for streamed, resting in enumerate(self._resting):
            habit = self._habits[streamed]
            while resting and resting[0].released + habit.rest <= now:
                upstream = resting.popleft()
                if upstream.is_quiet():
                    habit.kept()
                    self._idle.append(upstream)
                else:
                    self.found_closed(upstream, now)
                    upstream.abort()

    async def _open(self, exchange: "Exchange", attempt: int) -> None:
        loop = asyncio.get_running_loop()
        host = self.address.host
        try:
            async with asyncio.timeout(self._times.connect):
                _, upstream = await loop.create_connection(
                    lambda: BackendConnection(self),
                    host,
                    self.address.port,
                    ssl=self._context,
                    server_hostname=host if self._context else None,
                )
        except TimeoutError:
            words = connect_failures.too_slow(self.address, self._times.connect)
            exchange.not_connected(attempt, Cause.CONNECT_TIMEOUT, words)
        except (OSError, ValueError) as error:
            cause, words = connect_failures.failure_of(error, self.address)
            exchange.not_connected(attempt, cause, words)
        else:
            self.opened += 1
            exchange.connected(attempt, upstream)


def address_of(address: BackendAddress) -> bytes:
    """Value of Host where it names the backend."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    usual = 443 if address.url.startswith("https") else 80
    return (host if address.port == usual else f"{host}:{address.port}").encode()
