"""Requests for a stream's usage where the client asks for none, and its removal from the response.

A stream of OpenAI's API says how many tokens it had only if the request has
`stream_options: {include_usage: true}`; it then has one more event, with `usage` and no choice.
"""

import json
from typing import final

from isocline.gateway.http.body import (
    LAST_CHUNK,
    Chunked,
    Fed,
    Framing,
    Length,
    UntilClose,
    encode,
)
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.response_head import ResponseHead
from isocline.gateway.proxy.token_usage import NO_CHOICE, USAGE
from isocline.model.serving_settings import SizeLimits

_ASKS = b'"stream_options":{"include_usage":true},'
_LONGEST = 65_536  # bytes of an event that may be the one: it has a few hundred
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_INFINITE = float("inf")


def may_ask(head: RequestHead, longest: int) -> bool:
    """Whether a request's body, of up to `longest` bytes, may be one that can ask for usage."""
    return (
        head.method == b"POST"
        and head.length is not None
        and 0 < head.length <= longest
        and head.target.partition(b"?")[0].endswith(b"/completions")
        and head.get(b"content-encoding") is None
    )


def asking(body: bytes) -> bytes | None:
    """Return a body that also asks for usage; None if it is no stream, or has the option itself."""
    if b'"stream"' not in body or not body.lstrip(b" \t\r\n").startswith(b"{"):
        return None
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None  # the backend will say what is wrong with it
    if said.get("stream") is not True or "stream_options" in said:
        return None
    place = body.index(b"{") + 1
    return body[:place] + _ASKS + body[place:]


def reframe_without_usage(
    request: RequestHead, response: ResponseHead, sizes: SizeLimits
) -> tuple["WithoutUsage", bytes, bool]:
    """Like `reframe`, for a stream with a body: its length is not known any more."""
    knows_chunks = request.version == 1
    inner: Framing
    if response.chunked:
        inner = Chunked(_INFINITE, (sizes.head, sizes.header_count), bare=True)
    elif response.length is not None:
        inner = Length(response.length)
    else:
        inner = UntilClose(False)
    framing = WithoutUsage(inner, chunked=knows_chunks)
    return framing, _CHUNKED if knows_chunks else b"", not knows_chunks


@final
class WithoutUsage:
    """Framing of a stream without its event of usage; all other bytes are passed on unchanged.

    Attributes:
        removed: The line that did not go on.
    """

    __slots__ = ("_blank", "_chunked", "_held", "_inner", "removed", "trailers")

    def __init__(self, inner: Framing, chunked: bool) -> None:
        """Initialise; `inner` gives the payload, which is passed on in chunks, or bare."""
        self._inner = inner
        self._chunked = chunked
        self._held = b""  # a line whose end has not come
        self._blank = False  # the empty line that ends the event does not go on either
        self.removed = b""
        self.trailers = b""

    def feed(self, data: bytes) -> Fed:
        payload, rest = self._inner.feed(data)
        passed = self._strip(payload)
        if rest is None:
            return self._coded(passed), None
        self.trailers = self._inner.trailers
        return self._coded(passed + self._held) + self._end(), rest

    def ended(self) -> bytes | None:
        if self._inner.ended() is None:
            return None
        return self._coded(self._held) + self._end()

    def _strip(self, payload: bytes) -> bytes:
        lines = (self._held + payload).split(b"\n")
        held = lines.pop()
        out: list[bytes] = []
        for line in lines:
            if self._blank:
                self._blank = False
                if line in (b"", b"\r"):
                    continue
            if line.startswith(b"data:") and NO_CHOICE.search(line) and USAGE.search(line):
                self.removed, self._blank = line, True
            else:
                out.append(line + b"\n")
        if len(held) > _LONGEST or not (b"data:".startswith(held[:5]) or held == b"\r"):
            out.append(held)  # it is none
            held = b""
        self._held = held
        return b"".join(out)

    def _coded(self, data: bytes) -> bytes:
        return encode(data) if self._chunked else data

    def _end(self) -> bytes:
        return LAST_CHUNK if self._chunked else b""
