"""Framing of a response's body on its way to the client."""

from isocline.gateway.proxy.framing import Chunked, Framing, Length, UntilClose
from isocline.gateway.proxy.request_head import RequestHead
from isocline.gateway.proxy.response_head import NO_CONTENT, ResponseHead
from isocline.gateway.settings import SizeLimits

_CHUNKED = b"Transfer-Encoding: chunked\r\n"


def reframe(
    request: RequestHead, response: ResponseHead, sizes: SizeLimits
) -> tuple[Framing | None, bytes, bool]:
    """(framing of the body or None, header lines that say so, whether a close marks its end)."""
    knows_chunks = request.version == 1
    if response.status == NO_CONTENT:
        return None, b"", False
    length = b""
    if response.length is not None:
        length = b"Content-Length: %d\r\n" % response.length
    if not response.has_body(request.method):
        return None, _CHUNKED if response.chunked and knows_chunks else length, False
    if response.chunked:
        framing = Chunked(float("inf"), (sizes.head, sizes.header_count), bare=not knows_chunks)
        return framing, _CHUNKED if knows_chunks else b"", not knows_chunks
    if response.length is not None:
        return Length(response.length), length, False
    return UntilClose(knows_chunks), _CHUNKED if knows_chunks else b"", not knows_chunks
