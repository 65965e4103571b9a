"""Head of a response: parsing, and rewriting for a client."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, final

from isocline.gateway.http.fields import FieldLines, Take, parse_length, tokens, without
from isocline.gateway.http.grammar import BAD_GATEWAY, BadMessageError, response_lines

_TIMEOUT = re.compile(rb"(?i)\btimeout=\"?([0-9]{1,9})\b")  # "timeout=5, max=100"
SWITCHING, NO_CONTENT, NOT_MODIFIED = 101, 204, 304


@final
class ResponseHead:
    """One response's head, checked.

    Attributes:
        status: Status code.
        length: Content-Length, if there is one.
        chunked: The body comes in chunks.
        persistent: The backend means to keep the connection.
        keep: Time for which it keeps an idle connection, s, if given.
        upgrade: The protocol changed to, in lower case.
        load: Load report (ORCA, `endpoint-load-metrics`).
        fields: Fields to pass on, in order.
    """

    __slots__ = (
        "_connection",
        "_start",
        "chunked",
        "fields",
        "keep",
        "length",
        "load",
        "persistent",
        "status",
        "upgrade",
    )

    def __init__(self, head: bytes, header_count: int) -> None:
        """Parse a head, from its first byte to its empty line; raises BadMessageError."""
        lines = response_lines(head, header_count)
        first = lines[0]
        self.status = int(first[9:12])  # "HTTP/1.1 200 OK"
        self._start = first[8:]
        self.length: int | None = None
        self.chunked = False
        self.upgrade: bytes | None = None
        self.load: bytes | None = None
        self.keep: int | None = None
        self._connection: list[bytes] = []
        self.fields = _LINES.passing(self, lines[1:])
        self._settle(version=first[7] - ord("0"))

    @property
    def interim(self) -> bool:
        """Whether another response to the same request follows (RFC 9110, Section 15.2)."""
        return self.status < 200 and self.status != SWITCHING

    @property
    def misframed(self) -> bool:
        """Whether there is framing where no body may be: one may follow that no reader expects."""
        return self.status == NO_CONTENT and (self.chunked or bool(self.length))

    def has_body(self, method: bytes) -> bool:
        """Whether a body follows a response to `method` (RFC 9112, Section 6.3)."""
        bare = self.status < 200 or self.status in (NO_CONTENT, NOT_MODIFIED)
        return not (bare or method == b"HEAD" or self.length == 0)

    def retry_after(self) -> bytes | None:
        """Value of Retry-After."""
        for key, value, _, _ in self.fields:
            if key == b"retry-after":
                said: bytes = value
                return said
        return None

    def forward(self, added: bytes) -> bytes:
        """Format the head for a client; `added` is its framing and connection."""
        lines = [line for _, _, line, _ in self.fields]
        return b"".join((b"HTTP/1.1", self._start, b"\r\n", *lines, added, b"\r\n"))

    def _settle(self, version: int) -> None:
        if self.chunked and self.length is not None:
            raise _bad("both Transfer-Encoding and Content-Length")
        if self.chunked and version == 0:
            raise _bad("Transfer-Encoding in an HTTP/1.0 response")
        self.persistent = version == 1
        if self._connection:
            named = tokens(self._connection)
            self.persistent = b"close" not in named and (version == 1 or b"keep-alive" in named)
            self.fields = without(self.fields, named)

    def _take_length(self, _: bytes, value: int) -> None:
        if self.length is not None:
            raise _bad("more than one Content-Length")
        self.length = value

    def _take_coding(self, _: bytes, value: bytes) -> None:
        if self.chunked:
            raise _bad("more than one Transfer-Encoding")
        if value.lower() != b"chunked":
            raise _bad("a transfer coding other than chunked")
        self.chunked = True

    def _take_connection(self, _: bytes, value: bytes) -> None:
        self._connection.append(value)

    def _take_upgrade(self, _: bytes, value: bytes) -> None:
        self.upgrade = value.lower()

    def _take_load(self, _: bytes, value: bytes) -> None:
        self.load = value

    def _take_keep_alive(self, _: bytes, value: int | None) -> None:
        self.keep = value

    def _drop(self, _: bytes, value: bytes) -> None:
        """Drop a field of this connection only."""


_TAKES: Mapping[bytes, Take] = {
    b"content-length": ResponseHead._take_length,
    b"transfer-encoding": ResponseHead._take_coding,
    b"connection": ResponseHead._take_connection,
    b"upgrade": ResponseHead._take_upgrade,
    b"endpoint-load-metrics": ResponseHead._take_load,
    b"keep-alive": ResponseHead._take_keep_alive,
    b"proxy-connection": ResponseHead._drop,
}


def _parse_keep_alive(value: bytes) -> int | None:
    found = _TIMEOUT.search(value)
    return int(found[1]) if found else None


_READS: Mapping[bytes, Callable[[bytes], Any]] = {
    b"keep-alive": _parse_keep_alive,
    b"content-length": partial(parse_length, status=BAD_GATEWAY),
}
_LINES = FieldLines(_TAKES, _READS)


def _bad(reason: str) -> BadMessageError:
    return BadMessageError(reason, BAD_GATEWAY)
