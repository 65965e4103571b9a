"""Cross-origin resource sharing: which web pages may call, and the header fields for browsers.

The Fetch standard, Section 3.2. A browser asks before it sends a key or JSON to another origin
(preflight), without any key; it shows a response to a page only where the response allows it.
"""

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import Protocol, final

from isocline.errors import UsageError

_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://[^\s/?#@\x00-\x1f\x7f-\xff]+|null")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ANY = "*"
_STRANGERS = ("https://stranger.invalid", "http://stranger.invalid")  # no page is there
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
@dataclass(frozen=True)
class Cors:
    """Rules on calls from browsers.

    Attributes:
        origins: As `https://app.example.org`, or shell-style patterns of them; `*`: all.
        methods: Methods allowed beyond GET, HEAD and POST, which are always allowed.
        headers: Fields that a page may send; `*`: any that it asks for, Authorization included.
        expose: Response headers that a page may read; `*`: all, but none with credentials.
        max_age: Time for which a browser may cache a preflight's answer, s.
        credentials: Pages may send cookies and the browser's own keys.
    """

    origins: tuple[str, ...]
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] = (_ANY,)
    expose: tuple[str, ...] = (_ANY,)
    max_age: float = 600.0
    credentials: bool = False

    def __post_init__(self) -> None:
        for name in ("methods", "headers", "expose"):
            for token in getattr(self, name):
                if _TOKEN.fullmatch(token) is None:
                    raise UsageError(f"cors: {name}: {token!r} is no name of one; give a token")
        for origin in self.origins:
            if origin != _ANY and "://" not in origin and origin != "null":
                raise UsageError(
                    f"cors: origins: {origin!r} is none; give scheme://host, with a port if it is "
                    "not the usual one"
                )
            if origin.rstrip("/") != origin or origin.count("/") > 2:
                raise UsageError(f"cors: origins: {origin!r} has a path; leave it out")
        if self.credentials and any(_matches(self.origins, it) for it in _STRANGERS):
            raise UsageError(
                "cors: credentials with origins that every site meets would let every site act in "
                "the name of its visitors; name the origins, or leave credentials out"
            )


@final
class CrossOrigin:
    """Compiled rules."""

    def __init__(self, cors: Cors) -> None:
        self._any = _ANY in cors.origins
        self._allowed = _pattern(cors.origins)
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


def _pattern(origins: tuple[str, ...]) -> re.Pattern[str]:
    """Scheme and host have no case (RFC 6454, Section 4), and browsers send them in lower case."""
    return re.compile("|".join(translate(origin.lower()) for origin in origins) or r"(?!)")


def _matches(origins: tuple[str, ...], origin: str) -> bool:
    return _pattern(origins).match(origin) is not None
