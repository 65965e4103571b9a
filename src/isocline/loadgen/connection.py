"""Client connection: one request at a time, kept open between them."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Protocol, cast, final

import httptools

_REQUEST_TIMEOUT = 408


class InFlight(Protocol):
    """A request in flight, and the receiver of its answer. Times are s of the run's clock."""

    data: bytes  # what is to be sent
    over: bool  # completed or failed
    wire: object | None  # the connection that carries it

    def sent(self, now: float) -> None:
        """Its bytes are on their way, for the first time or once more."""
        ...

    def received(self, body: bytes, now: float) -> None:
        """A piece of the body of an answer."""
        ...

    def explained(self, body: bytes) -> None:
        """A piece of the body of an answer with a status that is no success."""
        ...

    def completed(self, status: int, now: float) -> None:
        """The answer is there, whole."""
        ...

    def failed(self, kind: str) -> None:
        """There will be no answer, or it is an error."""
        ...


class Owner(Protocol):
    """Receiver of the events of connections."""

    def free(self, connection: "Connection") -> None:
        """It can carry another request."""
        ...

    def gone(self, connection: "Connection") -> None:
        """It is closed."""
        ...

    def stale(self, flight: InFlight) -> None:
        """A kept connection was closed before its server answered a byte of this request.

        It had most likely been closed before the request arrived, while it was idle; no server
        need say so beforehand (RFC 9112, Section 9.5), but some do, by 408.
        """
        ...


@final
class Connection(asyncio.Protocol):
    """Carries requests one after the other; `now` gives the time, s."""

    def __init__(self, owner: Owner, now: Callable[[], float]) -> None:
        self._owner = owner
        self._clock = now
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._flight: InFlight | None = None
        self._kept = False  # whether it has carried a request before
        self._silent = True  # whether nothing has come since the request was sent
        self._framed = False  # whether the head gives the length of the body
        self._header_read = False
        self._now = 0.0
        self.retry_after = b""  # of the answer that is read, or was read last

    def carry(self, flight: InFlight) -> None:
        """Send a request."""
        assert self._transport is not None
        self._flight = flight
        flight.wire = self
        self._silent = True
        self._framed = self._header_read = False
        self._transport.write(flight.data)
        flight.sent(self._clock())

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._flight = None
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        flight, self._flight = self._flight, None
        if flight is not None:
            if self._kept and self._silent:
                self._owner.stale(flight)
                return
            if exc is None and self._header_read and not self._framed:
                flight.completed(self._parser.get_status_code(), self._clock())
            elif self._header_read:
                flight.failed("cut off")
            else:
                flight.failed("reset" if exc else "closed without an answer")
        self._owner.gone(self)

    def data_received(self, data: bytes) -> None:
        self._now = self._clock()
        self._silent = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            flight, self._flight = self._flight, None
            if flight is not None:
                flight.failed("not HTTP")
            self.abort()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._framed = self._header_read = False
        self.retry_after = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in {b"content-length", b"transfer-encoding"}:
            self._framed = True
        elif name == b"retry-after":
            self.retry_after = value

    def on_headers_complete(self) -> None:
        self._header_read = True

    def on_body(self, body: bytes) -> None:
        # An error has no tokens, and one that stands for an idle connection is none of the request.
        if self._flight is None:
            return
        if self._parser.get_status_code() < 300:
            self._flight.received(body, self._now)
        else:
            self._flight.explained(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # the answer itself is still to come (RFC 9110, Section 15.2)
            self._framed = self._header_read = False
            return
        if self._was_idle(status):
            self._silent = True
            if self._transport is not None:
                self._transport.abort()
            return
        flight, self._flight = self._flight, None
        keep = flight is not None and self._parser.should_keep_alive()
        if flight is not None:
            flight.completed(status, self._now)
        if keep:
            self._kept = True
            self._owner.free(self)
        else:
            self.abort()

    def _was_idle(self, status: int) -> bool:
        """Whether the server ends a kept connection with a word, having got no request.

        Its request may be repeated (RFC 9110, Section 15.5.9).
        """
        return status == _REQUEST_TIMEOUT and self._kept and not self._parser.should_keep_alive()


def failure_of(error: Exception) -> str:
    """Cause of a failed connection, in words that a user can search for."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ssl.SSLError):
        return "no TLS"
    return "unknown host" if isinstance(error, socket.gaierror) else "no connection"
