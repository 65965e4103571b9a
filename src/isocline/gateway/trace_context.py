"""W3C Trace Context (Level 2): the fields `traceparent` and `tracestate`, and a request's trace.

https://www.w3.org/TR/trace-context-2/. The fields are read and written here; which requests are
recorded is decided by `proxy.context_reader`.
"""

import re
from collections.abc import Sequence
from typing import final

SAMPLED, RANDOM = 1, 2
"""Flags: the caller may have recorded the request; the trace id is random."""

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_LENGTH, _DIGITS = 55, b"0123456789abcdef-"
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
# A key of Level 2 begins with a letter or digit; the value ends with no space, and has neither `,`
# nor `=`.
_MEMBER = re.compile(rb"[a-z0-9][a-z0-9_\-*/@]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_MOST_MEMBERS = 32


@final
class Parent:
    """The caller's span, as `traceparent` names it; ids are lower-case hexadecimal digits."""

    __slots__ = ("flags", "span_id", "trace_id")

    def __init__(self, trace_id: bytes, span_id: bytes, flags: int) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags


def read_parent(value: bytes) -> Parent | None:
    """Read a value of `traceparent`; None if it is malformed, so that the trace begins anew.

    Of a version above 00 the parts that this one has are read (Section 3.2.4).
    """
    if len(value) == _LENGTH and value.startswith(b"00-") and not value.translate(None, _DIGITS):
        # As almost all are, in a third of the time that the expression takes.
        trace_id, span_id = value[3:35], value[36:52]
        dashes = value.count(b"-") == 3 and value[35:36] == value[52:53] == b"-"
        return (
            Parent(trace_id, span_id, int(value[53:], 16))
            if dashes and trace_id != _NO_TRACE and span_id != _NO_SPAN
            else None
        )
    found = _PARENT.fullmatch(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Parent(trace_id, span_id, int(flags, 16))


def read_state(values: Sequence[bytes]) -> bytes:
    """Combine values of `tracestate` into one; empty if there is none, or it is malformed.

    It is kept whole: more than 32 members, a key that stands twice or a member that is malformed
    make all of it void (Section 3.3), and so nothing is ever cut.
    """
    members: dict[bytes, bytes] = {}
    for value in values:
        for part in value.split(b","):
            member = part.strip(b" \t")
            if not member:
                continue
            key = member.partition(b"=")[0]
            if key in members or _MEMBER.fullmatch(member) is None:
                return b""
            members[key] = member
    return b"" if len(members) > _MOST_MEMBERS else b",".join(members.values())


@final
class Attempt:
    """One attempt of a traced request at a backend.

    Attributes:
        span_id: Id of its span.
        backend: Number of the backend.
        began: Time at which it was chosen, s of the monotonic clock.
        ended: Time of its end; None: it is the last one, which ends with the request.
        status: Status of the response, if it was not the client's.
        failure: Name of the cause of its failure, in lower case; empty: it did not fail.
    """

    __slots__ = ("backend", "began", "ended", "failure", "span_id", "status")

    def __init__(self, span_id: bytes, backend: int, began: float) -> None:
        self.span_id = span_id
        self.backend = backend
        self.began = began
        self.ended: float | None = None
        self.status = 0
        self.failure = ""


@final
class Trace:
    """Place of one request in a trace; ids are lower-case hexadecimal digits.

    Attributes:
        trace_id: Id of the trace.
        span_id: Id of the router's span of the request; of one that is not recorded the caller's.
        parent_id: Id of the caller's span; empty: the trace begins here.
        flags: `SAMPLED` and `RANDOM`.
        state: Value of `tracestate`.
        secure: Whether the request came by TLS.
        agent: Value of User-Agent.
        version: Version of HTTP; empty: it is not known.
        attempts: Attempts so far, if the request is recorded.
    """

    __slots__ = (
        "agent",
        "attempts",
        "flags",
        "parent_id",
        "secure",
        "span_id",
        "state",
        "trace_id",
        "version",
    )

    def __init__(
        self, trace_id: bytes, span_id: bytes, parent_id: bytes, flags: int, state: bytes
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.flags = flags
        self.state = state
        self.secure = False
        self.agent = b""
        self.version = "1.1"
        self.attempts: list[Attempt] = []

    @property
    def sampled(self) -> bool:
        """Whether the request is recorded."""
        return bool(self.flags & SAMPLED)

    def lines(self, span_id: bytes) -> bytes:
        """Header lines that name a span as the caller's."""
        parent = b"traceparent: 00-%b-%b-%02x\r\n" % (self.trace_id, span_id, self.flags)
        return parent + b"tracestate: %b\r\n" % self.state if self.state else parent

    def began(self, span_id: bytes, backend: int, now: float) -> bytes:
        """Record the begin of an attempt; returns the header lines for it."""
        self.attempts.append(Attempt(span_id, backend, now))
        return self.lines(span_id)

    def ended(self, now: float, status: int, failure: str) -> None:
        """Record the end of the last attempt, after which there may be another one."""
        if self.attempts:
            attempt = self.attempts[-1]
            attempt.ended, attempt.status, attempt.failure = now, status, failure
