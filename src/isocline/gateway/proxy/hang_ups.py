"""Detection of the end of connections whose reading is paused.

An event loop learns of an end by reading, so a connection that is not read looks alive whatever has
become of it: a backend would work on for a client that has gone. Here the kernel is asked for the
end alone, by an epoll object of its own, whose descriptor the loop watches like any other. That
costs nothing while nothing ends. Rejected: to look at each paused connection now and then, which
costs a system call for each look and notices late; and to read on, which needs memory without
bound.

An end stands behind what was sent before it. The kernel learns of it once all of that fits into its
buffer (some 100 kB and more); a reset comes at once. An orderly close of TLS waits for an answer
before it ends the connection, for up to 30 s where the client is asyncio's. So a connection is
paused only when a fair amount has been read ahead: `SizeLimits.head` of further requests,
half of `SizeLimits.bodies`.

A client that has closed its sending side only counts as gone, as it does while its connection is
read: a router cannot tell it from a client that has closed altogether.
"""

import asyncio
import contextlib
import select
import sys
from collections.abc import Callable
from typing import final

# What is always reported, asked for or not: errors (a reset), and the end of both directions.
_ALWAYS = 0


@final
class HangUps:
    """Paused connections of one process.

    This works on Linux only; elsewhere an end is noticed when reading goes on.
    """

    def __init__(self) -> None:
        # Transports do not say their descriptors any more once they are lost.
        self._descriptors: dict[asyncio.Transport, int] = {}
        self._watched: dict[int, tuple[asyncio.Transport, Callable[[], None]]] = {}
        self._epoll = select.epoll() if sys.platform == "linux" else None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call back from this loop until `close`."""
        if self._epoll is not None:
            loop.add_reader(self._epoll.fileno(), self._look)

    def watch(
        self, transport: asyncio.Transport, gone: Callable[[], None], half: bool = True
    ) -> None:
        """Call `gone` once when the peer has closed; with `half`, also when it only stops sending.

        To be called before `transport` is closing, and followed by `forget`.
        """
        if self._epoll is not None:
            descriptor = transport.get_extra_info("socket").fileno()
            self._descriptors[transport] = descriptor
            self._watched[descriptor] = transport, gone
            mask = select.EPOLLRDHUP if half else _ALWAYS
            self._epoll.register(descriptor, mask | select.EPOLLONESHOT)

    def forget(self, transport: asyncio.Transport) -> None:
        """Stop watching a connection that is read again, or lost; others are passed over."""
        descriptor = self._descriptors.pop(transport, -1)
        watched = self._watched.get(descriptor)
        if self._epoll is None or watched is None or watched[0] is not transport:
            return  # another connection has got the descriptor since
        del self._watched[descriptor]
        with contextlib.suppress(OSError):  # it is closed, and the kernel has forgotten it
            self._epoll.unregister(descriptor)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch nothing any more."""
        if self._epoll is not None:
            loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        assert self._epoll is not None
        for descriptor, _ in self._epoll.poll(0):
            watched = self._watched.get(descriptor)
            if watched is not None:
                self.forget(watched[0])
                watched[1]()
