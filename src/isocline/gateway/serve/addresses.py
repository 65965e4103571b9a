"""Addresses to listen on, as a file or a command line has them."""

from typing import NamedTuple
from urllib.parse import urlsplit

from isocline.errors import UsageError


class ListenAddress(NamedTuple):
    """Address to listen on; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str) -> ListenAddress:
    """Parse `HOST:PORT`, `[::1]:PORT`, or `:PORT` for this machine only.

    Raises:
        UsageError: The text is not an address.
    """
    remedy = "give HOST:PORT, as 127.0.0.1:8080 or [::1]:8080"
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.path or parts.query or parts.fragment or "@" in text:
        raise UsageError(f"{text!r} is not an address to listen on; {remedy}")
    return ListenAddress(parts.hostname or "127.0.0.1", port)
