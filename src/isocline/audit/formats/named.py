"""Tables and JSON with plain names of columns, and Isocline's own access log.

    start, duration, upstream                     are needed; or `end` in place of `start`
    frontend (or host, path, model), status, tokens, wait     may be there

A time has its unit in its name, as in `duration_ms`; without one it is in seconds.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, final

from isocline.audit.formats.exchange import (
    Attempt,
    Dialect,
    Exchange,
    Reader,
    Values,
    frontend_of,
    one_of,
    outcome_of,
)
from isocline.audit.formats.times import seconds

_UNITS = {"s": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_START = ("start", "started", "begin", "start_time", "time", "timestamp")
_END = ("end", "ended", "finish", "end_time", "finished")
_LENGTH = ("duration", "latency", "response_time", "elapsed", "request_time")
_BACKEND = ("upstream", "backend", "server", "upstream_host", "upstream_addr", "replica")
_FRONTEND = ("frontend", "route", "model", "service", "cluster")
_TOKENS = ("tokens", "output_tokens", "completion_tokens", "total_tokens", "work")
_WAIT = ("wait", "held", "queue_time")


class _Column(NamedTuple):
    """Place of a column, and the seconds in its unit."""

    place: int
    unit: float


@final
class Named(Dialect):
    """Plain names."""

    router: ClassVar[str] = "table"
    advice: ClassVar[str] = "a CSV with the columns start, duration and upstream"

    def lacks(self, names: Sequence[str]) -> str:
        missing = []
        if _column(names, _START) is None and _column(names, _END) is None:
            missing.append("start")
        if _column(names, _LENGTH) is None and None in (
            _column(names, _START),
            _column(names, _END),
        ):
            missing.append("duration")
        if _column(names, _BACKEND) is None:
            missing.append("upstream")
        return f"the columns {', '.join(missing)}" if missing else ""

    def reader(self, names: Sequence[str]) -> Reader:
        start, end, length = (_column(names, known) for known in (_START, _END, _LENGTH))
        backend, wait = _column(names, _BACKEND), _column(names, _WAIT)
        front, tokens = _column(names, _FRONTEND), _column(names, _TOKENS)
        assert backend is not None
        status = one_of([name.lower() for name in names], "status", "status_code", "response_code")
        host = one_of([name.lower() for name in names], "host")
        path = one_of([name.lower() for name in names], "path", "url")

        def took(values: Values) -> float:
            assert length is not None
            return _number(values[length.place]) * length.unit

        def read(values: Values) -> Exchange:
            if start is not None:
                began = seconds(values[start.place])
                ended = began + took(values) if length is not None else seconds(values[end.place])  # type: ignore[union-attr]
            else:
                assert end is not None
                ended = seconds(values[end.place])
                began = ended - took(values)
            if not began <= ended < float("inf"):
                raise ValueError(ended)
            held = (
                0.0 if wait is None else min(_number(values[wait.place]) * wait.unit, ended - began)
            )
            name = str(values[backend.place] or "").strip()
            code = "" if status is None else str(values[status])
            outcome = outcome_of(code)
            if front is not None and values[front.place] not in (None, ""):
                where = str(values[front.place])
            else:
                where = frontend_of(
                    "" if host is None else str(values[host]),
                    "" if path is None else str(values[path]),
                )
            count = 0.0
            if tokens is not None and values[tokens.place] not in (None, ""):
                count = _number(values[tokens.place])
            attempts = () if name in ("", "-") else (Attempt(name, began + held, ended, outcome),)
            return Exchange(began, ended, held, outcome, where, count, attempts)

        return read


def _number(value: object) -> float:
    """A finite number, 0 or more."""
    found = float(value)  # type: ignore[arg-type]  # refused by float itself
    if not 0.0 <= found < float("inf"):
        raise ValueError(value)
    return found


def _column(names: Sequence[str], known: Sequence[str]) -> _Column | None:
    """The first column with one of these names, with or without a unit."""
    plain = [name.strip().lower() for name in names]
    for word in known:
        for place, name in enumerate(plain):
            if name == word:
                return _Column(place, 1.0)
            head, _, unit = name.rpartition("_")
            if head == word and unit in _UNITS:
                return _Column(place, _UNITS[unit])
    return None
