"""Finding the frontend of a request of which a part may still be on its way."""

from math import inf

from isocline.gateway.matching import Matcher, NeedsModel, NoMatch, model_of
from isocline.gateway.proxy.framing import Chunked
from isocline.gateway.proxy.kept import Kept
from isocline.gateway.proxy.request_head import RequestHead
from isocline.gateway.settings import SizeLimits


def frontend_of(
    matcher: Matcher,
    listener: str,
    head: RequestHead,
    kept: Kept,
    complete: bool,
    sizes: SizeLimits,
) -> int | NoMatch | None:
    """The frontend's number, or why there is none, or None: more of the body is needed.

    Args:
        matcher: The frontends.
        listener: Name of the one that the request came to.
        head: Its head.
        kept: Its body as far as it has come, in the framing in which it goes on.
        complete: Whether that is all of it.
        sizes: How much may be waited for.
    """
    if matcher.takes_all:
        return 0
    found = matcher.by_head(listener, head)
    if not isinstance(found, NeedsModel):
        return found
    limit = sizes.model_body
    if not complete and kept.size <= limit:
        return None
    body = kept.read()
    if head.chunked:
        body, _ = Chunked(inf, (sizes.head, sizes.header_count), bare=True).feed(body)
    # Cut at the limit, so that it matters not how much more has come by chance.
    model, why = model_of(body[:limit], complete=len(body) <= limit)
    return matcher.by_model(listener, head, model, why)
