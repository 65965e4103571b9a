"""Statistics: what Envoy tells of attempts at backends and of their health, as it happens.

Envoy writes a line into a pipe when an attempt has its connection, another one when it ends, and
one when a health check changes its mind. It does so from a thread of its own every hundredth of a
second, so a reader that is late holds up no request.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, final

from isocline.gateway.core.actions import Cause
from isocline.gateway.core.attempt_ends import GATEWAY_ERRORS
from isocline.gateway.load_reports.numbers import ReportError
from isocline.gateway.load_reports.orca import jobs_in_header
from isocline.planes.envoy.core import SERVED, End
from isocline.planes.envoy.routes import NAMESPACE

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
    "whole": "%COMMON_DURATION(US_TX_BEG:US_RX_END:ms)%",
    "length": "%RESP(CONTENT-LENGTH)%",
    "load": "%RESP(ENDPOINT-LOAD-METRICS)%",
}
_NONE = "-"  # in place of what there is not
_CHUNK = 1 << 16  # bytes, as much as a pipe holds
_LONGEST = 1 << 14  # bytes of a line; ours have 300, those about health 600
_REFUSED = 400  # the least status of a refusal
_UPGRADED = 101
# Flags of responses by which a limit on time ended: of the route, the attempt, and without a byte.
_TOO_SLOW = frozenset({"UT", "SI", "DT", "UMSDR"})
_LATE = "UT"  # that of an attempt: its backend did not begin to answer
# Flags for which the backend, or the way to it, is to blame.
_NO_CONNECTION = "UF"
_MALFORMED = "UPE"
_BROKEN = frozenset({"UC", "UR", _MALFORMED})  # a body that is cut short is malformed
_LEFT = End("left")
_UNWELL = {"NETWORK": "it does not answer", "NETWORK_TIMEOUT": "it does not answer in time"}


@final
class Attempt(NamedTuple):
    """One line: an attempt that has begun, or has ended.

    Attributes:
        frontend: Name of the frontend.
        address: Of the backend, as `host:port`.
        now: Time of the event, s since 1970.
        sent: When the attempt was made, s since 1970.
        end: How it ended; None where it has begun.
        load: Jobs at the backend by its load report; None: it reports none.
        measured: Time of the report, s since 1970: when the response began; the end of one with a
            length, which was complete before its head was sent, so that its report counts it no
            more.
    """

    frontend: str
    address: str
    now: float
    sent: float
    end: End | None
    load: int | None = None
    measured: float = 0.0


@final
class Checked(NamedTuple):
    """One line: a backend's health, by the checks of a frontend's cluster, has changed.

    Attributes:
        frontend: Name of the frontend.
        backend: Name of the backend.
        up: Whether it is healthy.
        problem: Why it is not, in words.
    """

    frontend: str
    backend: str
    up: bool
    problem: str = ""


Event = Attempt | Checked


def event_of(line: bytes) -> Event | None:
    """Read a line; None for one that says nothing of interest, or is damaged."""
    with suppress(ValueError, TypeError, KeyError):
        if line.startswith(b"{"):
            return _checked(json.loads(line))
        kind, *fields = line.decode().split("\t", len(FIELDS) - 1)
        if kind == "UpstreamPoolReady":
            at, _, frontend, address, *_ = fields
            return Attempt(frontend, address, float(at), float(at), None)
        if kind == "UpstreamEnd":
            return _ended(*fields)
    return None


def _ended(  # noqa: PLR0913
    at: str,
    sent: str,
    frontend: str,
    address: str,
    status: str,
    flags: str,
    connected: str,
    answered: str,
    whole: str,
    length: str,
    load: str,
) -> Attempt | None:
    """Attempt of the fields of a line, but the first; None if nothing has come of it."""
    now, began = float(at), float(sent)
    if flags == _NONE:
        end = _response(int(status)) if whole != _NONE else _LEFT
    else:
        end = _broken(int(status), set(flags.split(",")), answered != _NONE, whole != _NONE)
    if connected == _NONE:
        if end.how != "failed":
            return None
        end = end._replace(begun=False)
    if load == _NONE:
        return Attempt(frontend, address, now, began, end)
    measured = now
    if length == _NONE and answered != _NONE:
        measured = min(began + 1e-3 * float(answered), now)
    return Attempt(frontend, address, now, began, end, _jobs(load), measured)


def _response(status: int) -> End:
    """End with a whole response."""
    if status == SERVED.status:
        return SERVED
    if status in (0, _UPGRADED):
        return _LEFT
    if status in GATEWAY_ERRORS:
        return End("failed", status, f"status {status}")
    return End("served" if status < _REFUSED else "refused", status)


def _broken(status: int, flags: Set[str], answered: bool, whole: bool) -> End:
    """End with flags that say what was wrong, mostly."""
    if flags & _TOO_SLOW:
        return End("too slow", why=Cause.FIRST_BYTE_TIMEOUT.reason * (_LATE in flags))
    if fault := _fault(flags, answered):
        return End("failed", why=fault)
    return _response(status) if whole else _LEFT


def _fault(flags: Set[str], answered: bool) -> str:
    """What a backend, or the way to it, is to blame for; empty for nothing."""
    if _NO_CONNECTION in flags:
        return "no connection could be made"
    if _MALFORMED in flags and not answered:
        return Cause.MALFORMED.reason
    return Cause.RESET.reason if flags & _BROKEN else ""


def _checked(document: Any) -> Checked | None:
    """Event of the health checks of a cluster; None if it is no change."""
    metadata = document["metadata"]["filter_metadata"]
    names = document["cluster_name"], metadata[NAMESPACE]["backend"]
    if "add_healthy_event" in document:
        return Checked(*names, up=True)
    failed = document.get("eject_unhealthy_event") or document.get("health_check_failure_event")
    if not failed:
        return None
    status, kind = failed.get("http_status_code", 0), failed["failure_type"]
    return Checked(
        *names, up=False, problem=f"status {status}" if status else _UNWELL.get(kind, kind)
    )


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

    def __init__(self, path: Path, heard: Callable[[Sequence[Event]], None]) -> None:
        """Make the pipe; `heard` takes the events of each read. Raises OSError."""
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
        found = (event_of(line) for line in self._lines.feed(chunk))
        self._heard([event for event in found if event is not None])
        return bool(chunk)
