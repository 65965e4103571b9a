"""Transfer of a backend's final response to the client, with the framing of its body."""

import re
from typing import final

from isocline.gateway.core.request_cost import Usage
from isocline.gateway.cors import OURS
from isocline.gateway.http.body import Chunked, Framing, Length, UntilClose
from isocline.gateway.http.fields import trailer
from isocline.gateway.http.rate_limits import OURS as OF_LIMITS
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.response_head import NO_CONTENT, ResponseHead
from isocline.gateway.proxy.exchange import Exchange
from isocline.gateway.proxy.first_token import FirstToken, is_event_stream
from isocline.gateway.proxy.token_usage import TokenUsage
from isocline.gateway.proxy.usage_request import WithoutUsage, reframe_without_usage
from isocline.model.serving_settings import SizeLimits

_LOAD = b"endpoint-load-metrics"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


def reframe(
    request: RequestHead, response: ResponseHead, sizes: SizeLimits
) -> tuple[Framing | None, bytes, bool]:
    """Return (framing of the body or None, its header lines, whether a close marks its end)."""
    knows_chunks = request.version == 1
    if response.status == NO_CONTENT:
        return None, b"", False
    length = b""
    if response.length is not None:
        length = b"Content-Length: %d\r\n" % response.length
    if not response.has_body(request.method):
        return None, _CHUNKED if response.chunked and knows_chunks else length, False
    if response.chunked:
        framing = Chunked(float("inf"), (sizes.head, sizes.header_count), bare=not knows_chunks)
        return framing, _CHUNKED if knows_chunks else b"", not knows_chunks
    if response.length is not None:
        return Length(response.length), length, False
    return UntilClose(knows_chunks), _CHUNKED if knows_chunks else b"", not knows_chunks


# Between them may be the end of its chunk. A model that writes these words writes them in JSON,
# where they are followed by a quote.
_LAST_EVENT = re.compile(rb"(?:^|\n)data: ?\[DONE\]\s*\Z")
_TAIL = 64  # bytes that hold the last event


@final
class Transfer:
    """Transfer of one response, from its head to its end."""

    __slots__ = (
        "_exchange",
        "_first_token",
        "_framing",
        "_last",
        "_load",
        "_persistent",
        "_reusable",
        "_streamed",
        "_tokens",
    )

    def __init__(self, exchange: Exchange, head: ResponseHead) -> None:
        self._exchange = exchange
        self._reusable = head.persistent and not head.misframed  # the backend's connection
        self._streamed = head.length is None
        self._persistent = False  # the client's
        self._framing: Framing | None = None
        self._load: bytes | None = None  # what the backend says once the request is done
        self._first_token: FirstToken | None = None  # until it has come
        self._last = b""  # piece of its body
        self._tokens: TokenUsage | None = None
        if exchange.decider.settings.tokens:
            self._tokens = TokenUsage(is_event_stream(head))

    def begin(self, head: ResponseHead, data: bytes) -> None:
        """Pass on the head, and what has come of the body; raises BadMessageError."""
        exchange = self._exchange
        request, decider, client = exchange.head, exchange.decider, exchange.client
        exchange.access.status = head.status
        if head.load is not None:
            self._pass_load(head, head.load)
        framing: Framing | None
        if exchange.usage_asked and head.has_body(request.method) and is_event_stream(head):
            framing, added, by_close = reframe_without_usage(request, head, decider.sizes)
        else:
            framing, added, by_close = reframe(request, head, decider.sizes)
        self._framing = framing
        self._persistent = exchange.complete and not by_close and client.stays(request)
        client.close_is_end = by_close
        if not self._persistent:
            added += b"Connection: close\r\n"
        elif request.version == 0:
            added += b"Connection: keep-alive\r\n"
        if client.cors:
            added += client.cors
            head.fields = [field for field in head.fields if not field[0].startswith(OURS)]
        if client.limit_lines:
            added += client.limit_lines
            head.fields = [it for it in head.fields if not it[0].startswith(OF_LIMITS)]
        # A stream has no length, which sorts out all other responses at no cost.
        if head.length is None and framing is not None and is_event_stream(head):
            self._first_token = FirstToken(chunked=request.version == 1)
        passed, rest = (b"", data) if framing is None else framing.feed(data)
        self._last = passed
        exchange.begun = True
        if self._first_token is not None:
            self._await_first_token(passed)
        if self._tokens is not None:
            self._tokens.feed(passed)
        exchange.respond(head.forward(added) + passed)
        if rest is not None:
            self._end(clean=not rest)

    def data(self, data: bytes) -> None:
        """Pass on more of the body; raises BadMessageError."""
        assert self._framing is not None
        passed, rest = self._framing.feed(data)
        self._last = passed
        if self._first_token is not None:
            self._await_first_token(passed)
        if self._tokens is not None:
            self._tokens.feed(passed)
        self._exchange.respond(passed)
        if rest is not None:
            self._end(clean=not rest)

    def closed(self) -> bool:
        """Handle the end of the backend connection; returns whether the response is complete."""
        rest = None if self._framing is None else self._framing.ended()
        if rest is None:
            return False
        self._exchange.respond(rest)
        self._end(clean=False)
        return True

    def _end(self, clean: bool) -> None:
        """End the transfer; `clean`: nothing came after the response."""
        exchange, framing, decider = self._exchange, self._framing, self._exchange.decider
        now = decider.clock()
        backend, client = exchange.backend, exchange.client
        assert backend is not None
        if client.write_paused:
            backend.resume()
        backend.release(
            now, reusable=clean and self._reusable and exchange.complete, streamed=self._streamed
        )
        client.exchange_done(self._persistent, now)
        exchange.done(now, usage=self.usage())
        if self._load is not None:
            decider.load(exchange.access.backend, self._load)
        if framing is not None and framing.trailers:
            decider.load(exchange.access.backend, trailer(framing.trailers, _LOAD))

    def _await_first_token(self, passed: bytes) -> None:
        assert self._first_token is not None
        if self._first_token.feed(passed):
            self._exchange.access.first_token = self._exchange.decider.clock()
            self._first_token = None

    def _pass_load(self, head: ResponseHead, load: bytes) -> None:
        """Pass on the load report: a response with a length was complete before its head was sent.

        So its report no longer counts the request, and is passed on once the request is done; a
        report in the head of a stream counts it.
        """
        if head.length is not None:
            self._load = load
        else:
            self._exchange.decider.load(self._exchange.access.backend, load)

    def after_last_event(self) -> bool:
        """Whether this is a stream after its last event, of which only the end is missing.

        Many clients of OpenAI's API leave then, before the chunk that ends the body.
        """
        return self._streamed and _LAST_EVENT.search(self._last[-_TAIL:]) is not None

    def usage(self) -> Usage | None:
        """Token usage; None if it is not wanted, or not in the response."""
        if self._tokens is None:
            return None
        if self._exchange.head.method != b"POST":
            return Usage(0, 0)
        if isinstance(self._framing, WithoutUsage):
            self._tokens.feed(b"\n" + self._framing.removed + b"\n")
        return self._tokens.usage(self._exchange.decider.token_ratios)
