"""Endpoint: an address that discovery has found, before a template makes it a backend."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final
from urllib.parse import urlsplit


@final
@dataclass(frozen=True)
class Endpoint:
    """Address of a server, and what its source says of it.

    Attributes:
        name: Name that stays the same while the server does: of a pod, or `HOST:PORT`.
        address: `HOST:PORT`, with brackets around an address of IPv6.
        labels: What templates match.
    """

    name: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The address without its port."""
        return self.address.rpartition(":")[0]


Found = Mapping[str, Sequence[Endpoint]]
"""Endpoints by the name of their entry under `discover`."""

LONGEST_NAME = 253
"""Characters of a name that a source gives, as those of a host of DNS (RFC 1035) or of a pod.

Names stand in each line of the log and in each series of the metrics.
"""
_LONGEST_ADDRESS = LONGEST_NAME + len("[]:65535")


def name_problem(name: str) -> str:
    """What is wrong with a name, and the remedy; empty if it can be used."""
    if not name or not name.isprintable():  # would forge lines of the log
        return f"{shown(name)} is not a name; give printable text"
    if len(name) > LONGEST_NAME:
        return f"{shown(name)} has {len(name):,} characters; give at most {LONGEST_NAME}"
    return ""


def shown(text: str) -> str:
    """A text of others in messages: quoted, and not longer than a line."""
    return repr(text) if len(text) <= 60 else repr(text[:57] + "...")


def joined(host: str, port: int) -> str:
    """Join a host and a port to an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_PORT = re.compile(r"(?:^|//)[^/?#]*:([0-9]+)(?=$|[/?#])")
_LARGEST_PORT = 65535


def port_problem(text: str) -> str:
    """What is wrong with the port of an address or URL; empty if it is none or may be one."""
    match = _PORT.search(text)
    if match is None or (
        len(match[1]) <= len(str(_LARGEST_PORT)) and int(match[1]) <= _LARGEST_PORT
    ):
        return ""
    return f"port {shown(match[1]).strip(chr(39))} is beyond {_LARGEST_PORT}, the largest there is"


def is_address(text: str) -> bool:
    """Whether a text is `HOST:PORT`, to which requests can be sent."""
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return False
    if len(text) > _LONGEST_ADDRESS:
        return False
    plain = not (parts.path or parts.query or parts.fragment or "@" in text)
    return plain and bool(parts.hostname) and bool(port) and text.isascii() and " " not in text
