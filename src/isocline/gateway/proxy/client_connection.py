"""Client connection: reads requests, one after the other, and writes the responses."""

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Callable
from typing import cast, final

from isocline.gateway.access_log import Access
from isocline.gateway.config import ProxySettings
from isocline.gateway.cors import CrossOrigin
from isocline.gateway.http.body import Framing
from isocline.gateway.http.error_responses import answer
from isocline.gateway.http.forwarded import Forwarded
from isocline.gateway.http.grammar import HEAD_TOO_LARGE, BadMessageError
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.proxy.admission import admit, framing_of, preflight_answer
from isocline.gateway.proxy.body_buffer import Total
from isocline.gateway.proxy.exchange import Decider, Exchange
from isocline.gateway.proxy.frontend_lookup import find_frontend
from isocline.gateway.proxy.hang_ups import HangUps
from isocline.gateway.proxy.sides import (
    BACKEND_IS_SLOW,
    NEXT_REQUEST_IS_HERE,
    NO_BACKEND_YET,
    ClientSide,
)
from isocline.gateway.proxy.tunnel import Tunnel

REQUEST_TIMEOUT = 408
_RESET = struct.pack("ii", 1, 0)  # linger for 0 s: a close is a reset
_TLS_RECORD = b"\x16"  # the first byte of a handshake (RFC 8446, Section 5.1)
_EMPTY_LINE = (b"\r", b"\r\n")  # as far as it has come


@final
class Clients:
    """The client connections of one process, and what they share.

    Attributes:
        settings: Settings for new requests.
        decider: Where new requests go.
        upgrades: Protocols to which a connection may be upgraded, in lower case.
        cors: Which web pages may call; None: backends decide.
        connections: Open client connections.
        hang_ups: Detector of the end of those that are paused.
        tunnels: Upgraded connections.
        bodies: Bytes of requests' bodies that are kept.
        draining: Whether connections take no further requests.
        refused: Number of connections refused as there were too many.
    """

    __slots__ = (
        "bodies",
        "clock",
        "connections",
        "cors",
        "decider",
        "draining",
        "hang_ups",
        "refused",
        "settings",
        "tunnels",
        "upgrades",
    )

    settings: ProxySettings
    decider: Decider
    upgrades: frozenset[bytes]
    cors: CrossOrigin | None

    def __init__(
        self, settings: ProxySettings, decider: Decider, clock: Callable[[], float]
    ) -> None:
        self.clock = clock  # s
        self.connections: set[ClientConnection] = set()
        self.hang_ups = HangUps()
        self.tunnels: set[Tunnel] = set()
        self.bodies = Total()
        self.draining = False
        self.refused = 0
        self.use(settings, decider)

    def use(self, settings: ProxySettings, decider: Decider) -> None:
        """Use these for requests from now on."""
        self.settings = settings
        self.decider = decider
        self.upgrades = frozenset([name.encode() for name in settings.upgrades])
        self.cors = None if settings.cors is None else CrossOrigin(settings.cors)

    def sweep(self, now: float) -> None:
        """End what has taken too long: exchanges, waiting connections, tunnels."""
        for connection in tuple(self.connections):
            exchange = connection.exchange
            if exchange is not None:
                if exchange.due < now or exchange.deadline < now:
                    exchange.overdue(now)
            elif connection.due < now:
                connection.overdue()
        for tunnel in tuple(self.tunnels):
            if tunnel.due < now:
                tunnel.close()


