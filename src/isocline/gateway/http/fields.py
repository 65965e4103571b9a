"""Header fields of one connection, of a message's framing, and of the path of a request."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

from isocline.gateway.http.grammar import BAD_REQUEST, BadMessageError
from isocline.gateway.memo import Memo

_LENGTH = re.compile(rb"[0-9]{1,18}")  # below 2^63
# Never in trailers (RFC 9110, Section 6.5.1): framing, routing, authentication, content's form.
_NOT_IN_TRAILERS = frozenset(
    b"""authorization connection content-encoding content-length content-range content-type cookie
    endpoint-load-metrics expect forwarded host keep-alive proxy-authorization set-cookie te trailer
    transfer-encoding upgrade x-api-key x-forwarded-for x-forwarded-host
    x-forwarded-proto""".split()
)

# Fields whose values may be secret, and lines that are long, are forgotten at once.
_SECRET = re.compile(rb"auth|cookie|key|secret|session|token")
_MOST, _SHORT = 4096, 200  # lines, and bytes of each: 3 MB whatever peers send
_MOST_NAMES = 512
# Which are new in each request: they would only drive out the others.
_NEW = frozenset((b"traceparent", b"x-request-id"))

Take = Callable[[Any, bytes, Any], None]
"""Called with a head, a field's name in lower case and what it says: the head notes it."""

Field = tuple[bytes, Any, bytes, Take | None]
"""(name in lower case, what it says, line as it goes on, None or who takes it as it does not).

What it says is the value's bytes, or what they were read as.
"""


@final
class FieldLines(Memo[bytes, Field]):
    """Memo of parsed field lines: clients and servers repeat the same few."""

    def __init__(
        self,
        takes: Mapping[bytes, Take],
        reads: Mapping[bytes, Callable[[bytes], Any]],
        refuses: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        """Initialise; fields in `takes` are not passed on; those with a refused name are removed.

        Values of fields in `reads` are read, which may raise BadMessageError.
        """
        super().__init__(_MOST)
        self._names = _FieldNames(takes, reads, refuses)

    def __missing__(self, line: bytes) -> Field:
        """Parse a line, without its CR LF, of a head that matched the grammar."""
        name, _, value = line.partition(b":")
        key, take, read, kept = self._names[name]
        value = value.strip(b" \t")
        says = read(value) if read else value
        field = key, says, b"" if take else b"%b: %b\r\n" % (name, value), take
        return self.keep(line, field) if kept and len(line) <= _SHORT else field

    def passing(self, head: Any, lines: Iterable[bytes]) -> list[Field]:
        """Return the fields of these lines to pass on; the head takes the others, in order."""
        fields: list[Field] = []
        for line in lines:
            key, value, _, take = field = self[line]
            if take is None:
                fields.append(field)
            else:
                take(head, key, value)
        return fields


_Name = tuple[bytes, Take | None, Callable[[bytes], Any] | None, bool]
"""(in lower case, who takes it, who reads its values, whether its lines are kept)."""


@final
class _FieldNames(Memo[bytes, _Name]):
    """Memo of the names of fields, whose values may be new each time."""

    def __init__(
        self,
        takes: Mapping[bytes, Take],
        reads: Mapping[bytes, Callable[[bytes], Any]],
        refuses: Callable[[bytes], bool],
    ) -> None:
        super().__init__(_MOST_NAMES)
        self._takes = takes
        self._reads = reads
        self._refuses = refuses

    def __missing__(self, name: bytes) -> _Name:
        key = name.lower()
        take = self._takes.get(key)
        if take is None and self._refuses(key):
            take = _drop
        kept = key not in _NEW and not _SECRET.search(key)
        found = key, take, self._reads.get(key), kept
        return self.keep(name, found) if len(name) <= _SHORT else found


def _drop(head: Any, key: bytes, value: bytes) -> None:
    """Drop a field that is neither passed on nor read."""


def parse_length(value: bytes, status: int = BAD_REQUEST) -> int:
    """Parse a Content-Length; raises BadMessageError if it is malformed."""
    if _LENGTH.fullmatch(value) is None:
        raise BadMessageError("Content-Length is not a number", status)
    return int(value)


def tokens(values: list[bytes]) -> set[bytes]:
    """Return the members of a comma-separated field, in lower case."""
    found = {token.strip(b" \t").lower() for value in values for token in value.split(b",")}
    found.discard(b"")
    return found


def without(fields: list[Field], names: set[bytes]) -> list[Field]:
    """Remove the fields that Connection names (RFC 9110, Section 7.6.1)."""
    return [field for field in fields if field[0] not in names]


def passed_trailers(section: bytes) -> bytes:
    """Remove from a checked trailer section the fields that must not be in one."""
    if section == b"\r\n":
        return section
    kept = [
        line
        for line in section.split(b"\r\n")
        if line.partition(b":")[0].lower() not in _NOT_IN_TRAILERS
    ]
    return b"\r\n".join(kept)


def trailer(section: bytes, name: bytes) -> bytes | None:
    """Return the value of a field of a trailer section; `name` in lower case."""
    for line in section.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip(b" \t")
    return None
