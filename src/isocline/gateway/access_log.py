"""The access log: one JSON object per line and request.

It holds no secrets: no header and no body, and only the path of the target, as queries may carry
keys.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _text
from math import isfinite
from time import monotonic, time
from typing import Protocol, final

from isocline.gateway.core.actions import Cause
from isocline.gateway.core.key_limits import Charge
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.memo import Memo
from isocline.gateway.trace_context import Trace

UNMATCHED = -1  # in place of a number: no frontend, no backend
CLIENT_GONE = 499  # in the log only, as nginx has it
# `peer` is an address, which needs no escape.
_LINE = (
    '{"time":"%s","peer":"%s","method":%s,"host":%s,"path":%s,"status":%d,"frontend":%s,'
    '"backend":%s,"policy":%s,"attempts":%d,"wait_ms":%.3f,"duration_ms":%.3f,"received":%d,'
    '"returned":%d%s}\n'
)
_MOST, _SHORT = 10_000, 200  # texts, and characters of each: 5 MB whatever clients ask for
_BATCH = 64  # requests, then they are written: 0.2 ms at a time


@final
@dataclass(slots=True, eq=False)
class Access:
    """Record of one request; times are s of the monotonic clock, sizes bytes on the wire."""

    peer: str
    method: bytes
    target: bytes
    host: bytes
    arrived: float
    frontend: int = UNMATCHED
    backend: int = UNMATCHED  # the last it was sent to
    attempts: int = 0
    candidates: Sequence[tuple[int, int, float]] = ()  # backend, jobs, score, at the decision
    sent: float | None = None  # to a backend, the last time; None: never
    first_byte: float | None = None  # of the response
    first_token: float | None = None  # of a stream: the first event with content
    ended: float = 0.0
    status: int = 0  # as the client has it; 499: it had gone
    received: int = 0
    returned: int = 0
    reason: str = ""  # why it went wrong
    failures: tuple[tuple[int, Cause], ...] = ()  # attempts that failed: backend, why
    refusals: tuple[tuple[int, int], ...] = ()  # attempts answered by "full": backend, status
    upgraded: bool = False
    priority: int = 0
    tenant: str = ""
    key: str = ""  # name of its API key
    charge: Charge | None = None  # if its key has limits
    request_id: bytes = b""  # empty: ids are not read
    trace: Trace | None = None  # None: traces are not read
    model: str = ""  # that was asked for, where it was read
    usage: Usage | None = None  # tokens, where they are read and the response tells them

    @property
    def wait(self) -> float:
        """Time from arrival until the request was sent, s."""
        return (self.ended if self.sent is None else self.sent) - self.arrived

    @property
    def duration(self) -> float:
        """Time from arrival to the end of the response, s."""
        return self.ended - self.arrived


Observer = Callable[[Access], None]


class LogSink(Protocol):
    """Sink of log lines, such as a file opened for text."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


