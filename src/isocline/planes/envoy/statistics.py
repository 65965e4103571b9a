"""Statistics: what Envoy tells of attempts at backends, read from a pipe as it happens.

Envoy writes a line of JSON when an attempt has its connection, and another one when it ends. It
does so from a thread of its own every few hundredths of a second, so a reader that is late holds up
no request.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from isocline.gateway.load_reports.numbers import ReportError
from isocline.gateway.load_reports.orca import jobs_in_header
from isocline.planes.envoy.core import End

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
    with suppress(ValueError, KeyError, TypeError):
        it: dict[str, Any] = json.loads(line)
        frontend, address = str(it["frontend"]), str(it["backend"])
        now, sent = float(it["at"]), float(it["sent"])
        if it["type"] == "UpstreamPoolReady":
            return Attempt("began", frontend, address, now, now, None)
        if it["type"] == "UpstreamEnd" and it["connected"] is not None:
            measured = min(sent + 1e-3 * float(it["answered"] or 0), now)
            return Attempt("ended", frontend, address, now, sent, _end(it), _load(it), measured)
    return None


def _end(it: dict[str, Any]) -> End:
    flags = str(it["flags"] or "-")
    if flags != "-":
        return "too slow" if _TOO_SLOW.intersection(flags.split(",")) else "unfinished"
    status = it["status"] or 0
    served = 0 < status < _REFUSED and status != _UPGRADED
    return "served" if served else "unfinished"


def _load(it: dict[str, Any]) -> int | None:
    value = it["load"]
    with suppress(ReportError):
        return None if value is None else jobs_in_header(str(value))
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
