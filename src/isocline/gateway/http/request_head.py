"""Head of a request: parsing, and rewriting for a backend."""

import re
from collections.abc import Callable, Mapping
from typing import Any, final

from isocline.gateway.http.fields import FieldLines, Take, parse_length, tokens, without
from isocline.gateway.http.grammar import NOT_IMPLEMENTED, BadMessageError, request_lines

# uri-host [":" port] (RFC 9110, Section 7.2): a registered name, IPv4, or [IPv6].
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(/.*|\?.*|)", re.IGNORECASE)
# RFC 9110, Section 9.2: idempotent methods.
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
_NOT_ALLOWED = frozenset((b"CONNECT", b"TRACE"))  # no forward proxy; TRACE shows what is secret
# The others of IANA's registry that are in use (and PURGE, NOTIFY, M-SEARCH, SUBSCRIBE, SOURCE).
_KNOWN = IDEMPOTENT | frozenset(
    b"""ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY
    PATCH POST PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK
    UNLOCK UNSUBSCRIBE""".split()
)
EXPECTATION_FAILED, NOT_ALLOWED = 417, 405


@final
class RequestHead:
    """One request's head, checked.

    Attributes:
        method: As sent.
        target: In origin form, or `*`.
        version: Minor version, 0 or 1.
        host: Host with its port; b"" if an HTTP/1.0 client gave none.
        length: Content-Length, if there is one.
        chunked: The body comes in chunks.
        persistent: The client means to keep the connection.
        expects: The client waits for 100 before it sends the body.
        upgrade: Protocols it would change to, in lower case.
        authorization: As sent.
        api_key: The value of x-api-key.
        fields: What goes on, in order.
        forwarded: The Forwarded and X-Forwarded-* the client sent, name in lower case to values.
        own: Further lines for a backend, which the router has made.
    """

    __slots__ = (
        "_connection",
        "api_key",
        "authorization",
        "chunked",
        "expects",
        "fields",
        "forwarded",
        "host",
        "length",
        "method",
        "own",
        "persistent",
        "target",
        "upgrade",
        "version",
    )

    def __init__(self, head: bytes, header_count: int) -> None:
        """Parse a head, from its first byte to its empty line; raises BadMessageError."""
        lines = request_lines(head, header_count)
        first = lines[0]
        self.method, self.target, _ = first.split(b" ")
        self.version = first[-1] - ord("0")  # "GET / HTTP/1.1"
        self.host: bytes | None = None
        self.length: int | None = None
        self.chunked = self.expects = False
        self.upgrade: frozenset[bytes] = frozenset()
        self.authorization: bytes | None = None
        self.api_key: bytes | None = None
        self.forwarded: dict[bytes, bytes] = {}
        self.own = b""
        self._connection: list[bytes] = []
        self.fields = _LINES.passing(self, lines[1:])
        self._settle()

    @property
    def has_body(self) -> bool:
        """Whether a body follows (RFC 9112, Section 6.3)."""
        return self.chunked or bool(self.length)

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a field that is passed on; `name` in lower case."""
        return next((value for key, value, _, _ in self.fields if key == name), None)

    def values(self, name: bytes) -> list[bytes]:
        """Return all values of a field that is passed on; `name` in lower case."""
        return [value for key, value, _, _ in self.fields if key == name]

    def forward(self, base: bytes, host: bytes, added: bytes) -> bytes:
        """Format the head for a backend, with further lines `added`."""
        out = [self.method, b" ", base, self.target, b" HTTP/1.1\r\nHost: ", host, b"\r\n"]
        out += [line for _, _, line, _ in self.fields]
        out.append(added)
        if self.own:
            out.append(self.own)
        if self.chunked:
            out.append(b"Transfer-Encoding: chunked\r\n")
        elif self.length is not None:
            out.append(b"Content-Length: %d\r\n" % self.length)
        if self.expects:
            out.append(b"Expect: 100-continue\r\n")
        if self.upgrade:
            out += (b"Connection: Upgrade\r\nUpgrade: ", b", ".join(self.upgrade), b"\r\n")
        out.append(b"\r\n")
        return b"".join(out)

    def _settle(self) -> None:
        """Check what only the whole head can show."""
        if self.method not in _KNOWN:
            if self.method in _NOT_ALLOWED:
                raise BadMessageError("this method is not served", NOT_ALLOWED)
            raise BadMessageError("unknown method", NOT_IMPLEMENTED)
        if self.chunked:
            if self.length is not None:
                raise BadMessageError("both Transfer-Encoding and Content-Length")
            if self.version == 0:
                raise BadMessageError("Transfer-Encoding in an HTTP/1.0 request")
        if self.host is None and self.version:  # even where the target names one (RFC 9112, 3.2)
            raise BadMessageError("no Host")
        if not self.target.startswith(b"/"):
            self._settle_target()
        if self.host is None:
            self.host = b""
        self.persistent = self.version == 1
        if self._connection:
            self._settle_connection()
        else:
            self.upgrade = frozenset()
        if self.expects and (self.version == 0 or not self.has_body):
            self.expects = False  # RFC 9110, Section 10.1.1: nothing to wait for

    def _settle_connection(self) -> None:
        named = tokens(self._connection)
        self.persistent = b"close" not in named and (self.version == 1 or b"keep-alive" in named)
        if b"upgrade" not in named or self.version == 0 or self.has_body:
            self.upgrade = frozenset()
        self.fields = without(self.fields, named)

    def _settle_target(self) -> None:
        if self.target == b"*" and self.method == b"OPTIONS":
            return
        absolute = _ABSOLUTE.fullmatch(self.target)
        if absolute is None:
            raise BadMessageError("the target is neither a path nor an http URL")
        # RFC 9112, Section 3.2.2 lets the target win; two hosts in one request is an attack.
        host = _checked_host(absolute[1])
        if self.host is not None and host.lower() != self.host.lower():
            raise BadMessageError("Host is not that of the target")
        self.host = host
        self.target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]

    def _take_host(self, _: bytes, value: bytes) -> None:
        if self.host is not None:
            raise BadMessageError("more than one Host")
        self.host = value

    def _take_length(self, _: bytes, value: int) -> None:
        if self.length is not None:
            raise BadMessageError("more than one Content-Length")
        self.length = value

    def _take_coding(self, _: bytes, value: bytes) -> None:
        if self.chunked:
            raise BadMessageError("more than one Transfer-Encoding")
        *others, last = value.lower().replace(b" ", b"").replace(b"\t", b"").split(b",")
        if not last or b"chunked" in others:  # RFC 9112, 6.1: it is the last, and applied once
            raise BadMessageError("no transfer coding, or one after chunked")
        if others or last != b"chunked":
            raise BadMessageError("a transfer coding other than chunked", NOT_IMPLEMENTED)
        self.chunked = True

    def _take_connection(self, _: bytes, value: bytes) -> None:
        if value != b"keep-alive" or self.version == 0:
            self._connection.append(value)

    def _take_expect(self, _: bytes, value: bytes) -> None:
        if value.lower() != b"100-continue":
            raise BadMessageError("an expectation other than 100-continue", EXPECTATION_FAILED)
        self.expects = True

    def _take_upgrade(self, _: bytes, value: bytes) -> None:
        self.upgrade |= tokens([value])

    def _take_authorization(self, _: bytes, value: bytes) -> None:
        if self.authorization is not None:
            raise BadMessageError("more than one Authorization")
        self.authorization = value

    def _take_api_key(self, _: bytes, value: bytes) -> None:
        if self.api_key is not None:
            raise BadMessageError("more than one x-api-key")
        self.api_key = value

    def _take_forwarded(self, key: bytes, value: bytes) -> None:
        known = self.forwarded.get(key)
        self.forwarded[key] = value if known is None else known + b", " + value

    def _drop(self, _: bytes, value: bytes) -> None:
        """Drop a field of this connection only, or of no use without it."""


_TAKES: Mapping[bytes, Take] = {
    b"host": RequestHead._take_host,
    b"content-length": RequestHead._take_length,
    b"transfer-encoding": RequestHead._take_coding,
    b"connection": RequestHead._take_connection,
    b"expect": RequestHead._take_expect,
    b"upgrade": RequestHead._take_upgrade,
    b"authorization": RequestHead._take_authorization,
    b"x-api-key": RequestHead._take_api_key,
    b"forwarded": RequestHead._take_forwarded,
    b"x-forwarded-for": RequestHead._take_forwarded,
    b"x-forwarded-host": RequestHead._take_forwarded,
    b"x-forwarded-proto": RequestHead._take_forwarded,
    b"x-forwarded-port": RequestHead._drop,
    b"x-real-ip": RequestHead._drop,
    b"keep-alive": RequestHead._drop,
    b"proxy-connection": RequestHead._drop,
    b"proxy-authorization": RequestHead._drop,
    b"te": RequestHead._drop,
    b"http2-settings": RequestHead._drop,
}


def _passes_for_another(key: bytes) -> bool:
    """Whether an application server may take the name for one that is checked or removed here.

    CGI and WSGI read Content_Length as Content-Length.
    """
    return b"_" in key and key.replace(b"_", b"-") in _TAKES


def _checked_host(value: bytes) -> bytes:
    if _HOST.fullmatch(value) is None:
        raise BadMessageError("malformed Host")
    return value


_READS: Mapping[bytes, Callable[[bytes], Any]] = {
    b"host": _checked_host,
    b"content-length": parse_length,
}
_LINES = FieldLines(_TAKES, _READS, _passes_for_another)
