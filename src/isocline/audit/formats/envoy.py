"""Envoy's access log: its default line, Istio's, a format of one's own, or JSON.

Its durations are in ms, and the time is that of the request's beginning. A retried request shows
the last host alone.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

from isocline.audit.formats.exchange import (
    Attempt,
    Dialect,
    Exchange,
    Outcome,
    Reader,
    Values,
    frontend_of,
    one_of,
    outcome_of,
)
from isocline.audit.formats.times import seconds

_PATH = "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)"
_HEAD = f'[%START_TIME%] "%REQ(:METHOD)% %{_PATH}% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
_TAIL = (
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" '
    '"%UPSTREAM_HOST%"'
)
_TIME = ("START_TIME", "start_time", "@timestamp", "timestamp")
_LENGTH = ("DURATION", "duration", "duration_ms")
_HOST = ("UPSTREAM_HOST", "upstream_host")
_STATUS = ("RESPONSE_CODE", "response_code", "status")
_FLAGS = ("RESPONSE_FLAGS", "response_flags")
_GROUP = (
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "upstream_cluster",
    "route_name",
    "ROUTE_NAME",
)
_AUTHORITY = ("REQ(:AUTHORITY)", "authority", ":authority")
_PATHS = (_PATH, "REQ(:PATH)", "path", ":path", "x-envoy-origin-path")


@final
class Envoy(Dialect):
    """Names of its command operators, and those usual in JSON."""

    router: ClassVar[str] = "Envoy"
    templates: ClassVar[Mapping[str, str]] = {
        "Envoy": _HEAD + _TAIL,
        "Istio": (
            f"{_HEAD}%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
            f'"%UPSTREAM_TRANSPORT_FAILURE_REASON%" {_TAIL} %UPSTREAM_CLUSTER_RAW% '
            "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
            "%REQUESTED_SERVER_NAME% %ROUTE_NAME%"
        ),
    }
    advice: ClassVar[str] = (
        "Envoy's default format, or JSON with start_time, duration, upstream_host"
    )

    needs: ClassVar[Sequence[tuple[Sequence[str], str]]] = (
        (_TIME, "a time (%START_TIME%)"),
        (_LENGTH, "how long requests took (%DURATION%)"),
        (_HOST, "where they went (%UPSTREAM_HOST%)"),
    )

    def lacks(self, names: Sequence[str]) -> str:
        return super().lacks([_bare(name) for name in names])

    def reader(self, names: Sequence[str]) -> Reader:
        names = [_bare(name) for name in names]
        time, length, host = (one_of(names, *known) for known in (_TIME, _LENGTH, _HOST))
        assert time is not None
        assert length is not None
        assert host is not None
        status, flags, group = (one_of(names, *known) for known in (_STATUS, _FLAGS, _GROUP))
        authority, path = one_of(names, *_AUTHORITY), one_of(names, *_PATHS)

        def text(values: Values, place: int | None) -> str:
            found: Any = "" if place is None else values[place]
            return "" if found is None or found == "-" else str(found)

        def read(values: Values) -> Exchange:
            start = seconds(values[time])
            end = start + 1e-3 * float(values[length])
            flag = text(values, flags)
            outcome = outcome_of(text(values, status))
            if "DC" in flag.split(",") or text(values, status) == "0":
                outcome = Outcome.ABANDONED
            where = text(values, group) or frontend_of(text(values, authority), text(values, path))
            backend = text(values, host)
            attempts = (Attempt(backend, start, end, outcome),) if backend else ()
            return Exchange(start, end, 0.0, outcome, where, 0.0, attempts)

        return read


def _bare(name: str) -> str:
    """A name without the format of a date, as in START_TIME(%s.%3f)."""
    return re.sub(r"^(START_TIME)\(.*\)$", r"\1", name)
