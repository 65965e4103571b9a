"""Reading of what identifies a request: its id, and its place in a trace."""

from collections.abc import Callable
from random import Random
from typing import final

from isocline.gateway.config import ProxySettings, Sampling
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.trace_context import RANDOM, SAMPLED, Trace, read_parent, read_state

_PARENT, _STATE, _ID, _AGENT = b"traceparent", b"tracestate", b"x-request-id", b"user-agent"
_WANTED = frozenset((_PARENT, _STATE, _ID, _AGENT))
_CONTEXT = (_PARENT, _STATE)
# Of a trace id, random where it has the flag for it (Level 2).
_LOW_BITS = 2**56 - 1
_LONGEST = 200  # bytes of an id, or of a User-Agent, that are kept


@final
class ContextReader:
    """Reader of requests' ids and traces, which also decides which requests are recorded."""

    def __init__(self, sampling: Sampling | None, ids: bool, bits: Callable[[int], int]) -> None:
        """Initialise.

        Args:
            sampling: Which requests are recorded; None: traces pass through, unread.
            ids: All requests have ids; else those that are recorded.
            bits: Returns so many random bits.
        """
        self._traces = sampling is not None
        self._ids = ids
        sampling = sampling or Sampling()
        self._follows = sampling.follows_parent
        self._continues = sampling.continues
        self._below = round(sampling.share * (_LOW_BITS + 1))
        self._bits = bits

    def read(self, head: RequestHead, secure: bool) -> tuple[bytes, Trace | None]:
        """Read a request's id and trace; makes those that are missing, and adds them to the head.

        `secure`: the request came by TLS.
        """
        parents: list[bytes] = []
        states: list[bytes] = []
        number = agent = b""
        for field in head.fields:
            key = field[0]
            if key not in _WANTED:
                continue
            value = field[1]
            if key == _ID:
                number = number or value
            elif key == _PARENT:
                parents.append(value)
            elif key == _STATE:
                states.append(value)
            else:
                agent = value
        trace = self._trace(head, parents, states) if self._traces else None
        if trace is None and not self._ids:
            return b"", None
        if not number:
            number = b"%032x" % self._bits(128)
            head.own += b"x-request-id: %b\r\n" % number
        if trace is not None:
            trace.secure, trace.agent = secure, agent[:_LONGEST]
        return number[:_LONGEST], trace

    def new_span(self) -> bytes:
        """Return an id for a span."""
        return b"%016x" % (self._bits(64) or 1)

    def _trace(self, head: RequestHead, parents: list[bytes], states: list[bytes]) -> Trace | None:
        """Read a trace or begin one; None if it is not recorded, and its ids are of no use."""
        # Two of them contradict each other: neither is believed.
        parent = read_parent(parents[0]) if self._continues and len(parents) == 1 else None
        if parent is not None:
            flags = parent.flags & (SAMPLED | RANDOM)
            if not self._follows:
                sampled = int(parent.trace_id[-14:], 16) < self._below
                flags = (flags & RANDOM) | (SAMPLED if sampled else 0)
            if not (flags | parent.flags) & SAMPLED:
                # Not recorded, here or before: the fields are passed on as they are.
                if not self._ids:
                    return None
                return Trace(parent.trace_id, parent.span_id, b"", flags, b"")
            state = read_state(states)
            trace = Trace(parent.trace_id, self.new_span(), parent.span_id, flags, state)
        else:
            number = self._bits(192)  # an id of 0 is invalid, and as good as impossible
            ids = b"%048x" % number
            flags = RANDOM | (SAMPLED if number & _LOW_BITS < self._below else 0)
            trace = Trace(ids[16:], ids[:16], b"", flags, b"")
        if parents or states:
            head.fields = [field for field in head.fields if field[0] not in _CONTEXT]
        if trace.flags & SAMPLED:
            return trace
        head.own = trace.lines(trace.span_id)
        return trace if self._ids else None


def context_reader_of(settings: ProxySettings) -> ContextReader | None:
    """Make the reader that settings ask for; None: neither ids nor traces are read."""
    if not settings.request_ids and settings.sampling is None:
        return None
    return ContextReader(settings.sampling, settings.request_ids, Random().getrandbits)