@final
class ClientConnection(ClientSide, asyncio.Protocol):
    """Client connection. Requests that come before their turn (pipelining) wait.

    As much of them is read as a head may take, so that the end of the connection is noticed as it
    comes; beyond that reading pauses, and `hang_ups` notices the end.

    Attributes:
        exchange: Exchange under way, if any.
        due: End of the limit on this connection while it has no exchange, s.
    """

    __slots__ = (
        "_clients",
        "_framing",
        "_held",
        "_lingering",
        "_served",
        "due",
        "exchange",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, clients: Clients, listener: str) -> None:
        self._clients = clients
        self.listener = listener
        self.exchange: Exchange | None = None
        self.write_paused = self.close_is_end = False
        self.cors = self.limit_lines = b""
        self._framing: Framing | None = None  # of a request's body that is not complete
        self._held = b""  # the start of a head, or requests before their turn
        self.paused = 0
        self._lingering = False
        self._served = False  # a request was; the first one's time runs from the connection on
        self.due = math.inf

    # Calls of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        clients = self._clients
        settings = clients.settings
        if len(clients.connections) >= settings.sizes.connections:
            clients.refused += 1
            self.transport.abort()
            return
        self.transport.set_write_buffer_limits(high=settings.sizes.buffer)
        peer = transport.get_extra_info("peername")
        secure = transport.get_extra_info("sslcontext") is not None
        self.forwarded = Forwarded(peer[0] if peer else "unknown", secure, settings.trusted)
        clients.connections.add(self)
        self.due = clients.clock() + settings.times.header

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        try:
            if self._framing is not None:
                self._read_body(self._framing, data)
            elif self.exchange is None and not self.write_paused:
                self._read_head(self._held + data if self._held else data)
            else:
                self._hold_next(data)
        except BadMessageError as error:
            self._refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._clients.connections.discard(self)
        if self.paused:
            self._clients.hang_ups.forget(self.transport)
        if self.exchange is not None:
            exchange, self.exchange = self.exchange, None
            exchange.client_gone()

    def pause_writing(self) -> None:
        self.write_paused = True
        if self.exchange is not None and self.exchange.backend is not None:
            self.exchange.backend.pause()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self.exchange is not None:
            if self.exchange.backend is not None:
                self.exchange.backend.resume()
        elif self._held and not self._lingering:
            self._next()

    # Calls of exchanges and clocks

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():  # uvloop raises for a lost one before reporting it
            self.transport.write(data)

    def pause(self, why: int) -> None:
        if not self.paused and not self.transport.is_closing():
            self.transport.pause_reading()
            self._clients.hang_ups.watch(self.transport, self.transport.abort)
        self.paused |= why

    def resume(self, why: int) -> None:
        if not self.paused:
            return
        self.paused &= ~why
        if not self.paused:
            self._clients.hang_ups.forget(self.transport)
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def stays(self, head: RequestHead) -> bool:
        return head.persistent and self._framing is None and not self._clients.draining

    def exchange_done(self, persistent: bool, now: float) -> None:
        self.exchange = None
        self._served = True
        if self.paused:
            self.resume(BACKEND_IS_SLOW | NO_BACKEND_YET)
        if not persistent:
            self.close(linger=self._framing is not None)
            return
        self.due = now + self._clients.settings.times.keep_alive
        if self._held:
            # Not at once: a thousand requests in one piece would be a thousand calls deep.
            asyncio.get_running_loop().call_soon(self._next)

    def close(self, linger: bool = False) -> None:
        """Close once all is written; `linger`: read on a little, as the client is still sending.

        A close with bytes unread is a reset, which may destroy the answer on its way.
        """
        if self.transport.is_closing() or self._lingering:
            return
        if linger:
            self._lingering = True
            self._held = b""
            self.resume(self.paused)
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.due = self._clients.clock() + self._clients.settings.times.linger
        else:
            self._close()

    def abort(self) -> None:
        """Abort the connection: the client learns that the response is not complete.

        It is reset where a close would mean a complete response, as in HTTP/1.0, and only there, as
        a reset loses what is on its way.
        """
        if self.close_is_end:
            own = self.transport.get_extra_info("socket")
            if own is not None:
                with contextlib.suppress(OSError):  # it is closed
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def overdue(self) -> None:
        """Handle an expired limit; a client that sent nothing gets no answer."""
        if self.transport.is_closing():
            self.abort()  # it does not even take the rest
        elif self._lingering:
            self._close()
        elif self._held:
            self._refuse(BadMessageError("the head of the request took too long", REQUEST_TIMEOUT))
        else:
            self.close()

    def break_off(self) -> None:
        self.exchange = None
        self.abort()

    def begin_tunnel(self, backend: asyncio.Transport) -> None:
        clients, exchange = self._clients, self.exchange
        assert exchange is not None
        self.exchange = None
        clients.connections.discard(self)
        self.resume(self.paused)
        held, self._held = self._held, b""  # followed the request
        Tunnel(exchange, self.transport, backend, clients.hang_ups, clients.tunnels).begin(held)

    # Steps

    def _close(self) -> None:
        self.due = (
            self._clients.clock() + self._clients.settings.times.idle
        )  # to take what is written
        self.transport.close()

    def _next(self) -> None:
        """Begin a request that came before its turn."""
        if self.exchange is not None or self.write_paused or self.transport.is_closing():
            return
        held, self._held = self._held, b""
        self.resume(NEXT_REQUEST_IS_HERE)
        self.data_received(held)

    def _read_head(self, data: bytes) -> None:
        clients = self._clients
        settings, sizes = clients.settings, clients.settings.sizes
        # One empty line may stand before a request (RFC 9112, Section 2.2).
        start = 2 if data.startswith(b"\r\n") else 0
        end = data.find(b"\r\n\r\n", start) + 4
        if (end if end > 3 else len(data)) > sizes.head:
            raise BadMessageError(f"the head is longer than {sizes.head} bytes", HEAD_TOO_LARGE)
        if end < 4:
            self._hold(data)
            return
        self._held = self.cors = self.limit_lines = b""
        head = RequestHead(data[start:end], sizes.header_count)
        cors = clients.cors
        if cors is not None:
            self.cors = cors.fields(head)
            if not head.has_body and cors.is_preflight(head):
                exchange = self.exchange = Exchange(clients.decider, self, head, clients.bodies)
                self._hold_next(data[end:])
                exchange.reply(preflight_answer(head, cors, self.stays(head)))
                return
        try:
            key = admit(head, settings, clients.upgrades)
        except BadMessageError as error:
            self._refuse(error, head)
            return
        length = head.length or 0
        exchange = self.exchange = Exchange(clients.decider, self, head, clients.bodies)
        exchange.access.key = key
        if head.chunked or length > len(data) - end:
            self._framing = framing = framing_of(head, sizes)
            self._read_body(framing, data[end:])
            return
        if length:  # most bodies come with their heads
            exchange.request_data(data[end : end + length], complete=True)
        if len(data) > end + length:
            self._hold_next(data[end + length :])
        find_frontend(exchange)

    def _hold(self, data: bytes) -> None:
        """Keep the start of a head."""
        head = data.removeprefix(b"\r\n")
        if head[:1] == _TLS_RECORD:
            raise BadMessageError("TLS came to a port of plain HTTP; use http://, not https://")
        if b"\n\n" in head or (head[:1] < b"!" and data not in _EMPTY_LINE):
            raise BadMessageError("not an HTTP/1.1 request")  # nor will it be one
        if not self._held and self._served:
            self.due = self._clients.clock() + self._clients.settings.times.header
        self._held = data

    def _hold_next(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._clients.settings.sizes.head:
            self.pause(NEXT_REQUEST_IS_HERE)

    def _read_body(self, framing: Framing, data: bytes) -> None:
        exchange = self.exchange
        passed, rest = framing.feed(data)
        if rest is not None:
            self._framing = None
        if exchange is not None:
            exchange.request_data(passed, complete=rest is not None)
            find_frontend(exchange)
        if rest:
            self._hold_next(rest)

    def _refuse(self, error: BadMessageError, head: RequestHead | None = None) -> None:
        """Answer a request with an error, and close; `head` is there where that is valid."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None and exchange.refused(error):
            self.abort()
            return
        if exchange is None:
            self._observe_refusal(error, head)
        self.write(answer(error.status, error.reason, persistent=False, fields=self.cors))
        self.close(linger=True)

    def _observe_refusal(self, error: BadMessageError, head: RequestHead | None) -> None:
        """Pass on a request that was not admitted, with id and trace where its head is valid."""
        now, decider = self._clients.clock(), self._clients.decider
        if head is None:
            access = Access(self.forwarded.peer, b"", b"", b"", now, ended=now)
        else:
            host = head.host or b""
            access = Access(self.forwarded.peer, head.method, head.target, host, now, ended=now)
            if decider.context_reader is not None:
                read = decider.context_reader.read(head, self.forwarded.secure)
                access.request_id, access.trace = read
        access.status, access.reason = error.status, error.reason
        decider.observe(access)
