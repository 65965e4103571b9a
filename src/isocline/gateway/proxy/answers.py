"""Answers of the gateway's own, in the form OpenAI's clients know: `{"error": {...}}`."""

import json
from http import HTTPStatus

from isocline.gateway.http.content_coding import UNDERSTOOD

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_KINDS = {401: "authentication_error", 404: "not_found_error", 413: "request_too_large"}


def answer(
    status: int,
    reason: str,
    *,
    persistent: bool,
    bodiless: bool = False,
    retry_after: float | None = None,
) -> bytes:
    """A whole response.

    Args:
        status: Status code.
        reason: For a person: what is wrong, and what to do.
        persistent: Whether the connection stays open.
        bodiless: The request was HEAD: its answer has the length, not the body.
        retry_after: s, rounded up (RFC 9110, Section 10.2.3); None: do not say.
    """
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": reason, "type": kind, "code": status}
    body = json.dumps({"error": error}).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if retry_after is not None:
        lines.append(f"Retry-After: {max(1, -int(-retry_after // 1))}")
    if status == HTTPStatus.UNAUTHORIZED:
        lines.append('WWW-Authenticate: Bearer realm="isocline"')
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        lines.append(f"Accept-Encoding: {UNDERSTOOD}")
    lines.append(f"Connection: {'keep-alive' if persistent else 'close'}")
    head = "\r\n".join([*lines, "", ""]).encode()
    return head if bodiless else head + body
