"""A connection to a backend: reads responses and hands them to the exchange it serves."""

import asyncio
import select
from typing import TYPE_CHECKING, cast, final

from isocline.gateway.actions import FULL, Cause
from isocline.gateway.proxy.pauses import BACKEND_IS_SLOW
from isocline.gateway.proxy.response import Response
from isocline.gateway.proxy.response_head import SWITCHING, ResponseHead
from isocline.gateway.proxy.strict import BAD_GATEWAY, BadMessageError
from isocline.gateway.proxy.tunnel import open_tunnel

if TYPE_CHECKING:
    from isocline.gateway.proxy.exchange import Exchange
    from isocline.gateway.proxy.pool import Pool

_QUIET = select.POLLIN | select.POLLHUP | select.POLLERR


@final
class Upstream(asyncio.Protocol):
    """One connection, used by one exchange after the other.

    Attributes:
        exchange: Whom it serves now; None: it waits in the pool.
        uses: Requests it has served.
        due: When it has waited in the pool for too long, s.
    """

    __slots__ = ("_held", "_poll", "_response", "due", "exchange", "pool", "transport", "uses")

    transport: asyncio.Transport

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.exchange: Exchange | None = None
        self.uses = 0
        self.due = 0.0
        self._held = b""  # the start of a head
        self._response: Response | None = None  # once its head is read
        self._poll = select.poll()

    # What exchanges and the pool ask

    def release(self, now: float, reusable: bool) -> None:
        """The response is complete: back to the pool, or closed."""
        self.exchange = None
        self._response = None
        self.uses += 1
        if reusable:
            self.pool.give(self, now)
        else:
            self.transport.abort()

    def write(self, data: bytes) -> None:
        """To the backend; uvloop raises where the connection is lost and has not said so yet."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def pause(self) -> None:
        """Read no more for now."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last response: neither an end nor a stray byte.

        Asked of the kernel, as the event loop may not have heard yet; it saves most requests that
        would meet a connection which the backend is closing.
        """
        return not self.transport.is_closing() and not self._poll.poll(0)

    def close(self) -> None:
        """Close; nothing is under way."""
        self.transport.close()

    def abort(self) -> None:
        """Break off; the backend may stop work on a request."""
        self.exchange = None
        self.transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self.pool.sizes.buffer)
        self._poll.register(self.transport.get_extra_info("socket").fileno(), _QUIET)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # an answer to nothing
            self.abort()
            return
        try:
            if self._response is None:
                self._read_head(exchange, data)
            else:
                self._response.data(data)
        except BadMessageError as error:
            exchange.failed(Cause.MALFORMED, error.reason)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self.exchange
        if exchange is None:
            self.pool.forget(self)
            return
        if exc is None and self._response is not None and self._response.closed():
            return
        stale = self.uses > 0 and not exchange.answered
        exchange.failed(Cause.STALE if stale else Cause.RESET)

    def pause_writing(self) -> None:
        if self.exchange:
            self.exchange.downstream.pause(BACKEND_IS_SLOW)

    def resume_writing(self) -> None:
        if self.exchange:
            self.exchange.downstream.resume(BACKEND_IS_SLOW)

    # Steps

    def _read_head(self, exchange: "Exchange", data: bytes) -> None:
        exchange.first_byte()
        if self._held:
            data, self._held = self._held + data, b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._hold(data)
                return
            head = ResponseHead(data[: end + 4], self.pool.sizes.header_count)
            data = data[end + 4 :]
            if not head.interim:
                break
            self._pass_interim(exchange, head)
            if not data:
                return
        if head.status == SWITCHING:
            open_tunnel(exchange, head, data)
        elif not (head.status in FULL and exchange.turned_away(head, data)):
            self._response = Response(exchange, head)
            self._response.begin(head, data)

    def _pass_interim(self, exchange: "Exchange", head: ResponseHead) -> None:
        """A 1xx response; 100 only to a client that waits for it (RFC 9110, Section 15.2)."""
        request = exchange.head
        if request.version == 1 and (head.status != 100 or request.expects):
            exchange.downstream.write(head.forward(b""))

    def _hold(self, data: bytes) -> None:
        if len(data) > self.pool.sizes.head:
            raise BadMessageError("the head of the response is too long", BAD_GATEWAY)
        self._held = data
