"""Heads of requests and responses as a data plane sends them, in the gateway's own types.

A request's fields are put into the form of HTTP/1.1 and read by the router's grammar, so that a
request which the router would refuse is refused here, too, and frontends match alike.
"""

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
_PSEUDO, _LENGTH = (b":method", b":path", b":authority"), b"content-length"
_OF_RESPONSES = frozenset(
    (b":status", b"content-type", _LENGTH, b"endpoint-load-metrics", b"retry-after")
)
_MOST, _SHORT = 1000, 100  # names of fields kept, and bytes of each


# Of each field Envoy fills raw_value; other data planes, and old ones, the text.


def request_head(message: Any, sizes: SizeLimits) -> RequestHead:
    """Head of a request, of an HttpHeaders message; raises BadMessageError."""
    others: dict[bytes, bytes] = {}
    parts: list[bytes] = []
    begins = _BEGINS
    for it in message.headers.headers:
        begin, value = begins[it.key], it.raw_value or it.value.encode()
        if begin:
            parts += (begin, value)
        else:
            others[_NAMES[it.key]] = value
    length = None if message.end_of_stream else others.get(_LENGTH)
    if length is not None:
        parts += (b"\r\nContent-Length: ", length)
    method, path, host = [others.get(name, b"") for name in _PSEUDO]
    text = b"%b %b HTTP/1.1\r\nHost: %b%b\r\n\r\n" % (method, path, host, b"".join(parts))
    if text.count(b"\n") != len(parts) // 2 + 3 or len(text) > sizes.head:
        if len(text) > sizes.head:
            raise BadMessageError(f"the head is longer than {sizes.head} bytes", 431)
        raise BadMessageError("a field of the request holds a line feed")
    head = RequestHead(text, sizes.header_count)
    if not message.end_of_stream and length is None:
        head.length = UNKNOWN_LENGTH  # a body follows, of which no more is known
    return head


def peer_of(head: RequestHead) -> str:
    """Address of a request's client: the last that a proxy before the picker has seen."""
    return _PEERS[head.forwarded.get(b"x-forwarded-for", b"").rpartition(b",")[2]]


class ResponseFacts(NamedTuple):
    """Facts of a response's head."""

    status: int  # 0: it does not say
    stream: bool  # of server-sent events
    sized: bool  # its length is known, so that it was complete as the head was sent
    load: bytes | None  # load report (ORCA)
    retry_after: bytes | None


def response_facts(message: Any) -> ResponseFacts:
    """Facts of a response's head, of an HttpHeaders message."""
    names, wanted = _NAMES, _OF_RESPONSES
    found = {
        names[it.key]: it.raw_value or it.value.encode()
        for it in message.headers.headers
        if names[it.key] in wanted
    }
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
    for it in trailers.trailers.headers:
        if _NAMES[it.key] == b"endpoint-load-metrics":
            report: bytes = it.raw_value or it.value.encode()
            return report
    return None


@final
class _Names(Memo[str, bytes]):
    """Names of fields, in lower case."""

    def __missing__(self, name: str) -> bytes:
        lower = name.lower().encode()
        return self.keep(name, lower) if len(lower) <= _SHORT else lower


@final
class _Begins(Memo[str, bytes]):
    """Beginnings of the lines of fields by name, after the end of the line before.

    Empty for those of which a head of HTTP/1.1 has none, or one elsewhere.
    """

    def __missing__(self, name: str) -> bytes:
        lower = _NAMES[name]
        left_out = lower.startswith(b":") or lower in _FRAMING or lower in (b"host", _LENGTH)
        begin = b"" if left_out else b"\r\n%b: " % lower
        return self.keep(name, begin) if len(lower) <= _SHORT else begin


@final
class _Peers(Memo[bytes, str]):
    """Addresses of clients, as a field has them."""

    def __missing__(self, field: bytes) -> str:
        try:
            peer = str(ip_address(field.decode("latin-1").strip()))
        except ValueError:
            peer = _NO_PEER
        return self.keep(field, peer) if len(field) <= _SHORT else peer


_NAMES, _BEGINS, _PEERS = _Names(_MOST), _Begins(_MOST), _Peers(_MOST)
