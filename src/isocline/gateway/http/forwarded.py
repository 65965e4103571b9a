"""Path of a request through proxies: Forwarded (RFC 7239), X-Forwarded-*, Via.

These fields of a client are kept only if the client is a trusted proxy; else they are replaced.
"""

import ipaddress
from collections.abc import Mapping
from typing import final

from isocline.gateway.config import Network

_VIA = b"Via: 1.1 isocline\r\n"  # RFC 9110, Section 7.6.3


@final
class Forwarded:
    """Fields for one client connection."""

    __slots__ = ("_believed", "_host", "_lines", "_peer", "_proto", "_start", "peer", "secure")

    def __init__(self, peer: str, secure: bool, trusted: tuple[Network, ...]) -> None:
        self.peer = peer
        self.secure = secure
        self._peer = peer.encode()
        self._proto = b"https" if secure else b"http"
        self._believed = bool(trusted) and _is_in(peer, trusted)
        node = b'"[%b]"' % self._peer if ":" in peer else self._peer  # RFC 7239, Section 6
        self._start = b"Forwarded: for=%b;proto=%b" % (node, self._proto)
        self._host: bytes | None = None  # of the last request, and its lines: most often the same
        self._lines = b""

    def lines(self, host: bytes, fields: Mapping[bytes, bytes]) -> bytes:
        """Return header lines for a request to `host` in which the client sent these `fields`."""
        if fields and self._believed:
            return self._continued(host, fields)
        if host != self._host:
            self._host, self._lines = host, self._made(host)
        return self._lines

    def _made(self, host: bytes) -> bytes:
        if not host:
            return b"%b\r\nX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n%b" % (
                self._start, self._peer, self._proto, _VIA,
            )  # fmt: skip
        return (
            b'%b;host="%b"\r\nX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n'
            b"X-Forwarded-Host: %b\r\n%b"
        ) % (self._start, host, self._peer, self._proto, host, _VIA)

    def _continued(self, host: bytes, fields: Mapping[bytes, bytes]) -> bytes:
        ours = self._start.removeprefix(b"Forwarded: ")
        before = fields.get(b"forwarded")
        forwarded = ours if before is None else before + b", " + ours
        addresses = fields.get(b"x-forwarded-for")
        out = [
            b"Forwarded: " + forwarded,
            b"X-Forwarded-For: "
            + (self._peer if addresses is None else addresses + b", " + self._peer),
            b"X-Forwarded-Proto: " + fields.get(b"x-forwarded-proto", self._proto),
            b"X-Forwarded-Host: " + fields.get(b"x-forwarded-host", host),
        ]
        return b"\r\n".join(out) + b"\r\n" + _VIA


def _is_in(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in networks)
