"""nginx's access log: `log_format` with its upstream variables, in text or JSON.

Where a request was retried, nginx's upstream variables are lists: "a, b" within a group of servers,
"a, b : c" where it went on to another. The time logged is that of the request's end.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
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
from isocline.errors import UsageError

_BETWEEN = re.compile(r", ?| : ")
_TIME = ("msec", "time_iso8601", "time_local", "@timestamp", "timestamp")
_NONE = ("", "-", None)
# A quoted argument, or words without a quote, up to the end of the directive.
_DIRECTIVE = re.compile(
    r"""\blog_format\s+([\w.-]+)\s+(?:escape=\w+\s+)?((?:'[^']*'|"[^"]*"|[^;'"])*);"""
)
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)"|([^\s'"]+)""")


@final
class Nginx(Dialect):
    """Names of nginx's variables."""

    router: ClassVar[str] = "nginx"
    templates: ClassVar[Mapping[str, str]] = {
        # Of the admin guide, with the address that it leaves out.
        "nginx": (
            '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
            '"$http_referer" "$http_user_agent" rt=$request_time uct="$upstream_connect_time" '
            'uht="$upstream_header_time" urt="$upstream_response_time" ua="$upstream_addr"'
        ),
        # As `advice` has it.
        "nginx, as advised": (
            '$msec $request_time "$upstream_addr" "$upstream_response_time" "$upstream_status" '
            '$status $host "$request_uri"'
        ),
        "ingress-nginx": (
            '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
            '"$http_referer" "$http_user_agent" $request_length $request_time '
            "[$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr "
            "$upstream_response_length $upstream_response_time $upstream_status $req_id"
        ),
        # To say what they lack.
        "nginx, combined": (
            '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
            '"$http_referer" "$http_user_agent"'
        ),
        "nginx, upstream_time": (
            '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
            '"$http_referer" "$http_user_agent" rt=$request_time uct="$upstream_connect_time" '
            'uht="$upstream_header_time" urt="$upstream_response_time"'
        ),
    }
    advice: ClassVar[str] = (
        'log_format audit \'$msec $request_time "$upstream_addr" "$upstream_response_time" '
        '"$upstream_status" $status $host "$request_uri"\';'
    )

    needs: ClassVar[Sequence[tuple[Sequence[str], str]]] = (
        (_TIME, "a time ($msec)"),
        (("request_time", "upstream_response_time"), "how long requests took ($request_time)"),
        (("upstream_addr",), "where they went ($upstream_addr)"),
    )

    def reader(self, names: Sequence[str]) -> Reader:
        time = one_of(names, *_TIME)
        assert time is not None
        address = names.index("upstream_addr")
        took, at_backend = one_of(names, "request_time"), one_of(names, "upstream_response_time")
        status, statuses = one_of(names, "status"), one_of(names, "upstream_status")
        group = one_of(names, "frontend", "proxy_upstream_name", "model")
        host = one_of(names, "host", "http_host", "server_name")
        target = one_of(names, "request_uri", "uri", "path", "request")

        def at(values: Values, place: int | None) -> Any:
            return "" if place is None else values[place]

        def read(values: Values) -> Exchange:
            backends = values[address]
            each = at(values, at_backend)
            times = _times(each)
            length = float(values[took]) if took is not None else sum(times)
            end = seconds(values[time])
            start = end - length
            code = str(at(values, status))
            outcome = outcome_of(code)
            where = at(values, group)
            if where in _NONE:
                where = frontend_of(str(at(values, host)), str(at(values, target)))
            attempts: tuple[Attempt, ...]
            if backends in _NONE:
                attempts = ()
            elif "," not in backends and " : " not in backends:
                # An upstream may be done before a slow client has it all; it began at once.
                long = min(times[0], length) if len(times) == 1 else length
                attempts = (Attempt(backends, start, start + long, outcome),)
            else:
                attempts = _several(backends, times, str(at(values, statuses)), start, outcome)
            return Exchange(start, end, 0.0, outcome, where, 0.0, attempts)

        return read


def _times(text: Any) -> list[float]:
    """Times of the attempts, s; 0 of one that has none."""
    if text in _NONE:
        return []
    if isinstance(text, int | float):
        return [float(text)]
    if "," not in text and ":" not in text:
        return [float(text)]
    return [0.0 if one in _NONE else float(one) for one in _BETWEEN.split(text)]


def _several(
    backends: str, times: list[float], statuses: str, start: float, outcome: Outcome
) -> tuple[Attempt, ...]:
    """Attempts one after the other; the last has the request's outcome."""
    names = _BETWEEN.split(backends)
    codes = _BETWEEN.split(statuses)
    found = []
    for i, name in enumerate(names):
        long = times[i] if i < len(times) else 0.0
        last = i == len(names) - 1
        how = outcome if last else Outcome.FAILED
        if not last and i < len(codes) and codes[i][:1] in ("2", "3"):
            how = Outcome.SERVED  # a redirect within: X-Accel-Redirect
        found.append(Attempt(name, start, start + long, how))
        start += long
    return tuple(found)


def log_formats(path: Path) -> dict[str, str]:
    """The `log_format` directives of a configuration file, by name.

    Raises:
        UsageError: It cannot be read, or has none.
    """
    name = str(path) if str(path).isprintable() else repr(str(path))
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:  # ValueError: of a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--format {name}: cannot be read ({reason})") from error
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    found = {
        name: "".join(next(filter(None, part), "") for part in _QUOTED.findall(value))
        for name, value in _DIRECTIVE.findall(text)
    }
    if not found:
        raise UsageError(
            f"--format {name}: has no log_format; give the file of nginx's configuration that has "
            "one, or the format itself in quotes"
        )
    return found
