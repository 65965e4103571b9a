"""Cross-origin resource sharing: which web pages may call, and the header fields for browsers.

The Fetch standard, Section 3.2. A browser asks before it sends a key or JSON to another origin
(preflight), without any key; it shows a response to a page only where the response allows it.
"""

import re
from typing import Protocol, final

from isocline.model.serving_settings import Cors, origins_pattern

_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://[^\s/?#@\x00-\x1f\x7f-\xff]+|null")
_ANY = "*"
_VARY = b"Vary: Origin\r\n"
_VARY_PREFLIGHT = b"Vary: Origin, Access-Control-Request-Headers\r\n"
OURS = b"access-control-"  # how the names of the fields begin that are set here


class Head(Protocol):
    """Request head as CORS reads it."""

    method: bytes

    def get(self, name: bytes) -> bytes | None:
        """First value of a field; `name` in lower case."""

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field."""


@final
class CrossOrigin:
    """Compiled rules."""

    def __init__(self, cors: Cors) -> None:
        self._any = _ANY in cors.origins
        self._allowed = origins_pattern(cors.origins)
        self._any_header = _ANY in cors.headers
        self._headers = ", ".join(cors.headers).encode()
        more = b"Access-Control-Allow-Credentials: true\r\n" if cors.credentials else b""
        self._credentials = more
        self._preflight = b"Access-Control-Allow-Methods: %b\r\nAccess-Control-Max-Age: %d\r\n" % (
            ", ".join(cors.methods).encode(),
            cors.max_age,
        )
        if cors.expose and not (cors.credentials and cors.expose == (_ANY,)):
            exposed = ", ".join(cors.expose).encode()
            more += b"Access-Control-Expose-Headers: %b\r\n" % exposed
        self._more = more

    def fields(self, head: Head) -> bytes:
        """Return header lines of the response to any request but a preflight."""
        if self._any:
            return b"Access-Control-Allow-Origin: *\r\n" + self._more
        origin = self._origin(head)
        if origin is None:
            return _VARY  # the response is another one for another origin
        return b"Access-Control-Allow-Origin: %b\r\n%b%b" % (origin, self._more, _VARY)

    def is_preflight(self, head: Head) -> bool:
        """Whether a request is a preflight."""
        return (
            head.method == b"OPTIONS"
            and head.get(b"origin") is not None
            and head.get(b"access-control-request-method") is not None
        )

    def preflight(self, head: Head) -> bytes | None:
        """Return header lines that answer a preflight; None: pages of that origin may not call."""
        origin = b"*" if self._any else self._origin(head)
        if origin is None:
            return None
        allowed = self._headers
        if self._any_header:  # `*` in the answer would not stand for Authorization
            allowed = b", ".join(head.values(b"access-control-request-headers"))
        return b"Access-Control-Allow-Origin: %b\r\n%b%b%b%b" % (
            origin,
            self._credentials,
            self._preflight,
            b"Access-Control-Allow-Headers: %b\r\n" % allowed if allowed else b"",
            _VARY_PREFLIGHT,
        )

    def _origin(self, head: Head) -> bytes | None:
        """Return the request's origin, if its pages may call."""
        said = head.values(b"origin")
        if len(said) != 1:
            return None
        origin = said[0].decode("latin-1")
        known = _ORIGIN.fullmatch(origin) is not None and self._allowed.match(origin) is not None
        return said[0] if known else None
