"""Header fields that concern one connection, one message's framing, or the way it took."""

import re

from isocline.gateway.proxy.strict import BAD_REQUEST, BadMessageError

_LENGTH = re.compile(rb"[0-9]{1,18}")  # below 2^63
# Never in trailers (RFC 9110, Section 6.5.1): framing, routing, authentication, content's form.
_NOT_IN_TRAILERS = frozenset(
    b"""authorization connection content-encoding content-length content-range content-type cookie
    endpoint-load-metrics expect forwarded host keep-alive proxy-authorization set-cookie te trailer
    transfer-encoding upgrade x-forwarded-for x-forwarded-host x-forwarded-proto""".split()
)

Fields = list[tuple[bytes, bytes, bytes]]
"""(name in lower case, name, value)."""


def parse_length(value: bytes, known: int | None, status: int = BAD_REQUEST) -> int:
    """A Content-Length; raises BadMessageError if it is malformed or not the only one."""
    if known is not None:
        raise BadMessageError("more than one Content-Length", status)
    if _LENGTH.fullmatch(value) is None:
        raise BadMessageError("Content-Length is not a number", status)
    return int(value)


def tokens(values: list[bytes]) -> set[bytes]:
    """The members of a comma-separated field, in lower case."""
    found = {token.strip(b" \t").lower() for value in values for token in value.split(b",")}
    found.discard(b"")
    return found


def without(fields: Fields, names: set[bytes]) -> Fields:
    """Fields that are not named by Connection (RFC 9110, Section 7.6.1)."""
    return [field for field in fields if field[0] not in names]


def lines(fields: Fields) -> bytes:
    """Fields as they go on the wire."""
    out: list[bytes] = []
    for _, name, value in fields:
        out += (name, b": ", value, b"\r\n")
    return b"".join(out)


def passed_trailers(section: bytes) -> bytes:
    """A checked trailer section, without the fields that must not be in one."""
    if section == b"\r\n":
        return section
    kept = [
        line
        for line in section.split(b"\r\n")
        if line.partition(b":")[0].lower() not in _NOT_IN_TRAILERS
    ]
    return b"\r\n".join(kept)


def trailer(section: bytes, name: bytes) -> bytes | None:
    """The value of a field of a trailer section; `name` in lower case."""
    for line in section.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip(b" \t")
    return None
