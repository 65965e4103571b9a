"""Heads of requests and responses as a data plane sends them, in the gateway's own types.

A request's fields are put into the form of HTTP/1.1 and read by the router's grammar, so that a
request which the router would refuse is refused here, too, and frontends match alike.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple, final

from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.memo import Memo
from isocline.gateway.proxy.prompt_reader import UNKNOWN_LENGTH
from isocline.model.serving_settings import SizeLimits

_NO_PEER = "unknown"
# Of one hop: the data plane has read them, and sends bodies in pieces of its own.
_FRAMING = frozenset(
    (b"connection", b"transfer-encoding", b"te", b"upgrade", b"keep-alive", b"expect")
)
_LENGTH = b"content-length"
_MOST, _SHORT = 1000, 100  # names of fields kept, and bytes of each


def request_head(message: Any, sizes: SizeLimits) -> RequestHead:
    """Head of a request, of an HttpHeaders message; raises BadMessageError."""
    first = {b":method": b"", b":path": b"", b":authority": b""}
    lines: list[bytes] = []
    length: bytes | None = None
    for name, value in _fields(message):
        if name in first:
            first[name] = value
        elif name == _LENGTH:
            length = value
        elif not name.startswith(b":") and name != b"host" and name not in _FRAMING:
            lines.append(b"%b: %b\r\n" % (name, value))
    if message.end_of_stream:
        length = None
    if length is not None:
        lines.append(b"Content-Length: %b\r\n" % length)
    text = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (*first.values(), b"".join(lines))
    if text.count(b"\n") != len(lines) + 3 or len(text) > sizes.head:
        if len(text) > sizes.head:
            raise BadMessageError(f"the head is longer than {sizes.head} bytes", 431)
        raise BadMessageError("a field of the request holds a line feed")
    head = RequestHead(text, sizes.header_count)
    if not message.end_of_stream and length is None:
        head.length = UNKNOWN_LENGTH  # a body follows, of which no more is known
    return head


def peer_of(head: RequestHead) -> str:
    """Address of a request's client: the last that a proxy before the picker has seen."""
    last = head.forwarded.get(b"x-forwarded-for", b"").rpartition(b",")[2]
    try:
        return str(ip_address(last.decode("latin-1").strip()))
    except ValueError:
        return _NO_PEER


class ResponseFacts(NamedTuple):
    """Facts of a response's head."""

    status: int  # 0: it does not say
    stream: bool  # of server-sent events
    sized: bool  # its length is known, so that it was complete as the head was sent
    load: bytes | None  # load report (ORCA)
    retry_after: bytes | None


def response_facts(message: Any) -> ResponseFacts:
    """Facts of a response's head, of an HttpHeaders message."""
    found = dict(_fields(message))
    status = found.get(b":status", b"")
    return ResponseFacts(
        int(status) if status.isdigit() and len(status) == len("200") else 0,
        found.get(b"content-type", b"").lower().startswith(b"text/event-stream"),
        _LENGTH in found,
        found.get(b"endpoint-load-metrics"),
        found.get(b"retry-after"),
    )


def load_in(trailers: Any) -> bytes | None:
    """Load report in the trailers of a response, of an HttpTrailers message."""
    return dict(_of_map(trailers.trailers)).get(b"endpoint-load-metrics")


def _fields(message: Any) -> Iterable[tuple[bytes, bytes]]:
    return _of_map(message.headers)


def _of_map(headers: Any) -> list[tuple[bytes, bytes]]:
    # Envoy fills raw_value; other data planes, and old ones, the text.
    names = _NAMES
    return [(names[it.key], it.raw_value or it.value.encode()) for it in headers.headers]


@final
class _Names(Memo[str, bytes]):
    """Names of fields, in lower case."""

    def __missing__(self, name: str) -> bytes:
        lower = name.lower().encode()
        return self.keep(name, lower) if len(lower) <= _SHORT else lower


_NAMES = _Names(_MOST)
