"""Lookup of a request's frontend while a part of the body may still be on its way."""

from typing import final

from isocline.gateway.config import SizeLimits
from isocline.gateway.http.model_reader import ModelReader
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.unreadable import UnreadableError
from isocline.gateway.proxy.body_buffer import BodyBuffer
from isocline.gateway.proxy.matching import Matcher, NeedsModel, NoMatch

UNAVAILABLE = 503


@final
class FrontendLookup:
    """Lookup for one request.

    Where the body's model decides, the whole body is read first: of two fields `model` the last
    counts, as for the backends, so that none can be hidden behind another, and the answer depends
    neither on the order of the fields nor on how the body is cut on its way. A body that cannot
    have a model is decided on at once.
    """

    __slots__ = ("_head", "_listener", "_matcher", "_reader", "_sizes")

    def __init__(
        self, matcher: Matcher, listener: str, head: RequestHead, sizes: SizeLimits
    ) -> None:
        """Initialise from the frontends, the request's listener and head, and the limits."""
        self._matcher = matcher
        self._listener = listener
        self._head = head
        self._sizes = sizes
        self._reader: ModelReader | None = None

    def find(self, kept: BodyBuffer, complete: bool) -> int | NoMatch | None:
        """Return the frontend's number, the reason for none, or None if more of the body is needed.

        Args:
            kept: The body as far as it has come, in the framing in which it goes on.
            complete: Whether that is the whole body.
        """
        reader = self._reader
        if reader is None:
            found = self._matcher.by_head(self._listener, self._head)
            if not isinstance(found, NeedsModel):
                return found
        try:
            if reader is None:
                reader = self._reader = ModelReader(self._head, self._sizes)
            if complete:
                return self._found(reader.end(kept.unread()), None)
            reader.feed(kept.unread())
        except UnreadableError as error:
            return self._found(None, error)
        if kept.in_all > self._sizes.bodies:
            reason = f"the bodies of waiting requests hold more than {self._sizes.bodies} bytes"
            return NoMatch(f"{reason}; try again later", UNAVAILABLE)
        return None

    def _found(self, model: str | None, why: UnreadableError | None) -> int | NoMatch:
        return self._matcher.by_model(self._listener, self._head, model, why)