@final
class AccessLog:
    """Writer of access log lines, several at a time; `flush` writes the rest.

    The objects are put together by hand, as json.dumps of a dict takes three times as long, and
    many in a row, as code that has just run runs twice as fast: 3 us of each request, not 15.
    """

    def __init__(
        self,
        out: LogSink,
        frontends: Sequence[str],
        backends: Sequence[str],
        policy: str,
        clock: Callable[[], float] = monotonic,
        unix_time: Callable[[], float] = time,
    ) -> None:
        """Write to `out`; names are in the order of their numbers.

        `clock` gives the times of Access, s; `unix_time` gives s since 1970.
        """
        self._out = out
        self._frontends = {number: _text(name) for number, name in enumerate(frontends)}
        self._backends = {number: _text(name) for number, name in enumerate(backends)}
        self._policy = _text(policy)
        # Most requests have the same few texts.
        self._texts = _JsonTexts(_MOST)
        self._candidates = _Candidates(self._backends)
        self._clock, self._unix_time = clock, unix_time
        self._waiting: list[Access] = []
        self._second = -1
        self._date = ""

    def __call__(self, access: Access) -> None:
        self._waiting.append(access)
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the lines that are buffered."""
        if self._waiting:
            since = self._unix_time() - self._clock()
            lines = [self.line(access, since) for access in self._waiting]
            self._waiting.clear()
            self._out.write("".join(lines))
            self._out.flush()

    def line(self, access: Access, since: float) -> str:
        """Format one request; the monotonic clock began at `since`, s of Unix time."""
        more = ""
        if access.first_byte is not None:
            more = ',"first_byte_ms":%.3f' % (1e3 * (access.first_byte - access.arrived))
        if access.first_token is not None:
            more += ',"first_token_ms":%.3f' % (1e3 * (access.first_token - access.arrived))
        if access.candidates:
            shown = ",".join([self._candidates[it] for it in access.candidates])
            more += f',"candidates":{{{shown}}}'
        if access.reason:
            more += f',"reason":{_text(access.reason)}'
        if access.refusals:
            more += f',"refused":{{{self._refused(access.refusals)}}}'
        if access.upgraded:
            more += ',"upgraded":true'
        more += _client(access)
        if access.model:
            more += f',"model":{_text(access.model)}'
        if access.request_id:
            more += f',"request_id":{_text(access.request_id.decode("latin-1"))}'
        if access.trace is not None:
            more += _ids(access.trace)
        arrived, ended = access.arrived, access.ended
        sent = ended if access.sent is None else access.sent
        return _LINE % (
            self._time(since + arrived),
            access.peer,
            self._texts[access.method],
            self._texts[access.host],
            self._texts[access.target.partition(b"?")[0]],
            access.status,
            self._frontends.get(access.frontend, "null"),
            self._backends.get(access.backend, "null"),
            self._policy,
            access.attempts,
            1e3 * (sent - arrived),
            1e3 * (ended - arrived),
            access.received,
            access.returned,
            more,
        )

    def _refused(self, refusals: Sequence[tuple[int, int]]) -> str:
        """Format the backends that refused the request as full, with their status."""
        return ",".join([f"{self._backends[b]}:{status}" for b, status in refusals])

    def _time(self, seconds: float) -> str:
        """Format a time as RFC 3339, in UTC, to the ms; the date is cached for a second."""
        second = int(seconds)
        if second != self._second:
            self._second = second
            self._date = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._date}.{int(1e3 * (seconds - second)):03d}Z"


def _client(access: Access) -> str:
    """Format whose a request is."""
    more = ""
    if access.key:
        more = f',"key":{_text(access.key)}'
    if access.tenant:
        more += f',"tenant":{_text(access.tenant)}'
    if access.priority:
        more += f',"priority":{access.priority}'
    return more


def _ids(trace: Trace) -> str:
    """Format the ids of a trace, by OpenTelemetry's names."""
    return (
        f',"trace_id":"{trace.trace_id.decode()}","span_id":"{trace.span_id.decode()}"'
        f',"trace_flags":"{trace.flags:02x}"'
    )


@final
class _JsonTexts(Memo[bytes, str]):
    """Memo of clients' texts as JSON strings."""

    def __missing__(self, words: bytes) -> str:
        text = _text(words.decode("latin-1"))
        return self.keep(words, text) if len(words) <= _SHORT else text


@final
class _Candidates(Memo[tuple[int, int, float], str]):
    """Format each candidate's backend, jobs and score, as a member of a JSON object."""

    def __init__(self, backends: Mapping[int, str]) -> None:
        super().__init__(_MOST)
        self._backends = backends

    def __missing__(self, candidate: tuple[int, int, float]) -> str:
        backend, jobs, score = candidate
        number = f"{score:.6g}" if isfinite(score) else "null"
        text = f'{self._backends[backend]}:{{"jobs":{jobs},"score":{number}}}'
        return self.keep(candidate, text)
