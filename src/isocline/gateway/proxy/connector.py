"""Connector of one backend: opens connections, keeps them, and addresses requests to it."""

import asyncio
import ssl
from collections.abc import Callable
from typing import final

from isocline.gateway import connect_failures
from isocline.gateway.config import BackendAddress, ProxySettings
from isocline.gateway.core.actions import Cause
from isocline.gateway.http.forwarded import Forwarded
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.proxy.backend_connection import BackendConnection
from isocline.gateway.proxy.exchange import Exchange
from isocline.gateway.proxy.pool import Pool

_CLOSE = b"Connection: close\r\n"
_ASKS = b"endpoint-load-metrics-format: TEXT\r\n"


@final
class Connector:
    """The way to one backend, for all exchanges that are sent there.

    Attributes:
        address: Address of the backend.
        opened: Number of connections opened, ever.
    """

    def __init__(
        self, address: BackendAddress, settings: ProxySettings, clock: Callable[[], float]
    ) -> None:
        """Initialise; raises UsageError if the backend's certificates cannot be read."""
        self.address = address
        self.opened = 0
        self._clock = clock  # s
        self._host = host_field(address)
        self._base = address.base.encode()
        self._authorization = None
        if address.authorization is not None:
            self._authorization = b"Authorization: %b\r\n" % address.authorization.encode("latin-1")
        self._asks = _ASKS if address.reports == "ask" else b""
        self._passes_keys = not settings.key_digests  # else they are the gateway's
        self._sizes = settings.sizes
        self._timeout = settings.times.connect  # s
        self._context: ssl.SSLContext | None = address.context()
        self._closes = not settings.sizes.pool  # each connection is used once
        self._pool: Pool[BackendConnection] = Pool(settings.sizes.pool, settings.times.pool)
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> int:
        """Idle connections."""
        return self._pool.idle

    def rewrite(self, head: RequestHead, forwarded: Forwarded) -> bytes:
        """Rewrite a request's head for this backend."""
        host = head.host if self.address.keep_host and head.host else self._host
        added = forwarded.lines(head.host or b"", head.forwarded) + self._asks
        if self._closes and not head.upgrade:
            added += _CLOSE
        if self._authorization is not None:
            added += self._authorization
        elif self._passes_keys:
            if head.authorization is not None:
                added += b"Authorization: %b\r\n" % head.authorization
            if head.api_key is not None:
                added += b"x-api-key: %b\r\n" % head.api_key
        return head.forward(self._base, host, added)

    def connect(self, exchange: Exchange, attempt: int, now: float) -> None:
        """Give a connection to an exchange: an idle one now, or later a new one or the error."""
        connection = self._pool.take(now)
        if connection is None:
            task = asyncio.get_running_loop().create_task(self._open(exchange, attempt))
            self._opening.add(task)  # the loop itself keeps no task alive
            task.add_done_callback(self._opening.discard)
        else:
            self._connected(exchange, attempt, connection, now)

    def sweep(self, now: float) -> None:
        """Close connections that have waited too long."""
        self._pool.sweep(now)

    def close(self) -> None:
        """Keep no connection from now on; those in use go on until they are done."""
        self._pool.close()

    def _connected(
        self, exchange: Exchange, attempt: int, connection: BackendConnection, now: float
    ) -> None:
        connection.exchange = exchange  # which writes at once, and that may call back
        if not exchange.connected(attempt, connection, now):
            connection.exchange = None
            self._pool.give(connection, now)

    async def _open(self, exchange: Exchange, attempt: int) -> None:
        loop = asyncio.get_running_loop()
        address = self.address
        try:
            async with asyncio.timeout(self._timeout):
                _, connection = await loop.create_connection(
                    lambda: BackendConnection(self._pool, self._sizes, self._clock),
                    address.host,
                    address.port,
                    ssl=self._context,
                    server_hostname=address.host if self._context else None,
                )
        except TimeoutError:
            words = connect_failures.too_slow(address, self._timeout)
            exchange.not_connected(attempt, Cause.CONNECT_TIMEOUT, words)
        except (OSError, ValueError) as error:
            cause, words = connect_failures.failure_of(error, address)
            exchange.not_connected(attempt, cause, words)
        else:
            self.opened += 1
            self._connected(exchange, attempt, connection, self._clock())


def host_field(address: BackendAddress) -> bytes:
    """Value of Host where it names the backend."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    usual = 443 if address.url.startswith("https") else 80
    return (host if address.port == usual else f"{host}:{address.port}").encode()
