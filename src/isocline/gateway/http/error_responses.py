"""Error responses of the gateway's own, in OpenAI's form: `{"error": {...}}`."""

import json
from http import HTTPStatus

from isocline.gateway.http.content_coding import UNDERSTOOD

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_KEPT, _CLOSED = b"Connection: keep-alive\r\n\r\n", b"Connection: close\r\n\r\n"
Answer = tuple[int, bytes, str]
"""(status, the whole response, the reason for the log if it tells of an error)."""
_KINDS = {401: "authentication_error", 404: "not_found_error", 413: "request_too_large"}


def answer(
    status: int,
    reason: str,
    *,
    persistent: bool,
    bodiless: bool = False,
    retry_after: float | None = None,
    fields: bytes = b"",
    limit: str = "",
) -> bytes:
    """Build a whole response that reports an error.

    Args:
        status: Status code.
        reason: Text for a person, with a remedy.
        persistent: Whether the connection stays open.
        bodiless: The request was HEAD: its answer has the length, not the body.
        retry_after: Time in s, rounded up (RFC 9110, Section 10.2.3); None: no such field.
        fields: Further header lines.
        limit: Limit of a key that is reached, `requests` or `tokens`: it is the error's type.
    """
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    error: dict[str, object] = {"message": reason, "type": kind, "code": status}
    if limit:
        error |= {"type": limit, "param": None, "code": "rate_limit_exceeded"}
    body = json.dumps({"error": error}).encode()
    more: list[str] = []
    if retry_after is not None:
        more.append(f"Retry-After: {max(1, -int(-retry_after // 1))}\r\n")
    if status == HTTPStatus.UNAUTHORIZED:
        more.append('WWW-Authenticate: Bearer realm="isocline"\r\n')
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        more.append(f"Accept-Encoding: {UNDERSTOOD}\r\n")
    fields = "".join(more).encode() + fields
    return document(status, body, fields, persistent=persistent, bodiless=bodiless)


def document(
    status: int, body: bytes, fields: bytes, *, persistent: bool, bodiless: bool = False
) -> bytes:
    """Build a whole response of JSON; `fields` are further header lines."""
    head = b"%bContent-Type: application/json\r\nContent-Length: %d\r\n%b%b" % (
        _status_line(status),
        len(body),
        fields,
        _KEPT if persistent else _CLOSED,
    )
    return head if bodiless else head + body


def empty(fields: bytes, persistent: bool) -> bytes:
    """Build a whole response without content."""
    return b"%b%b%b" % (
        _status_line(HTTPStatus.NO_CONTENT),
        fields,
        _KEPT if persistent else _CLOSED,
    )


def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}\r\n".encode()
