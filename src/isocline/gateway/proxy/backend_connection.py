"""A connection to a backend: reads responses and hands them to the exchange it serves."""

import asyncio
import os
import select
import ssl
from collections.abc import Callable
from typing import cast, final

from isocline.gateway.core.actions import FULL, Cause
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.grammar import (
    BAD_GATEWAY,
    HEAD_TOO_LARGE,
    BadMessageError,
    require_response_start,
)
from isocline.gateway.http.response_head import SWITCHING, ResponseHead
from isocline.gateway.proxy.exchange import Exchange
from isocline.gateway.proxy.pool import Pool
from isocline.gateway.proxy.sides import BACKEND_IS_SLOW, BackendSide
from isocline.gateway.proxy.transfer import Transfer
from isocline.gateway.proxy.tunnel import open_tunnel
from isocline.model.serving_settings import SizeLimits

# A heartbeat every 10 s (102 Processing) over the default limit on the first byte is 60.
_MOST_INTERIM = 100
_PIECE = 65_536  # bytes
REQUEST_TIMEOUT, NOT_FOUND = 408, 404
_QUIET = select.POLLIN | select.POLLHUP | select.POLLERR


@final
class BackendConnection(BackendSide, asyncio.Protocol):
    """Connection to a backend, used by one exchange after the other.

    Attributes:
        exchange: Present exchange; None: the connection waits in the pool.
        response: Present response, once its head is read.
    """

    __slots__ = (
        "_clock",
        "_ended",
        "_held",
        "_interim",
        "_poll",
        "_pool",
        "_sizes",
        "_unsent",
        "exchange",
        "response",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(
        self, pool: "Pool[BackendConnection]", sizes: SizeLimits, clock: Callable[[], float]
    ) -> None:
        self._pool = pool
        self._sizes = sizes
        self._clock = clock  # s
        self.exchange: Exchange | None = None
        self.uses = 0
        self.due = self.released = 0.0
        self.streamed = False
        self._ended = False
        self._held = b""  # the start of a head
        self._interim = 0  # responses of the kind 1xx to the current request
        self.response: Transfer | None = None
        self._unsent = b""  # of a body, until what has come is read
        self._poll = select.poll()

    # Calls of exchanges and of the pool

    def release(self, now: float, reusable: bool, streamed: bool) -> None:
        self.exchange = None
        self.response = None
        self._interim = 0
        self.uses += 1
        if reusable and not self._unsent:
            self._pool.give(self, now, streamed)
        else:
            self.transport.abort()

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():  # uvloop raises for a lost one before reporting it
            self.transport.write(data)

    def write_more(self, data: bytes) -> None:
        """Write more of a request's body, after reading what has come meanwhile.

        That may be the response of a backend that refuses the request and closes: the body would
        meet an error, and with the connection the response would be lost that is there already.
        """
        if self._unsent:
            self._unsent += data
        elif self.is_quiet():
            self.write(data)
        elif data:
            self._unsent = data
            asyncio.get_running_loop().call_soon(self._write_next_turn)

    def pause(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def after_last_event(self) -> bool:
        return self.response is not None and self.response.after_last_event()

    def usage(self) -> Usage | None:
        return None if self.response is None else self.response.usage()

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last response: neither an end nor a stray byte.

        The kernel is asked, as the event loop may not know yet; this saves most requests that would
        meet a connection which the backend is closing.
        """
        return not self.transport.is_closing() and not self._poll.poll(0)

    def close(self) -> None:
        self.transport.close()

    def abort(self) -> None:
        self.exchange = None
        self.transport.abort()

    # Calls of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self._sizes.buffer)
        self._poll.register(self.transport.get_extra_info("socket").fileno(), _QUIET)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # an answer to nothing
            self.abort()
            return
        try:
            if self.response is None:
                self._read_head(exchange, data)
            else:
                self.response.data(data)
        except BadMessageError as error:
            if error.status == HEAD_TOO_LARGE:
                exchange.failed(Cause.HEAD_TOO_LONG, f"{error.reason}; raise sizes.header_count")
            else:
                exchange.failed(Cause.MALFORMED, error.reason)

    def eof_received(self) -> None:
        """Handle the backend's end of sending.

        In TLS anybody between can end the connection, but only the backend can say so (RFC 9112,
        Section 9.8).
        """
        tls = self.transport.get_extra_info("ssl_object")
        self._ended = tls is None or _is_closed_by_peer(tls)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.exchange is not None:
            self._read_rest()
        exchange = self.exchange
        if exchange is None:
            self._pool.forget(self, self._clock())
            return
        if self._ended and self.response is not None and self.response.closed():
            return
        stale = self.uses > 0 and not exchange.answered
        if stale:
            self._pool.found_closed(self, self._clock())
        exchange.failed(Cause.STALE if stale else Cause.RESET)

    def pause_writing(self) -> None:
        if self.exchange:
            self.exchange.client.pause(BACKEND_IS_SLOW)

    def resume_writing(self) -> None:
        if self.exchange:
            self.exchange.client.resume(BACKEND_IS_SLOW)

    # Steps

    def _read_rest(self) -> None:
        """Read the rest from the kernel, which an error of a write hides from the loop.

        Not in TLS, whose library has closed the connection.
        """
        own = self.transport.get_extra_info("socket")
        if own is None or self.transport.get_extra_info("ssl_object") is not None:
            return
        try:
            while self.exchange is not None and (data := os.read(own.fileno(), _PIECE)):
                self.data_received(data)
        except OSError:  # that is all
            return

    def _write_next_turn(self) -> None:
        """Write in the turn after the next: the loop reads what has come between two turns."""
        asyncio.get_running_loop().call_soon(self._write_unsent)

    def _write_unsent(self) -> None:
        data, self._unsent = self._unsent, b""
        self.write(data)

    def _read_head(self, exchange: Exchange, data: bytes) -> None:
        exchange.answered = True
        sizes = self._sizes
        if self._held:
            data, self._held = self._held + data, b""
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if (end if end > 3 else len(data)) > sizes.head:
                said = f"it is longer than {sizes.head} bytes; raise sizes.head"
                exchange.failed(Cause.HEAD_TOO_LONG, said)
                return
            if end < 4:
                require_response_start(data)
                self._held = data
                return
            head, whole = ResponseHead(data[:end], sizes.header_count), data
            data = data[end:]
            if not head.interim:
                break
            self._pass_interim(exchange, head)
            if not data:
                return
        if head.keep is not None:
            self._pool.keeps(head.keep)
        if head.status == REQUEST_TIMEOUT and self._was_idle(exchange, head):
            return
        if head.status == NOT_FOUND and self._lacks_model(exchange, head, whole, data):
            return
        exchange.first_byte()
        if head.status == SWITCHING:
            open_tunnel(exchange, head, data, self.transport)
            self.exchange = None
        elif not (head.status in FULL and exchange.turned_away(head, data)):
            self.response = Transfer(exchange, head)
            self.response.begin(head, data)

    def _lacks_model(
        self, exchange: Exchange, head: ResponseHead, whole: bytes, data: bytes
    ) -> bool:
        """Whether a 404 is for want of a model, as its body says, which is waited for.

        `whole` is what has come of the response, and `data` of its body. Another backend gets the
        request then.
        """
        if not exchange.needs_model():
            return False
        if head.length is not None and len(data) < head.length <= _PIECE:
            self._held = whole
            return True
        return exchange.model_missing(head, data)

    def _was_idle(self, exchange: Exchange, head: ResponseHead) -> bool:
        """Whether the backend ends an idle connection by 408, and the request is sent again.

        A 408 means that it got no whole request, so that any request may be repeated (RFC 9110,
        15.5.9).
        """
        if not self.uses or head.persistent or not exchange.can_repeat():
            return False
        self._pool.found_closed(self, self._clock())
        exchange.failed(Cause.STALE, received=False)
        return True

    def _pass_interim(self, exchange: Exchange, head: ResponseHead) -> None:
        """Pass on a 1xx response; 100 only to a client that waits for it (RFC 9110, 15.2)."""
        self._interim += 1
        if self._interim > _MOST_INTERIM:
            raise BadMessageError(f"more than {_MOST_INTERIM} interim responses", BAD_GATEWAY)
        exchange.interim()
        request = exchange.head
        if request.version == 1 and (head.status != 100 or request.expects):
            exchange.client.write(head.forward(b""))


def _is_closed_by_peer(tls: ssl.SSLObject) -> bool:
    try:
        return not tls.read(1)
    except ssl.SSLError:  # it waits for more
        return False
