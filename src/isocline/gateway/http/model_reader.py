"""Incremental reader of the model in a request's body: framing, coding, JSON or form."""

from math import inf
from typing import final

from isocline.gateway.http.body import Chunked
from isocline.gateway.http.content_coding import ContentDecoder, decoder_for
from isocline.gateway.http.form_model import FormModel, boundary_of
from isocline.gateway.http.json_model import JsonModel, model_of
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.unreadable import UnreadableError
from isocline.model.serving_settings import SizeLimits

_AT_ONCE = 65_536  # bytes of a document that is read as a whole: it takes below 1 ms


@final
class ModelReader:
    """Reader of one body, in the framing in which it is passed on; the body is not changed.

    A multipart form is read as one; all else as JSON whatever the Content-Type, as clients leave
    that to curl and servers ignore it.
    """

    __slots__ = ("_boundary", "_decoder", "_framing", "_reader")

    def __init__(self, head: RequestHead, sizes: SizeLimits) -> None:
        """Initialise; raises UnreadableError for an unknown content coding."""
        if not head.has_body:
            raise UnreadableError("the body is empty")
        self._boundary: bytes | None = None
        self._decoder: ContentDecoder | None = None
        kinds = head.values(b"content-type")
        if len(kinds) > 1:
            raise UnreadableError("more than one Content-Type")
        if kinds:
            self._boundary = boundary_of(kinds[0])
        if codings := head.values(b"content-encoding"):
            self._decoder = decoder_for(b",".join(codings), sizes.body)
        self._framing: Chunked | None = None
        if head.chunked:
            self._framing = Chunked(inf, (sizes.head, sizes.header_count), bare=True)
        self._reader: JsonModel | FormModel | None = None  # once something was read in parts

    def feed(self, data: bytes) -> None:
        """Read the next part; raises UnreadableError."""
        reader = self._parts()
        if self._framing is not None:
            data, _ = self._framing.feed(data)
        if self._decoder is None:
            reader.feed(data)
        else:
            for piece in self._decoder.feed(data):
                reader.feed(piece)

    def end(self, data: bytes) -> str:
        """Return the model, `data` being the last part; raises UnreadableError."""
        plain = self._reader is None and self._framing is None and self._decoder is None
        if plain and self._boundary is None and len(data) <= _AT_ONCE:
            return model_of(data)
        self.feed(data)
        if self._decoder is not None:
            self._decoder.end()
        return self._parts().end()

    def _parts(self) -> JsonModel | FormModel:
        reader = self._reader
        if reader is None:
            boundary = self._boundary
            reader = self._reader = JsonModel() if boundary is None else FormModel(boundary)
        return reader
