"""The two sides of an exchange: its client connection and its backend connection, as it sees them.

Connections implement these classes, so that the exchange knows neither sockets nor event loops.
"""

import asyncio
from abc import ABC, abstractmethod

from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.forwarded import Forwarded
from isocline.gateway.http.request_head import RequestHead

# Reasons for which a client connection is not read: bits, as several may hold at a time.
BACKEND_IS_SLOW, NO_BACKEND_YET, NEXT_REQUEST_IS_HERE = 1, 2, 4


class ClientSide(ABC):
    """A client connection, as the exchange under way on it sees it.

    Attributes:
        listener: Name of the listener that accepted it.
        forwarded: Fields that say for whom its requests are forwarded.
        cors: Header lines that let a browser show the response at hand to its page.
        limit_lines: Header lines with what is left of the limits of the key of the request at hand.
        paused: Reasons for which it is not read; 0: it is read.
        write_paused: Whether the client takes the response too slowly.
        close_is_end: Whether the end of the connection marks the end of the present response.
    """

    __slots__ = (
        "close_is_end",
        "cors",
        "forwarded",
        "limit_lines",
        "listener",
        "paused",
        "write_paused",
    )

    listener: str
    forwarded: Forwarded
    cors: bytes
    limit_lines: bytes
    paused: int
    write_paused: bool
    close_is_end: bool

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Write to the client."""

    @abstractmethod
    def pause(self, why: int) -> None:
        """Pause reading, for this reason."""

    @abstractmethod
    def resume(self, why: int) -> None:
        """Drop these reasons for a pause, and resume reading if none is left."""

    @abstractmethod
    def stays(self, head: RequestHead) -> bool:
        """Whether another request may follow this one."""

    @abstractmethod
    def exchange_done(self, persistent: bool, now: float) -> None:
        """Begin the next request, or end the connection, after a response."""

    @abstractmethod
    def break_off(self) -> None:
        """Abort the connection: the client learns that its response is not complete."""

    @abstractmethod
    def begin_tunnel(self, backend: asyncio.Transport) -> None:
        """Pass bytes to and from this connection of a backend from now on, instead of requests."""


class BackendSide(ABC):
    """A connection to a backend, as the exchange it serves and the pool that keeps it see it.

    Attributes:
        uses: Number of requests served.
        released: Time of the last release, s.
        streamed: Whether the last response had no length.
        due: Time at which it has waited in the pool for too long, s.
    """

    __slots__ = ("due", "released", "streamed", "uses")

    uses: int
    released: float
    streamed: bool
    due: float

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Write to the backend."""

    @abstractmethod
    def write_more(self, data: bytes) -> None:
        """Write more of a request's body, after reading what has come meanwhile."""

    @abstractmethod
    def pause(self) -> None:
        """Pause reading."""

    @abstractmethod
    def resume(self) -> None:
        """Resume reading."""

    @abstractmethod
    def after_last_event(self) -> bool:
        """Whether the present response is a stream after its last event."""

    @abstractmethod
    def usage(self) -> Usage | None:
        """Token usage of the present response; None if it is not wanted, or not in there."""

    @abstractmethod
    def release(self, now: float, reusable: bool, streamed: bool) -> None:
        """Return the connection to the pool, or close it, after a complete response."""

    @abstractmethod
    def is_quiet(self) -> bool:
        """Whether nothing has come since the last response: neither an end nor a stray byte."""

    @abstractmethod
    def close(self) -> None:
        """Close a connection with nothing under way."""

    @abstractmethod
    def abort(self) -> None:
        """Abort the connection; the backend may stop work on a request."""
