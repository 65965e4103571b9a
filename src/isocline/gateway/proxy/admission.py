"""Admission checks of a request with a valid head: CORS preflight, API key, length of the body."""

import hashlib
import hmac

from isocline.gateway.config import ProxySettings
from isocline.gateway.cors import CrossOrigin
from isocline.gateway.http.body import Chunked, Framing, Length
from isocline.gateway.http.error_responses import Answer, answer, empty
from isocline.gateway.http.grammar import TOO_LARGE, BadMessageError
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.response_head import NO_CONTENT
from isocline.model.serving_settings import SizeLimits


def opens(digests: tuple[bytes, ...], authorization: bytes | None, api_key: bytes | None) -> bool:
    """Whether a request has one of the keys with these digests.

    A key is a bearer token (RFC 6750, Section 2.1), as OpenAI's clients send it, or the value of
    x-api-key, as Anthropic's do; where both are there, either one will do.
    """
    found = False
    if authorization is not None:
        scheme, _, token = authorization.partition(b" ")
        found = _is_one(digests, token) and scheme.lower() == b"bearer"
    if api_key is not None:
        found |= _is_one(digests, api_key)
    return found


def _is_one(digests: tuple[bytes, ...], key: bytes) -> bool:
    """Whether a text is one of the keys.

    All digests are compared, each in constant time, so that the duration reveals neither how much
    of a key is right nor which key it is.
    """
    shown = hashlib.sha256(key.strip(b" ")).digest()
    found = False
    for digest in digests:
        found |= hmac.compare_digest(digest, shown)
    return found


UNAUTHORIZED, FORBIDDEN = 401, 403
_STRANGER = "pages of this origin may not call; add it to serve.cors.origins"


def admit(head: RequestHead, settings: ProxySettings, upgrades: frozenset[bytes]) -> None:
    """Raise BadMessageError if a key is needed and missing, or the body is too long.

    Protocols for an upgrade that are not in `upgrades` are removed.
    """
    if head.upgrade:
        head.upgrade &= upgrades
    digests, most = settings.key_digests, settings.sizes.body
    if digests and not opens(digests, head.authorization, head.api_key):
        raise BadMessageError(
            "give one of the gateway's API keys, as Authorization: Bearer or x-api-key",
            UNAUTHORIZED,
        )
    if head.length is not None and head.length > most:
        raise BadMessageError(f"the body is longer than {most} bytes", TOO_LARGE)


def preflight_answer(head: RequestHead, cors: CrossOrigin, persistent: bool) -> Answer:
    """Answer a preflight, without a key or a frontend."""
    fields = cors.preflight(head)
    if fields is not None:
        return NO_CONTENT, empty(fields, persistent), ""
    data = answer(FORBIDDEN, _STRANGER, persistent=persistent, fields=cors.fields(head))
    return FORBIDDEN, data, _STRANGER


def framing_of(head: RequestHead, sizes: SizeLimits) -> Framing:
    """Return the framing of a request's body."""
    if head.chunked:
        return Chunked(sizes.body, (sizes.head, sizes.header_count))
    return Length(head.length or 0)
