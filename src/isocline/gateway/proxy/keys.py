"""API keys at the door."""

import hashlib
import hmac


def opens(digests: tuple[bytes, ...], authorization: bytes | None, api_key: bytes | None) -> bool:
    """Whether a request shows one of the keys whose digests these are.

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
    """Whether this is one of the keys.

    Digests are compared, each in constant time and all of them, so that how long it takes tells
    neither how much of a key is right nor which one it is.
    """
    shown = hashlib.sha256(key.strip(b" ")).digest()
    found = False
    for digest in digests:
        found |= hmac.compare_digest(digest, shown)
    return found
