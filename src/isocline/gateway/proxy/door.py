"""What a request must be beyond well-formed, before anything is done for it."""

from isocline.gateway.proxy import keys
from isocline.gateway.proxy.framing import Chunked, Framing, Length
from isocline.gateway.proxy.request_head import RequestHead
from isocline.gateway.proxy.strict import TOO_LARGE, BadMessageError
from isocline.gateway.settings import ProxySettings, SizeLimits

UNAUTHORIZED = 401


def admit(head: RequestHead, settings: ProxySettings, upgrades: frozenset[bytes]) -> None:
    """Raise BadMessageError unless it has a key, if one is needed, and its body is not too long.

    Of the protocols it would change to, those in `upgrades` are left.
    """
    if head.upgrade:
        head.upgrade &= upgrades
    digests, most = settings.key_digests, settings.sizes.body
    if digests and not keys.opens(digests, head.authorization):
        raise BadMessageError("give one of the gateway's API keys", UNAUTHORIZED)
    if head.length is not None and head.length > most:
        raise BadMessageError(f"the body is longer than {most} bytes", TOO_LARGE)


def framing_of(head: RequestHead, sizes: SizeLimits) -> Framing:
    """Where the body of a request ends."""
    if head.chunked:
        return Chunked(sizes.body, (sizes.head, sizes.header_count))
    return Length(head.length or 0)
