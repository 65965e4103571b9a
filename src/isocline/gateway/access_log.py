"""The access log: one JSON object per line and request.

Nothing secret is in it: no header, no body, and of the target the path only, as keys travel in
queries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _text
from math import isfinite
from time import monotonic, time
from typing import TextIO, final

UNMATCHED = -1  # in place of a number: no frontend, no backend
CLIENT_GONE = 499  # in the log only, as nginx has it
# `peer` is an address, which needs no escape.
_LINE = (
    '{"time":"%s","peer":"%s","method":%s,"host":%s,"path":%s,"status":%d,"frontend":%s,'
    '"backend":%s,"policy":%s,"attempts":%d,"wait_ms":%.3f,"duration_ms":%.3f,"received":%d,'
    '"returned":%d%s}\n'
)
_REMEMBERED, _SHORT = 10_000, 200  # texts, and characters of each: 5 MB whatever clients ask for
_BATCH = 64  # requests, then they are written: 0.2 ms at a time


@final
@dataclass(slots=True, eq=False)
class Access:
    """What happened to one request. Times are s of the monotonic clock, sizes bytes on the wire."""

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
    ended: float = 0.0
    status: int = 0  # as the client has it; 499: it had gone
    received: int = 0
    returned: int = 0
    reason: str = ""  # why it went wrong
    upgraded: bool = False

    @property
    def wait(self) -> float:
        """From its arrival until it was sent, s."""
        return (self.ended if self.sent is None else self.sent) - self.arrived

    @property
    def duration(self) -> float:
        """From its arrival to its end, s."""
        return self.ended - self.arrived


Observer = Callable[[Access], None]


@final
class AccessLog:
    """Writes them, a number at a time: `flush` writes what is left.

    The objects are put together by hand, as json.dumps of a dict takes three times as long, and
    many in a row, as code that has just run runs twice as fast: 3 us of each request, not 15.
    """

    def __init__(
        self, out: TextIO, frontends: Sequence[str], backends: Sequence[str], policy: str
    ) -> None:
        """Writes to `out`; names are in the order of their numbers."""
        self._out = out
        self._frontends = [_text(name) for name in frontends]
        self._backends = [_text(name) for name in backends]
        self._policy = _text(policy)
        self._texts: dict[bytes, str] = {}
        self._candidates: dict[tuple[int, int, float], str] = {}
        self._waiting: list[Access] = []
        self._second = -1
        self._date = ""

    def __call__(self, access: Access) -> None:
        self._waiting.append(access)
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is gathered."""
        if self._waiting:
            since = time() - monotonic()
            lines = [self.line(access, since) for access in self._waiting]
            self._waiting.clear()
            self._out.write("".join(lines))
            self._out.flush()

    def line(self, access: Access, since: float) -> str:
        """One request's line; the monotonic clock began `since`, s of Unix time."""
        more = ""
        if access.first_byte is not None:
            more = ',"first_byte_ms":%.3f' % (1e3 * (access.first_byte - access.arrived))
        if access.candidates:
            told = ",".join([self._candidate(candidate) for candidate in access.candidates])
            more += f',"candidates":{{{told}}}'
        if access.reason:
            more += f',"reason":{_text(access.reason)}'
        if access.upgraded:
            more += ',"upgraded":true'
        return _LINE % (
            self._time(since + access.arrived),
            access.peer,
            self._said(access.method),
            self._said(access.host),
            self._said(access.target.partition(b"?")[0]),
            access.status,
            _name(self._frontends, access.frontend),
            _name(self._backends, access.backend),
            self._policy,
            access.attempts,
            1e3 * access.wait,
            1e3 * access.duration,
            access.received,
            access.returned,
            more,
        )

    # The same words come again and again: a look into a dict costs a tenth of making them.

    def _said(self, words: bytes) -> str:
        """What a client said, as JSON."""
        text = self._texts.get(words)
        if text is not None:
            return text
        text = _text(words.decode("latin-1"))
        if len(words) <= _SHORT:
            if len(self._texts) >= _REMEMBERED:
                self._texts.clear()
            self._texts[words] = text
        return text

    def _candidate(self, candidate: tuple[int, int, float]) -> str:
        text = self._candidates.get(candidate)
        if text is None:
            if len(self._candidates) >= _REMEMBERED:
                self._candidates.clear()
            backend, jobs, score = candidate
            number = f"{score:.6g}" if isfinite(score) else "null"
            text = f'{self._backends[backend]}:{{"jobs":{jobs},"score":{number}}}'
            self._candidates[candidate] = text
        return text

    def _time(self, seconds: float) -> str:
        """RFC 3339, in UTC, to the ms; the date is made once a second."""
        second = int(seconds)
        if second != self._second:
            self._second = second
            self._date = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._date}.{int(1e3 * (seconds - second)):03d}Z"


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else "null"
