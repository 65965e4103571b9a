"""Addresses of backends: Envoy's endpoints, and the rows of the price table, have no names."""

import socket
from collections.abc import Iterable
from typing import NamedTuple, final

from isocline.gateway.config import BackendAddress


@final
class Address(NamedTuple):
    """Address and port of a backend."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def resolved(backends: Iterable[BackendAddress]) -> tuple[dict[str, Address], dict[str, str]]:
    """Look the names of backends up, which may take as long as the system's resolver does.

    Returns:
        Address of each backend, by its name, and why there is none, of those without. A name with
        several addresses gives the first that the system prefers.
    """
    found: dict[str, Address] = {}
    problems: dict[str, str] = {}
    for backend in backends:
        try:
            known = socket.getaddrinfo(backend.host, backend.port, type=socket.SOCK_STREAM)
            found[backend.name] = Address(str(known[0][4][0]), backend.port)
        except OSError as error:
            problems[backend.name] = f"{backend.host}: {error.strerror or error}"
    return found, problems
