"""Incremental reader of the model that a request's body names: framing, coding, JSON or form."""

from math import inf
from typing import final

from isocline.gateway.http.content_coding import ContentDecoder, decoder_for
from isocline.gateway.http.form_model import FormModel, boundary_of
from isocline.gateway.http.json_model import JsonModel, model_of
from isocline.gateway.http.unreadable import UnreadableError
from isocline.gateway.proxy.framing import Chunked
from isocline.gateway.proxy.request_head import RequestHead
from isocline.gateway.settings import SizeLimits

_AT_ONCE = 65_536  # bytes of a document that is read as a whole: it takes below 1 ms


@final
class ModelReader:
    """Reads one body, in the framing in which it goes on; the body itself stays as it is.

    A multipart form is read as one; all else as JSON, whatever Content-Type says, as clients leave
    it to curl and servers do not mind.
    """

    __slots__ = ("_decoder", "_fed", "_framing", "_reader")

    def __init__(self, head: RequestHead, sizes: SizeLimits) -> None:
        """Raises UnreadableError if the body is in a coding that is not understood."""
        if not head.has_body:
            raise UnreadableError("the body is empty")
        kinds = head.values(b"content-type")
        if len(kinds) > 1:
            raise UnreadableError("more than one Content-Type")
        boundary = boundary_of(kinds[0]) if kinds else None
        coding = b",".join(head.values(b"content-encoding"))
        self._decoder: ContentDecoder | None = decoder_for(coding, sizes.body)
        self._framing: Chunked | None = None
        if head.chunked:
            self._framing = Chunked(inf, (sizes.head, sizes.header_count), bare=True)
        self._reader: JsonModel | FormModel = JsonModel()
        if boundary is not None:
            self._reader = FormModel(boundary)
        self._fed = False

    def feed(self, data: bytes) -> None:
        """The next part; raises UnreadableError."""
        self._fed = True
        if self._framing is not None:
            data, _ = self._framing.feed(data)
        if self._decoder is None:
            self._reader.feed(data)
        else:
            for piece in self._decoder.feed(data):
                self._reader.feed(piece)

    def end(self, data: bytes) -> str:
        """The model, `data` being the last part; raises UnreadableError."""
        if not self._fed and self._is_plain() and len(data) <= _AT_ONCE:
            return model_of(data)
        self.feed(data)
        if self._decoder is not None:
            self._decoder.end()
        return self._reader.end()

    def _is_plain(self) -> bool:
        """JSON as it is."""
        bare = self._decoder is None and self._framing is None
        return bare and isinstance(self._reader, JsonModel)
