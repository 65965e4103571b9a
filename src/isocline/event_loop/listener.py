"""A listening socket that takes all connections that are there.

uvloop takes one connection per turn of its loop (libuv since 1.49), so that a busy server keeps new
clients waiting for as many turns as there are clients before them.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Self, final

_AT_ONCE = 128  # connections before others have their turn
_PAUSE = 0.1  # s without accepting when the process has no descriptors left


@final
class Listener:
    """Listens on all addresses of a host; makes a protocol for each connection."""

    def __init__(
        self,
        sockets: list[socket.socket],
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.port: int = sockets[0].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._protocol = protocol
        self._tls = tls
        self._making: set[asyncio.Task[None]] = set()
        for one in sockets:
            self._loop.add_reader(one.fileno(), self._accept, one)

    @classmethod
    async def open(
        cls,
        protocol: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        share: bool = False,
    ) -> Self:
        """Listen; port 0 takes a free one, `share` lets other processes listen beside this one.

        Raises:
            OSError: The host is unknown, or the address is in use or not ours.
        """
        kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind, flags=flags)
        sockets: list[socket.socket] = []
        try:
            for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
                same = (address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:])
                sockets.append(_listening(family, same, share))
        except OSError:
            for one in sockets:
                one.close()
            raise
        return cls(sockets, protocol, tls)

    def close(self) -> None:
        """Listen no more; connections stay."""
        for one in self._sockets:
            self._loop.remove_reader(one.fileno())
            one.close()
        self._sockets = []

    def _accept(self, one: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _address = one.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:  # gone before it was taken
                continue
            except OSError:
                self._pause(one)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._connected(connection))
            self._making.add(task)
            task.add_done_callback(self._making.discard)

    async def _connected(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._tls)
        except OSError:  # reset by now, or no TLS
            connection.close()

    def _pause(self, one: socket.socket) -> None:
        """Without descriptors the socket stays readable: do not spin."""
        self._loop.remove_reader(one.fileno())
        self._loop.call_later(_PAUSE, self._resume, one)

    def _resume(self, one: socket.socket) -> None:
        if one in self._sockets:
            self._loop.add_reader(one.fileno(), self._accept, one)


def _listening(family: int, address: tuple[object, ...], share: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(4096)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made
