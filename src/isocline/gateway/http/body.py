"""Framing of bodies: where they end, and their bytes as sent on, without buffering any.

Parsers say what a body holds and not at which byte a message ends, nor can what follows be kept
from them; so the ends are found here, and chunks go on in the framing they came in, less
extensions.

A framing's `feed(data)` returns what goes on and, once the body is complete, what came after it
(else None). `encode` turns payload into chunks where the framing changes on the way.
"""

import re
from typing import Protocol, final

from isocline.gateway.http.fields import passed_trailers
from isocline.gateway.http.grammar import TOO_LARGE, BadMessageError, require_trailers

# Fifteen digits are below 2^60, so no reader's integer overflows; an extension holds no control
# character, and no white space stands before it (RFC 9112, Section 7.1).
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]{0,238})?\r\n")
_LONGEST_LINE = 256  # bytes, its CR LF included: 15 + 1 + 238 + 2
_END = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"

Fed = tuple[bytes, bytes | None]


class Framing(Protocol):
    """Framing of one body."""

    trailers: bytes
    """The trailer section with its empty line, once the body is complete; b"" if it has none."""

    def feed(self, data: bytes) -> Fed:
        """Return (bytes to pass on, bytes after the body or None); raises BadMessageError."""

    def ended(self) -> bytes | None:
        """Return the last bytes when the peer closes; None if the body was cut short."""


@final
class Length:
    """Framing by Content-Length (RFC 9112, Section 6.2)."""

    __slots__ = ("left", "trailers")

    def __init__(self, length: int) -> None:
        self.trailers = b""
        self.left = length

    def feed(self, data: bytes) -> Fed:
        taken = len(data)
        if taken < self.left:
            self.left -= taken
            return data, None
        if taken == self.left:
            self.left = 0
            return data, b""
        end, self.left = self.left, 0
        return data[:end], data[end:]

    def ended(self) -> bytes | None:
        return None


@final
class UntilClose:
    """Framing of a response without a length, which ends with its connection (RFC 9112, 6.3)."""

    __slots__ = ("chunked", "trailers")

    def __init__(self, chunked: bool) -> None:
        self.trailers = b""
        self.chunked = chunked

    def feed(self, data: bytes) -> Fed:
        return (encode(data) if self.chunked else data), None

    def ended(self) -> bytes | None:
        return LAST_CHUNK if self.chunked else b""


@final
class Chunked:
    """Transfer-Encoding: chunked (RFC 9112, Section 7.1), read strictly.

    The body is passed on in chunks of the same sizes without extensions, or as bare payload to a
    peer without chunked coding. Bytes of a chunk are passed on as they come.
    """

    __slots__ = ("_bare", "_fields", "_held", "_last", "_left", "_remaining", "trailers")

    def __init__(self, room: float, fields: tuple[int, int], bare: bool = False) -> None:
        self.trailers = b""
        self._remaining = room  # bytes of payload that may still come
        self._fields = fields  # the most bytes and fields of a trailer section
        self._bare = bare
        self._held = b""  # the start of a line whose end has not come
        self._left = 0  # of the current chunk, with the CR LF after it
        self._last = False  # the last chunk has come, the trailers have not

    def feed(self, data: bytes) -> Fed:
        if self._held:
            data, self._held = self._held + data, b""
        out: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            if self._left:
                at = self._pass_on(data, at, out)
            elif not self._last:
                line = _SIZE.match(data, at)
                if line is None:
                    self._hold(data[at:], _LONGEST_LINE, b"\n")
                    break
                self._begin(int(line[1], 16), out)
                at = line.end()
            else:
                stop = _end_of_trailers(data, at)
                if stop < 0:
                    self._hold(data[at:], self._fields[0], b"\n\n")
                    break
                self._finish(data[at:stop], out)
                return b"".join(out), data[stop:]
        return b"".join(out), None

    def ended(self) -> bytes | None:
        return None

    def _begin(self, size: int, out: list[bytes]) -> None:
        self._remaining -= size
        if self._remaining < 0:
            raise BadMessageError("the body is longer than the limit", TOO_LARGE)
        self._last = size == 0
        if size:
            self._left = size + 2
            if not self._bare:
                out.append(b"%x\r\n" % size)

    def _pass_on(self, data: bytes, at: int, out: list[bytes]) -> int:
        left = self._left
        stop = min(at + left, len(data))
        payload = min(at + max(left - 2, 0), stop)
        self._left = left - (stop - at)
        # What there is of the CR LF: from where the last piece ended to where this one does.
        if data[payload:stop] != _END[max(2 - left, 0) : max(2 - self._left, 0)]:
            raise BadMessageError("a chunk is longer than it says")
        out.append(data[at : payload if self._bare else stop])
        return stop

    def _hold(self, line: bytes, longest: int, must_not_hold: bytes) -> None:
        if len(line) > longest or must_not_hold in line:
            raise BadMessageError("malformed chunk size" if not self._last else "bad trailers")
        self._held = line

    def _finish(self, section: bytes, out: list[bytes]) -> None:
        if section != _END:
            require_trailers(section, self._fields[1])
            self.trailers = section
        if not self._bare:
            out.append(b"0\r\n")
            out.append(passed_trailers(section))


def _end_of_trailers(data: bytes, at: int) -> int:
    if data.startswith(_END, at):
        return at + 2
    found = data.find(_END * 2, at)
    return -1 if found < 0 else found + 4


def encode(data: bytes) -> bytes:
    """Encode payload as one chunk; empty payload gives none, as that would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
