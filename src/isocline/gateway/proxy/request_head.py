"""The head of a request: what it says, and how it goes on to a backend."""

import re
from collections.abc import Callable
from typing import final

import httptools

from isocline.gateway.proxy.fields import Fields, lines, parse_length, tokens, without
from isocline.gateway.proxy.strict import NOT_IMPLEMENTED, BadMessageError, require_request

# uri-host [":" port] (RFC 9110, Section 7.2): a registered name, IPv4, or [IPv6].
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(/.*|\?.*|)", re.IGNORECASE)
# RFC 9110, Section 9.2: done twice is as done once.
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
_NOT_ALLOWED = frozenset((b"CONNECT", b"TRACE"))  # no forward proxy; TRACE shows what is secret
EXPECTATION_FAILED, NOT_ALLOWED = 417, 405


@final
class RequestHead:
    """One request's head, checked; httptools calls the `on_` methods.

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
        fields: What goes on, in order.
        way: The Forwarded and X-Forwarded-* the client sent, name in lower case to values.
    """

    __slots__ = (
        "_connection",
        "authorization",
        "chunked",
        "expects",
        "fields",
        "host",
        "length",
        "method",
        "persistent",
        "target",
        "upgrade",
        "version",
        "way",
    )

    def __init__(self, head: bytes, header_count: int) -> None:
        """Reads a head, from its first byte to its empty line; raises BadMessageError."""
        require_request(head, header_count)
        self.version = head[head.index(b"\r\n") - 1] - ord("0")  # "GET / HTTP/1.1"
        self.target = b""
        self.host: bytes | None = None
        self.length: int | None = None
        self.chunked = self.expects = False
        self.upgrade: set[bytes] = set()
        self.authorization: bytes | None = None
        self.fields: Fields = []
        self.way: dict[bytes, bytes] = {}
        self._connection: list[bytes] = []
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # the head is read; what follows is no business of the parser's
        except httptools.HttpParserInvalidMethodError:
            raise BadMessageError("unknown method", NOT_IMPLEMENTED) from None
        except httptools.HttpParserCallbackError as error:
            raise _cause(error) from None
        except httptools.HttpParserError as error:
            raise BadMessageError(f"malformed request: {error}") from None
        self.method: bytes = parser.get_method()
        self._settle()

    def on_url(self, url: bytes) -> None:
        self.target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        special = _SPECIAL.get(key)
        if special is not None:
            special(self, key, value)
        # An application server may read Content_Length as Content-Length (CGI, WSGI): such a field
        # would come past what is removed and checked here.
        elif b"_" not in key or key.replace(b"_", b"-") not in _SPECIAL:
            self.fields.append((key, name, value))

    @property
    def has_body(self) -> bool:
        """Whether a body follows (RFC 9112, Section 6.3)."""
        return self.chunked or bool(self.length)

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field that goes on; `name` in lower case."""
        for key, _, value in self.fields:
            if key == name:
                return value
        return None

    def forward(self, base: bytes, host: bytes, added: bytes) -> bytes:
        """The head as it goes to a backend, `added` being further lines of it."""
        out = [self.method, b" ", base, self.target, b" HTTP/1.1\r\nHost: ", host, b"\r\n"]
        out += (lines(self.fields), added)
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
        """What only the whole head can tell."""
        if self.method in _NOT_ALLOWED:
            raise BadMessageError("this method is not served", NOT_ALLOWED)
        if self.chunked:
            if self.length is not None:
                raise BadMessageError("both Transfer-Encoding and Content-Length")
            if self.version == 0:
                raise BadMessageError("Transfer-Encoding in an HTTP/1.0 request")
        if not self.target.startswith(b"/"):
            self._settle_target()
        if self.host is None:
            if self.version:
                raise BadMessageError("no Host")
            self.host = b""
        self.persistent = self.version == 1
        if self._connection:
            self._settle_connection()
        elif self.upgrade:
            self.upgrade.clear()
        if self.expects and (self.version == 0 or not self.has_body):
            self.expects = False  # RFC 9110, Section 10.1.1: nothing to wait for

    def _settle_connection(self) -> None:
        named = tokens(self._connection)
        self.persistent = b"close" not in named and (self.version == 1 or b"keep-alive" in named)
        if b"upgrade" not in named or self.version == 0 or self.has_body:
            self.upgrade.clear()
        self.fields = without(self.fields, named)

    def _settle_target(self) -> None:
        if self.target == b"*" and self.method == b"OPTIONS":
            return
        absolute = _ABSOLUTE.fullmatch(self.target)
        if absolute is None:
            raise BadMessageError("the target is neither a path nor an http URL")
        # RFC 9112, Section 3.2.2 lets the target win; two hosts in one request is an attack.
        if self.host is not None and absolute[1].lower() != self.host.lower():
            raise BadMessageError("Host is not that of the target")
        self.host = absolute[1]
        self.target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]

    def _take_host(self, _: bytes, value: bytes) -> None:
        if self.host is not None:
            raise BadMessageError("more than one Host")
        if _HOST.fullmatch(value) is None:
            raise BadMessageError("malformed Host")
        self.host = value

    def _take_length(self, _: bytes, value: bytes) -> None:
        self.length = parse_length(value, self.length)

    def _take_coding(self, _: bytes, value: bytes) -> None:
        if self.chunked:
            raise BadMessageError("more than one Transfer-Encoding")
        if value.lower() != b"chunked":
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

    def _take_way(self, key: bytes, value: bytes) -> None:
        known = self.way.get(key)
        self.way[key] = value if known is None else known + b", " + value

    def _drop(self, _: bytes, value: bytes) -> None:
        """Of this connection only, or of no use without it."""


_SPECIAL: dict[bytes, Callable[[RequestHead, bytes, bytes], None]] = {
    b"host": RequestHead._take_host,
    b"content-length": RequestHead._take_length,
    b"transfer-encoding": RequestHead._take_coding,
    b"connection": RequestHead._take_connection,
    b"expect": RequestHead._take_expect,
    b"upgrade": RequestHead._take_upgrade,
    b"authorization": RequestHead._take_authorization,
    b"forwarded": RequestHead._take_way,
    b"x-forwarded-for": RequestHead._take_way,
    b"x-forwarded-host": RequestHead._take_way,
    b"x-forwarded-proto": RequestHead._take_way,
    b"x-forwarded-port": RequestHead._drop,
    b"x-real-ip": RequestHead._drop,
    b"keep-alive": RequestHead._drop,
    b"proxy-connection": RequestHead._drop,
    b"proxy-authorization": RequestHead._drop,
    b"te": RequestHead._drop,
    b"http2-settings": RequestHead._drop,
}


def _cause(error: httptools.HttpParserCallbackError) -> BadMessageError:
    """What a callback of ours raised; httptools wraps it."""
    cause = error.__context__ or error.__cause__
    if isinstance(cause, BadMessageError):
        return cause
    return BadMessageError("malformed request")
