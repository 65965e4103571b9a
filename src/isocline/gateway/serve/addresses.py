"""Listen addresses as written in a file or on a command line."""

from typing import NamedTuple
from urllib.parse import urlsplit

from isocline.errors import UsageError
from isocline.model.endpoint import port_problem, shown


class ListenAddress(NamedTuple):
    """Address to listen on; port 0 stands for any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str) -> ListenAddress:
    """Parse `HOST:PORT`, `[::1]:PORT`, or `:PORT` for this machine only.

    Raises:
        UsageError: The text is not an address.
    """
    remedy = "give HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.path or parts.query or parts.fragment or "@" in text:
        problem = port_problem(text) or "it is not an address to listen on"
        raise UsageError(f"{shown(text)}: {problem}; {remedy}")
    return ListenAddress(parts.hostname or "127.0.0.1", port)
