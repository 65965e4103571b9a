"""HAProxy's access log: `option httplog`, a log-format of one's own, or JSON.

Its timers are in ms: TR to have the request, Tw in the queue, Tc to connect, Tr to the head of the
response, Ta in all (Tt before version 1.9); -1 where it did not come to that.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

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

_TIME = ("tr", "t", "T", "request_date", "accept_date", "timestamp", "@timestamp", "time", "date")
_ALL = ("Ta", "Tt", "ta", "time_active", "time_duration", "total_time", "active_time")
_QUEUE = ("Tw", "tw", "time_queue", "queue_time")
_REQUEST = ("TR", "Tq", "time_request", "time_client_req")
_SERVER = ("s", "srv_name", "server", "server_name")
_BACKEND = ("b", "be_name", "backend", "backend_name")
_FRONTEND = ("ft", "f", "fe_name", "frontend", "frontend_name")
_STATUS = ("ST", "status", "status_code", "http_status", "http_status_code")
_ENDED = ("tsc", "ts", "termination_state")
_TARGET = ("HU", "HP", "r", "uri", "path", "request", "http_request")


@final
class HAProxy(Dialect):
    """Names of its log-format variables, and those usual in JSON."""

    router: ClassVar[str] = "HAProxy"
    templates: ClassVar[Mapping[str, str]] = {
        "HAProxy, httplog": (
            "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc "
            '%sq/%bq %hr %hs "%r"'
        )
    }
    advice: ClassVar[str] = "option httplog"
    needs: ClassVar[Sequence[tuple[Sequence[str], str]]] = (
        (_TIME, "a time (%tr)"),
        (_ALL, "how long requests took (%Ta)"),
        (_SERVER, "where they went (%s)"),
    )

    def reader(self, names: Sequence[str]) -> Reader:
        time, total, server = (one_of(names, *known) for known in (_TIME, _ALL, _SERVER))
        assert time is not None
        assert total is not None
        assert server is not None
        queue, request = one_of(names, *_QUEUE), one_of(names, *_REQUEST)
        status, ended = one_of(names, *_STATUS), one_of(names, *_ENDED)
        pool, front, target = (one_of(names, *known) for known in (_BACKEND, _FRONTEND, _TARGET))

        def read(values: Values) -> Exchange:
            # With option logasap the time in all is that until the head came, written as +69.
            if str(values[total])[:1] in ("+", "-"):
                raise ValueError(values[total])
            start, length = seconds(values[time]), 1e-3 * float(values[total])
            before = 0.0 if request is None else 1e-3 * max(float(values[request]), 0.0)
            held = 0.0 if queue is None else 1e-3 * max(float(values[queue]), 0.0)
            outcome = outcome_of("" if status is None else str(values[status]))
            if ended is not None and (first := str(values[ended])[:1]) in "CcSs":
                outcome = Outcome.ABANDONED if first in "Cc" else Outcome.FAILED
            group = "" if pool is None else str(values[pool])
            if front is not None:
                where = str(values[front]).rstrip("~")  # of one with TLS
                where = where if group in ("", where) else f"{where} {group}".strip()
            elif group:
                where = group
            else:
                where = frontend_of("", "" if target is None else str(values[target]))
            end, name = start + length, str(values[server])
            start += before
            if name in ("<NOSRV>", "", "-", "<STATS>"):
                return Exchange(start, end, held, outcome, where, 0.0, ())
            backend = f"{group}/{name}" if group else name
            begin = min(start + held, end)
            return Exchange(
                start, end, held, outcome, where, 0.0, (Attempt(backend, begin, end, outcome),)
            )

        return read
