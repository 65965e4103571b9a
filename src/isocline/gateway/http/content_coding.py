"""Incremental decoders of Content-Encoding, with a limit on what comes out.

A body of 1 MB may hold a gigabyte (of zeros, gzip makes a thousandth, zstd less); so decoders give
out a bounded piece at a time, and a body that grows beyond reason is refused.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, final

from isocline.gateway.http.unreadable import TOO_LARGE, UNSUPPORTED, UnreadableError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

UNDERSTOOD: Final = "gzip, deflate, zstd"  # for Accept-Encoding (RFC 9110, Section 15.5.16)
_PIECE = 262_144  # bytes of output at a time, as much as is read from a socket at a time
# Bytes that a body may become whatever it was; a longer one at most so many times what was sent,
# where JSON of chats becomes 3 to 20 times as long. To decode and read 16 MiB takes about 50 ms,
# for which the event loop stands still if all of it comes in one packet.
_FREE = 2**24
_RATIO = 100
# RFC 9659: no window above 8 MB, so that a request takes no more memory than that.
_WINDOW: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


def decoder_for(coding: bytes, most: int) -> "ContentDecoder | None":
    """Make the decoder of a body with this Content-Encoding; None if it is not encoded.

    Args:
        coding: Value of the field.
        most: Largest size of the decoded body, bytes.

    Raises:
        UnreadableError: The coding is unknown, with status 415.
    """
    name = coding.strip().lower()
    if name in (b"", b"identity"):
        return None
    make = _DECOMPRESSORS.get(name)
    if make is None:
        reason = f"the body's Content-Encoding is not understood; give one of {UNDERSTOOD}"
        raise UnreadableError(reason, UNSUPPORTED)
    return ContentDecoder(make, most)


@final
class ContentDecoder:
    """Decoder of one body, which may be several streams one after the other (gzip, zstd)."""

    __slots__ = ("_decompressor", "_made", "_make", "_most", "_read")

    def __init__(self, make: Callable[[], Any], most: int) -> None:
        self._make = make
        self._most = most
        self._decompressor: Any = None  # of the stream at hand
        self._read = self._made = 0  # bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode the next part, a piece at a time; raises UnreadableError."""
        self._read += len(data)
        while data:
            decompressor = self._decompressor = self._decompressor or self._make()
            size = _PIECE
            while size == _PIECE and not decompressor.eof:
                try:
                    piece = decompressor.decompress(data, _PIECE)
                except (zlib.error, zstd.ZstdError):
                    raise UnreadableError("the body is not what Content-Encoding says") from None
                # What zlib has not read it gives back; zstd keeps it.
                data = getattr(decompressor, "unconsumed_tail", b"")
                size = len(piece)
                self._count(size)
                yield piece
            if not decompressor.eof:
                return
            data, self._decompressor = decompressor.unused_data, None

    def end(self) -> None:
        """Finish; raises UnreadableError if the body is cut short."""
        if self._decompressor is not None:
            raise UnreadableError("the body ends too early for its Content-Encoding")

    def _count(self, size: int) -> None:
        self._made += size
        if self._made > self._most:
            reason = f"the body is longer than {self._most} bytes once it is decoded"
            raise UnreadableError(reason, TOO_LARGE)
        if self._made > max(_FREE, _RATIO * self._read):
            reason = f"the decoded body is more than {_RATIO} times as long as what was sent"
            raise UnreadableError(reason, TOO_LARGE)


_DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    b"x-gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    b"deflate": zlib.decompressobj,
    b"zstd": lambda: zstd.ZstdDecompressor(options=_WINDOW),
}
