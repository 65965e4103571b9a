"""Tunnel of an upgraded connection: bytes both ways, as they come, neither read nor held."""

import asyncio
from typing import final

from isocline.gateway.core.actions import Cause
from isocline.gateway.http.response_head import ResponseHead
from isocline.gateway.proxy.exchange import Exchange
from isocline.gateway.proxy.hang_ups import HangUps

_TO_FLUSH = 5.0  # s that one end has to take what is left when the other has gone


@final
class Tunnel:
    """Tunnel of two connections, each the other's sink.

    Attributes:
        hang_ups: Detector of the end of paused connections.
        due: Time at which it is closed unless a byte moves before, s.
    """

    def __init__(
        self,
        exchange: Exchange,
        client: asyncio.Transport,
        backend: asyncio.Transport,
        hang_ups: HangUps,
        tunnels: "set[Tunnel]",
    ) -> None:
        """Initialise; it is one of `tunnels` from `begin` to its end."""
        self._exchange: Exchange | None = exchange
        self.hang_ups = hang_ups
        self._tunnels = tunnels
        self._clock = exchange.decider.clock
        self._seconds = exchange.decider.times.tunnel
        self._client = End(self, client, backend)
        self._backend = End(self, backend, client)

    def begin(self, held: bytes) -> None:
        """Begin; `held` has come from the client already."""
        self._tunnels.add(self)
        self.moved()
        if held:
            self._client.data_received(held)

    def half_closed(self) -> bool:
        """Handle the end of one direction; returns whether the other goes on."""
        return not (self._client.silent and self._backend.silent)

    def moved(self) -> None:
        """Record a moved byte."""
        self.due = self._clock() + self._seconds

    def close(self) -> None:
        """Close both ends once everything is written; the first that is gone calls again."""
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            self._tunnels.discard(self)
            self._client.close()
            self._backend.close()
            exchange.access.received += self._client.read
            exchange.access.returned += self._backend.read
            exchange.done(self._clock(), latency_known=False)


@final
class End(asyncio.Protocol):
    """One of the two connections."""

    __slots__ = ("_other", "_transport", "_tunnel", "read", "silent")

    def __init__(
        self, tunnel: Tunnel, transport: asyncio.Transport, other: asyncio.Transport
    ) -> None:
        self.read = 0  # bytes
        self.silent = False  # the peer has closed its side
        self._tunnel = tunnel
        self._transport = transport
        self._other = other
        transport.set_protocol(self)

    def close(self) -> None:
        """Close once all is written; break off if the peer does not take it."""
        self._tunnel.hang_ups.forget(self._transport)
        if self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(_TO_FLUSH, self._transport.abort)
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self.read += len(data)
        self._tunnel.moved()
        if not self._other.is_closing():
            self._other.write(data)

    def eof_received(self) -> bool:
        """Half closed: the other direction goes on, where the transport can tell (not in TLS)."""
        self.silent = True
        if self._other.is_closing() or not self._other.can_write_eof():
            return False
        self._other.write_eof()
        return self._tunnel.half_closed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._tunnel.close()

    def pause_writing(self) -> None:
        if not self._other.is_closing():
            self._other.pause_reading()
            # Its end is not the tunnel's while what it sent before has not been passed on.
            self._tunnel.hang_ups.watch(self._other, self._tunnel.close, half=False)

    def resume_writing(self) -> None:
        self._tunnel.hang_ups.forget(self._other)
        if not self._other.is_closing():
            self._other.resume_reading()


def open_tunnel(
    exchange: Exchange, head: ResponseHead, data: bytes, backend: asyncio.Transport
) -> None:
    """Send 101, after which bytes pass both ways (RFC 9110, Section 7.8).

    `data` has come after the head, by the connection `backend`, which the exchange no longer has
    then.
    """
    if head.upgrade is None or head.upgrade not in exchange.head.upgrade:
        exchange.failed(Cause.MALFORMED)
        return
    exchange.begun = True
    exchange.access.status = head.status
    exchange.access.upgraded = True
    added = b"Connection: Upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
    exchange.client.write(head.forward(added) + data)
    exchange.backend = None
    exchange.client.begin_tunnel(backend)
