"""Reservation of ports that several processes share."""

import socket
from collections.abc import Iterable
from dataclasses import replace

from isocline.errors import UsageError
from isocline.gateway.config import Listener


def reserve(listeners: Iterable[Listener]) -> tuple[tuple[Listener, ...], list[socket.socket]]:
    """Reserve a port for each listener; returns the listeners, and sockets that keep the ports.

    SO_REUSEPORT lets every process of one user in, another router included: so each port is first
    taken without it. A socket that does not listen gets no connections.

    Raises:
        UsageError: An address is not available.
    """
    kept: list[socket.socket] = []
    made: list[Listener] = []
    try:
        for listener in listeners:
            made.append(replace(listener, port=_reserve(listener, kept)))
    except OSError as error:
        for one in kept:
            one.close()
        raise UsageError(
            f"listener {listener.name}: cannot listen on {listener.host}:{listener.port}: "
            f"{error.strerror or error}; give another port, or stop what listens there"
        ) from error
    return tuple(made), kept


def _reserve(listener: Listener, kept: list[socket.socket]) -> int:
    """Bind sockets on all addresses of a host, on one port; returns the port."""
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    found = socket.getaddrinfo(listener.host, listener.port, type=kind, flags=flags)
    port = listener.port
    for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
        with _socket(family) as alone:
            alone.bind((address[0], port, *address[2:]))
            port = alone.getsockname()[1]
        one = _socket(family)
        kept.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((address[0], port, *address[2:]))
    return port


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made
