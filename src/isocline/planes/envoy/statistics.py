"""Statistics: what Envoy tells of attempts at backends, read from a pipe as it happens.

Envoy writes a line when an attempt has its connection, and another one when it ends. It does so
from a thread of its own every hundredth of a second, so a reader that is late holds up no request.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from isocline.gateway.load_reports.numbers import ReportError
from isocline.gateway.load_reports.orca import jobs_in_header
from isocline.planes.envoy.core import End

# Fields of a line, by what Envoy calls them; the last one may hold whatever a backend has sent.
FIELDS = {
    "type": "%ACCESS_LOG_TYPE%",
    "at": "%EMIT_TIME(%s.%6f)%",
    "sent": "%START_TIME(%s.%6f)%",
    "frontend": "%UPSTREAM_CLUSTER%",
    "backend": "%UPSTREAM_HOST%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "connected": "%UPSTREAM_CONNECTION_POOL_READY_DURATION%",
    "answered": "%RESPONSE_DURATION%",
    "load": "%RESP(ENDPOINT-LOAD-METRICS)%",
}
_NONE = "-"  # in place of what there is not
_CHUNK = 1 << 16  # bytes, as much as a pipe holds
_LONGEST = 1 << 14  # bytes of a line; ours have 300
_REFUSED = 400  # the least status of a refusal
_UPGRADED = 101
# Flags of responses by which a limit on time ended: of the route, the attempt, and without a byte.
_TOO_SLOW = frozenset({"UT", "SI", "DT", "UMSDR"})


@final
@dataclass(frozen=True)
class Attempt:
    """One line: an attempt that has begun, or has ended.

    Attributes:
        kind: Whether it has begun or ended.
        frontend: Name of the frontend.
        address: Of the backend, as `host:port`.
        now: Time of the event, s since 1970.
        sent: When the attempt was made, s since 1970.
        end: How it ended; None where it has begun.
        load: Jobs at the backend by its load report; None: it reports none.
        measured: When its response began, and with it the report; s since 1970.
    """

    kind: Literal["began", "ended"]
    frontend: str
    address: str
    now: float
    sent: float
    end: End | None
    load: int | None = None
    measured: float = 0.0


def attempt_of(line: bytes) -> Attempt | None:
    """Read a line; None for one that is no attempt with a connection, or is damaged."""
    with suppress(ValueError):
        kind, *fields = line.decode().split("\t", len(FIELDS) - 1)
        at, sent, frontend, address, status, flags, connected, answered, load = fields
        if kind == "UpstreamPoolReady":
            return Attempt("began", frontend, address, float(at), float(at), None)
        if kind == "UpstreamEnd" and connected != _NONE:
            now, began = float(at), float(sent)
            end = _end(status, flags)
            if load == _NONE:
                return Attempt("ended", frontend, address, now, began, end)
            delay = 0.0 if answered == _NONE else 1e-3 * float(answered)
            jobs, measured = _jobs(load), min(began + delay, now)
            return Attempt("ended", frontend, address, now, began, end, jobs, measured)
    return None


def _end(status: str, flags: str) -> End:
    if flags != _NONE:
        return "too slow" if _TOO_SLOW.intersection(flags.split(",")) else "unfinished"
    served = 0 < int(status) < _REFUSED and int(status) != _UPGRADED
    return "served" if served else "unfinished"


def _jobs(load: str) -> int | None:
    with suppress(ReportError):
        return jobs_in_header(load)
    return None


@final
class Lines:
    """Bytes in, whole lines out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Return the lines that are complete now."""
        *whole, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest if len(rest) <= _LONGEST else b""
        return iter(whole)

    def forget(self) -> None:
        """Drop the beginning of a line whose end will not come."""
        self._rest = b""


@final
class Pipe:
    """Reader of a named pipe, on the event loop."""

    def __init__(self, path: Path, heard: Callable[[Sequence[Attempt]], None]) -> None:
        """Make the pipe; `heard` takes the attempts of each read. Raises OSError."""
        os.mkfifo(path, 0o600)
        # For writing, too: else the pipe would end with the first Envoy that does.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._heard = heard
        self._lines = Lines()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._read)

    def lost(self) -> None:
        """Read what a writer that has ended has left, and forget a line that it began."""
        while self._read():
            pass
        self._lines.forget()

    def close(self) -> None:
        """Stop reading."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return False
        found = (attempt_of(line) for line in self._lines.feed(chunk))
        self._heard([attempt for attempt in found if attempt is not None])
        return bool(chunk)
