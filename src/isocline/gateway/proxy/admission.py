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

NO_KEY = -1  # in place of a key's number


def key_shown(
    digests: tuple[bytes, ...], authorization: bytes | None, api_key: bytes | None
) -> int:
    """Return the number of the key, by these digests, that a request shows; NO_KEY if none.

    A key is a bearer token (RFC 6750, Section 2.1), as OpenAI's clients send it, or the value of
    x-api-key, as Anthropic's do; where both are there, either one will do, the latter before the
    former.
    """
    found = NO_KEY
    if authorization is not None:
        scheme, _, token = authorization.partition(b" ")
        number = _number_of(digests, token)
        if scheme.lower() == b"bearer":
            found = number
    if api_key is not None:
        number = _number_of(digests, api_key)
        if number != NO_KEY:
            found = number
    return found


def _number_of(digests: tuple[bytes, ...], key: bytes) -> int:
    """Return the number of a key.

    All digests are compared, each in constant time, so that the duration reveals neither how much
    of a key is right nor which key it is.
    """
    shown = hashlib.sha256(key.strip(b" ")).digest()
    found = 0
    for place, digest in enumerate(digests):
        found += (place + 1) * hmac.compare_digest(digest, shown)  # digests are distinct
    return found - 1


UNAUTHORIZED, FORBIDDEN = 401, 403
_STRANGER = "pages of this origin may not call; add it to serve.cors.origins"


def admit(head: RequestHead, settings: ProxySettings, upgrades: frozenset[bytes]) -> str:
    """Return the name of a request's key; empty where none is needed.

    Protocols for an upgrade that are not in `upgrades` are removed.

    Raises:
        BadMessageError: A key is needed and missing, or the body is too long.
    """
    if head.upgrade:
        head.upgrade &= upgrades
    digests, most = settings.key_digests, settings.sizes.body
    name = ""
    if digests:
        key = key_shown(digests, head.authorization, head.api_key)
        if key == NO_KEY:
            raise BadMessageError(
                "give one of the gateway's API keys, as Authorization: Bearer or x-api-key",
                UNAUTHORIZED,
            )
        if key < len(settings.key_names):
            name = settings.key_names[key]
    if head.length is not None and head.length > most:
        raise BadMessageError(f"the body is longer than {most} bytes", TOO_LARGE)
    return name


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
