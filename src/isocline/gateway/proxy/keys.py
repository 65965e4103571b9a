"""API keys at the door."""

import hashlib
import hmac


def opens(digests: tuple[bytes, ...], authorization: bytes | None) -> bool:
    """Whether a bearer token (RFC 6750, Section 2.1) is one of the keys whose digests these are.

    Digests are compared, each in constant time and all of them, so that how long it takes tells
    neither how much of a key is right nor which one it is.
    """
    scheme, _, token = (authorization or b"").partition(b" ")
    shown = hashlib.sha256(token.strip(b" ")).digest()
    found = False
    for digest in digests:
        found |= hmac.compare_digest(digest, shown)
    return found and scheme.lower() == b"bearer"
