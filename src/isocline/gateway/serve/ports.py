"""Reservation of the ports that the processes of a router share."""

import errno
import fcntl
import os
import socket
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO

from isocline.errors import UsageError
from isocline.gateway.config import Listener

_CLAIM = "isocline-serve"
_WILDCARDS = ("0.0.0.0", "::")


def reserve(listeners: Iterable[Listener]) -> tuple[tuple[Listener, ...], ExitStack]:
    """Reserve a port for each listener; returns the listeners, and a stack that frees the ports.

    With SO_REUSEPORT any process of the same user may bind the port, another router included, so
    each port is first bound without it. A bound socket that does not listen gets no connections,
    but does not exclude others either: two sockets with SO_REUSEADDR may share a port until one of
    them listens, and workers listen about a second after the reservation. The parent process
    therefore also claims the address for as long as it lives (`claim_name`).

    Raises:
        UsageError: An address is not available.
    """
    made: list[Listener] = []
    with ExitStack() as kept:
        for listener in listeners:
            try:
                made.append(replace(listener, port=_reserve(listener, kept)))
            except OSError as error:
                raise UsageError(
                    f"listener {listener.name}: cannot listen on {listener.host}:{listener.port}: "
                    f"{error.strerror or error}; give another port, or stop what listens there"
                ) from error
        return tuple(made), kept.pop_all()


def claim_name(family: int, address: str, port: int) -> socket.socket:
    """Claim an address by a name that only one process can hold, until the socket is closed.

    Linux keeps abstract socket names, like ports, per network namespace, and frees them however the
    process ends. A lock file in a temporary folder would be invisible to containers and services
    with a folder of their own.

    Raises:
        OSError: Another router has claimed this address, or one that contains or is part of it.
    """
    begin = f"{_CLAIM}/{family:d}/{port}/"
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0{begin}{address}")
        # Bind the own name before reading the others': of two that start at once, at least one
        # then sees both.
        names = [line.partition(f"@{begin}")[2] for line in _unix_sockets()]
        others = {name for name in names if name and name != address}
        if others if address in _WILDCARDS else others.intersection(_WILDCARDS):
            raise _taken()
    except OSError as error:
        claim.close()
        raise _taken() if error.errno == errno.EADDRINUSE else error from None
    return claim


def claim_file(family: int, address: str, port: int) -> IO[bytes]:
    """Claim an address by a locked file, until that is closed; for systems without abstract names.

    Each user has files of their own, as sockets of different users cannot share a port anyway.

    Raises:
        OSError: Another router has claimed the address.
    """
    name = f"{_CLAIM}-{os.getuid()}-{family:d}-{port}-{address}".replace("/", "_")
    claim = (Path(tempfile.gettempdir()) / name).open("ab")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claim.close()
        raise _taken() from None
    return claim


def _reserve(listener: Listener, kept: ExitStack) -> int:
    """Claim and bind one port on all addresses of a host; returns the port."""
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    found = socket.getaddrinfo(listener.host, listener.port, type=kind, flags=flags)
    port = listener.port
    claim = claim_name if sys.platform == "linux" else claim_file
    for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
        host = str(address[0])
        with _socket(family) as exclusive:
            exclusive.bind((host, port, *address[2:]))
            port = exclusive.getsockname()[1]
            kept.enter_context(claim(family, host, port))
        one = kept.enter_context(_socket(family))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((host, port, *address[2:]))
    return port


def _taken() -> OSError:
    return OSError(errno.EADDRINUSE, "another isocline serve listens there, or is about to")


def _unix_sockets() -> list[str]:
    try:
        return Path("/proc/net/unix").read_text(errors="replace").splitlines()
    except OSError:  # no /proc: equal names are still refused
        return []


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made
