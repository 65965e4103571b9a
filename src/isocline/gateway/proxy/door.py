"""Admission checks of a request with a valid head: CORS preflight, API key, length of the body."""

from isocline.gateway.http.cors import CrossOrigin
from isocline.gateway.proxy import keys
from isocline.gateway.proxy.answers import Answer, answer, empty
from isocline.gateway.proxy.framing import Chunked, Framing, Length
from isocline.gateway.proxy.request_head import RequestHead
from isocline.gateway.proxy.response_head import NO_CONTENT
from isocline.gateway.proxy.strict import TOO_LARGE, BadMessageError
from isocline.gateway.settings import ProxySettings, SizeLimits

UNAUTHORIZED, FORBIDDEN = 401, 403
_STRANGER = "pages of this origin may not call; add it to serve.cors.origins"


def admit(head: RequestHead, settings: ProxySettings, upgrades: frozenset[bytes]) -> None:
    """Raise BadMessageError unless it has a key, if one is needed, and its body is not too long.

    Of the protocols it would change to, those in `upgrades` are left.
    """
    if head.upgrade:
        head.upgrade &= upgrades
    digests, most = settings.key_digests, settings.sizes.body
    if digests and not keys.opens(digests, head.authorization, head.api_key):
        raise BadMessageError(
            "give one of the gateway's API keys, as Authorization: Bearer or x-api-key",
            UNAUTHORIZED,
        )
    if head.length is not None and head.length > most:
        raise BadMessageError(f"the body is longer than {most} bytes", TOO_LARGE)


def preflight_answer(head: RequestHead, cors: CrossOrigin, persistent: bool) -> Answer:
    """The answer to a browser that asks what its page may send, without a key or a frontend."""
    fields = cors.preflight(head)
    if fields is not None:
        return NO_CONTENT, empty(fields, persistent), ""
    data = answer(FORBIDDEN, _STRANGER, persistent=persistent, fields=cors.fields(head))
    return FORBIDDEN, data, _STRANGER


def framing_of(head: RequestHead, sizes: SizeLimits) -> Framing:
    """Where the body of a request ends."""
    if head.chunked:
        return Chunked(sizes.body, (sizes.head, sizes.header_count))
    return Length(head.length or 0)
