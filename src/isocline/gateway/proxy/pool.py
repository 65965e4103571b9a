"""Connections to one backend: those that wait for a request, and those being opened."""

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, final

from isocline.gateway.actions import Cause
from isocline.gateway.proxy.request_head import RequestHead
from isocline.gateway.proxy.upstream import Upstream
from isocline.gateway.proxy.way import Way
from isocline.gateway.settings import BackendAddress, ProxySettings

if TYPE_CHECKING:
    from isocline.gateway.proxy.exchange import Exchange

_ASKS = b"endpoint-load-metrics-format: TEXT\r\n"


@final
class Pool:
    """The connections to one backend.

    The one used last is used first: the others grow old, and are closed before the backend closes
    them under a request.
    """

    def __init__(self, address: BackendAddress, settings: ProxySettings) -> None:
        """Raises UsageError if the backend's certificates cannot be read."""
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
        self._idle: deque[Upstream] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    def take(self) -> Upstream | None:
        """A connection that is open as far as can be told, or None."""
        while self._idle:
            upstream = self._idle.pop()
            if upstream.is_quiet():
                return upstream
            upstream.abort()
        return None

    def give(self, upstream: Upstream, now: float) -> None:
        """Keep a connection for the next request, if there is room."""
        if self._closed or len(self._idle) >= self.sizes.pool:
            upstream.close()
            return
        upstream.due = now + self._times.pool
        self._idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """A connection that waited is gone."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def rewrite(self, head: RequestHead, way: Way) -> bytes:
        """A request's head as this backend gets it."""
        host = head.host if self.address.keep_host and head.host else self.host
        added = way.lines(head.host or b"", head.way) + self._asks
        if self._authorization is not None:
            added += self._authorization
        elif self._passes_keys:
            if head.authorization is not None:
                added += b"Authorization: %b\r\n" % head.authorization
            if head.api_key is not None:
                added += b"x-api-key: %b\r\n" % head.api_key
        return head.forward(self._base, host, added)

    def open(self, exchange: "Exchange", attempt: int) -> None:
        """Open a connection for an exchange; it is told, or told what went wrong."""
        task = asyncio.get_running_loop().create_task(self._open(exchange, attempt))
        self._opening.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._opening.discard)

    def sweep(self, now: float) -> None:
        """Close those that have waited too long: the oldest are first."""
        while self._idle and self._idle[0].due < now:
            self._idle.popleft().close()

    def close(self) -> None:
        """Keep none from now on; those in use go on until they are done."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _open(self, exchange: "Exchange", attempt: int) -> None:
        loop = asyncio.get_running_loop()
        host = self.address.host
        try:
            async with asyncio.timeout(self._times.connect):
                _, upstream = await loop.create_connection(
                    lambda: Upstream(self),
                    host,
                    self.address.port,
                    ssl=self._context,
                    server_hostname=host if self._context else None,
                )
        except TimeoutError:
            exchange.not_connected(attempt, Cause.CONNECT_TIMEOUT)
        except OSError:  # refused, unreachable, no such name, and what TLS raises
            exchange.not_connected(attempt, Cause.CONNECT)
        else:
            self.opened += 1
            exchange.connected(attempt, upstream)


def address_of(address: BackendAddress) -> bytes:
    """What Host says where it names the backend."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    usual = 443 if address.url.startswith("https") else 80
    return (host if address.port == usual else f"{host}:{address.port}").encode()
