"""Strict grammar of HTTP/1.1 heads: anything else is rejected.

Parsers forgive (codings before `chunked`, versions other than 1.x, empty lines, bare LF), each in
its own way. A message on whose end two of them disagree can smuggle another one. So a head must
match the whole grammar of RFC 9112, as one expression. What does has one reading: its lines end
where CR LF stands, a field's name ends at the line's first colon.
"""

import re
from typing import final

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# Field values are visible characters, space, tab and obs-text (RFC 9110, Section 5.5).
_FIELDS = rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*"
_TARGET = rb"[\x21\x22\x24-\x7e]++"  # no fragment, nothing that is not ASCII
_REQUEST = re.compile(_TOKEN + rb" " + _TARGET + rb" HTTP/1\.[01]\r\n" + _FIELDS + rb"\r\n")
_STATUS = rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n"
_RESPONSE = re.compile(_STATUS + _FIELDS + rb"\r\n")
_OTHER_VERSION = re.compile(_TOKEN + rb" " + _TARGET + rb" HTTP/([0-9]\.[0-9])")
_TRAILERS = re.compile(_FIELDS + rb"\r\n")

_VERSION, _STATUS_LINE, _REQUEST_LINE = b"HTTP/1.", "status line", "request line"
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")  # a CR at the end may get its LF yet
_BARE_WORDS = "a line ends with a bare CR or LF; lines end with CR LF"

BAD_REQUEST, TOO_LARGE, HEAD_TOO_LARGE, NOT_IMPLEMENTED, BAD_GATEWAY = 400, 413, 431, 501, 502
VERSION_NOT_SUPPORTED = 505


@final
class BadMessageError(Exception):
    """A peer's message is rejected.

    Attributes:
        status: Status code for a client.
        reason: Description of the error, which repeats nothing that the peer sent.
    """

    def __init__(self, reason: str, status: int = BAD_REQUEST) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def request_lines(head: bytes, header_count: int) -> list[bytes]:
    """Split a request's head into its request line and field lines (RFC 9112, Section 3).

    Raises BadMessageError unless `head`, up to its empty line, is one.
    """
    return _lines(_REQUEST, head, header_count, _REQUEST_LINE)


def response_lines(head: bytes, header_count: int) -> list[bytes]:
    """Split a response's head into its status line and field lines (RFC 9112, Section 4).

    Raises BadMessageError unless `head`, up to its empty line, is one.
    """
    return _lines(_RESPONSE, head, header_count, _STATUS_LINE)


def require_response_start(data: bytes) -> None:
    """Raise BadMessageError if no more bytes can make `data` the head of a response.

    A backend that ends lines with bare LF, or speaks another protocol, would else be waited for.
    """
    if not _VERSION.startswith(data[: len(_VERSION)]):
        raise BadMessageError(f"malformed {_STATUS_LINE}", BAD_GATEWAY)
    if _BARE.search(data) is not None:
        raise BadMessageError(_BARE_WORDS, BAD_GATEWAY)


def require_trailers(block: bytes, header_count: int) -> None:
    """Raise BadMessageError unless `block` is a trailer section with its empty line."""
    if block.count(b"\r\n") - 1 > header_count:
        raise BadMessageError(f"more than {header_count} trailer fields", HEAD_TOO_LARGE)
    if not _TRAILERS.fullmatch(block):
        raise BadMessageError(_fault(block))


def _lines(grammar: re.Pattern[bytes], head: bytes, header_count: int, first: str) -> list[bytes]:
    if grammar.fullmatch(head) is None:
        line, _, fields = head.partition(b"\r\n")
        bare = grammar.fullmatch(line + b"\r\n\r\n") is None
        if bare and first == _REQUEST_LINE:
            _require_version(line)
        raise BadMessageError(_bad_line(line, first) if bare else _fault(fields))
    lines = head[:-4].split(b"\r\n")
    if len(lines) - 1 > header_count:
        raise BadMessageError(f"more than {header_count} header fields", HEAD_TOO_LARGE)
    return lines


def _require_version(line: bytes) -> None:
    """Raise BadMessageError if a request line is good but for its version, as HTTP/2's preface."""
    other = _OTHER_VERSION.fullmatch(line)
    if other is not None:
        reason = f"HTTP/{other[1].decode()} is not spoken here; use HTTP/1.1"
        raise BadMessageError(reason, VERSION_NOT_SUPPORTED)


def _bad_line(line: bytes, first: str) -> str:
    if b"\n" in line or b"\r" in line:
        return _BARE_WORDS
    return f"malformed {first}"


_FAULTS = (
    (rb"(?<!\r)\n|\r(?!\n)", _BARE_WORDS),
    (rb"(?m)^[ \t]", "a field is folded over several lines (obs-fold)"),
    (rb"(?m)^[^:\n]*[ \t]:", "white space between a field's name and its colon"),
    (rb"(?m)^:", "a field without a name"),
    (rb"\x00", "a NUL character in a field"),
    (rb"(?m)^[^:\n]+\r$", "a field without a colon"),
)


def _fault(fields: bytes) -> str:
    """Describe the error of a field section that does not match, at no concern for speed."""
    for pattern, words in _FAULTS:
        if re.search(pattern, fields):
            return words
    return "a character that no field may hold"
