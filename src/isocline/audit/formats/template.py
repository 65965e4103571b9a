"""Templates of log lines, as routers are configured with them, compiled to regular expressions.

nginx      log_format name '$remote_addr [$time_local] "$request" $status ...';
Envoy      [%START_TIME%] "%REQ(:METHOD)% ..." %DURATION% "%UPSTREAM_HOST%"
HAProxy    %ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST ...
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

from isocline.errors import UsageError

_NGINX = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ENVOY = re.compile(r"%([A-Z][A-Z0-9_]*(?:\([^)]*\))?)(?::\d+)?%")
_HAPROXY = re.compile(r"%(?:\(\w*\))?(?:\{[^}]*\})?(\[[^\]]*\]|[A-Za-z]{1,3})")
# Values of nginx that are lists where a request was retried: "a, b", or "a : b" between groups.
_ITEM = r'[^\s,"]+'
_LIST = rf"(?:{_ITEM}(?:(?:, ?| : ){_ITEM})*)?"
# Captured headers, of which HAProxy leaves out the blank as well where there are none.
_CAPTURED = {"hr": r"(?:\{.*?\})?", "hs": r"(?:\{.*?\})?"}
_DATES = {"tr", "t", "T", "time_local", "time_iso8601"}
# Before what the router writes: syslog, or the runtime of a container.
_PREFIX = r"(?:.*?(?:\[\d+\]: |: |(?:stdout|stderr) [FP] )|)"


class _Part(NamedTuple):
    name: str  # "" for text
    text: str


@final
@dataclass(frozen=True, eq=False)
class Template:
    """A compiled template: `match(line)` has the groups in the order of `names`."""

    names: tuple[str, ...]
    pattern: re.Pattern[str]


def template(text: str, wanted: Collection[str] | None = None) -> Template:
    """Compile a template of any of the three kinds.

    Args:
        text: The template.
        wanted: Names of the fields to be captured; None for all.

    Raises:
        UsageError: It holds no field.
    """
    parts = list(_parts(text.strip()))
    if not any(part.name for part in parts):
        raise UsageError(
            f"--format {text!r:.60}: names no field; give a log_format as in nginx.conf, such as "
            "'$msec $request_time $upstream_addr $upstream_response_time $status', or the file it "
            "is in"
        )
    names: list[str] = []
    pieces = [_PREFIX]
    for part, after in zip(parts, [*parts[1:], _Part("", "")], strict=True):
        if not part.name:
            pieces.append(_literal(part.text, parts))
            continue
        value = _value(part.name, after)
        if (wanted is None or part.name in wanted) and part.name not in names:
            names.append(part.name)
            value = f"({value})"
        pieces.append(value)
    return Template(tuple(names), re.compile("".join(pieces) + r"\s*\Z"))


def _parts(text: str) -> Iterator[_Part]:
    field = next((kind for kind in (_NGINX, _ENVOY) if kind.search(text)), _HAPROXY)
    end = 0
    for found in field.finditer(text):
        if found.start() > end:
            yield _Part("", text[end : found.start()])
        yield _Part(next(group for group in found.groups() if group), found[0])
        end = found.end()
    if end < len(text):
        yield _Part("", text[end:])


def _literal(text: str, parts: list[_Part]) -> str:
    """Text between fields; any blanks for a blank where HAProxy may leave out what is between."""
    between = any(part.name in _CAPTURED for part in parts)
    return re.sub(r"(?:\\ )+", " *" if between else " +", re.escape(text))


def _value(name: str, after: _Part) -> str:
    if name in _CAPTURED:
        return _CAPTURED[name]
    if name.startswith("upstream_"):
        return _LIST
    if name in _DATES or name.startswith("START_TIME"):
        return r"[\w/:+\-.]+(?: [+-]\d{4})?"
    if after.name or not after.text:
        return ".*?"
    end = after.text[0]
    # What holds blanks, as a request line, may end at the first or at a later one.
    return r"\S*" if end == " " and name not in ("request", "r") else f"[^{re.escape(end)}]*"
