"""Spans of a finished request: a server span, and a client span for each attempt at a backend.

Names and attributes follow the conventions for HTTP (stable) and for GenAI (Development).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from isocline.gateway.access_log import CLIENT_GONE, UNMATCHED, Access
from isocline.gateway.config import BackendAddress
from isocline.gateway.http.request_head import IDEMPOTENT
from isocline.gateway.metrics.failure_reasons import reason_of
from isocline.gateway.telemetry.attributes import Value, attributes
from isocline.gateway.telemetry.operations import error_of, operation_of
from isocline.gateway.trace_context import SAMPLED, Attempt, Trace

# Methods of RFC 9110 and RFC 5789; the conventions call all others _OTHER.
_METHODS = IDEMPOTENT | {b"POST", b"PATCH", b"CONNECT", b"TRACE"}
_HAS_REMOTE, _IS_REMOTE = 0x100, 0x200  # flag bits of a span: _IS_REMOTE is valid; parent is remote
_BILLION = 1_000_000_000


@final
@dataclass(frozen=True, slots=True, eq=False)  # compared by identity, as a key
class Names:
    """Names for the numbers in an Access, by the settings under which it was served."""

    policy: str
    frontends: Sequence[str]
    backends: Sequence[BackendAddress]


def spans_of(access: Access, trace: Trace, names: Names, since: float) -> Iterator[Span]:
    """Make the spans of a request; the monotonic clock was 0 at `since`, s of Unix time."""
    yield _server_span(access, trace, names, since)
    scores = {backend: (jobs, score) for backend, jobs, score in access.candidates}
    for number, attempt in enumerate(trace.attempts):
        chosen = scores.get(attempt.backend) if number == 0 else None
        yield _client_span(access, trace, names, since, number, chosen)


def _server_span(access: Access, trace: Trace, names: Names, since: float) -> Span:
    operation = operation_of(access)
    method, more = _method(access.method)
    host, _, port = access.host.decode("latin-1").rpartition(":")
    if not host or not port.isdigit():
        host, port = access.host.decode("latin-1"), ""
    error = error_of(access, 500)
    usage = access.usage
    values: dict[str, Value] = {
        **more,
        "url.path": _path(access),
        "url.scheme": "https" if trace.secure else "http",
        "http.route": operation and operation.path,
        "server.address": host.strip("[]"),
        "server.port": int(port) if port else None,
        "network.peer.address": access.peer,
        "network.protocol.version": trace.version,
        "user_agent.original": trace.agent.decode("latin-1"),
        # The status that a disconnected client has seen is unknown.
        "http.response.status_code": access.status if access.status != CLIENT_GONE else None,
        "error.type": error,
        "gen_ai.operation.name": operation and operation.name,
        "gen_ai.provider.name": operation and operation.provider,
        "gen_ai.request.model": access.model,
        "isocline.frontend": names.frontends[access.frontend]
        if access.frontend != UNMATCHED
        else None,
        "isocline.backend": names.backends[access.backend].name
        if access.backend != UNMATCHED
        else None,
        "isocline.policy": names.policy,
        "isocline.attempts": access.attempts,
        "isocline.wait": access.wait,
        "isocline.tenant": access.tenant,
        "isocline.priority": access.priority or None,
        "isocline.request_id": access.request_id.decode("latin-1"),
    }
    if usage is not None and usage.prompt is not None:
        values["gen_ai.usage.input_tokens"] = usage.prompt
        values["gen_ai.usage.output_tokens"] = usage.output
        values["gen_ai.usage.cache_read.input_tokens"] = usage.cached
    if access.first_token is not None:
        values["isocline.time_to_first_token"] = access.first_token - access.arrived
    return Span(
        trace_id=bytes.fromhex(trace.trace_id.decode()),
        span_id=bytes.fromhex(trace.span_id.decode()),
        parent_span_id=bytes.fromhex(trace.parent_id.decode()),
        trace_state=trace.state.decode("latin-1"),
        flags=SAMPLED | _HAS_REMOTE | (_IS_REMOTE if trace.parent_id else 0),
        name=f"{method} {operation.path}" if operation else method,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=_nanoseconds(since, access.arrived),
        end_time_unix_nano=_nanoseconds(since, access.ended),
        attributes=attributes(values),
        status=_failed(access.reason) if error else None,
    )


def _client_span(
    access: Access,
    trace: Trace,
    names: Names,
    since: float,
    number: int,
    chosen: tuple[int, float] | None,
) -> Span:
    attempt = trace.attempts[number]
    address = names.backends[attempt.backend]
    method, more = _method(access.method)
    status, error = _outcome(access, attempt)
    scheme = "https" if address.url.startswith("https") else "http"
    host = f"[{address.host}]" if ":" in address.host else address.host
    values: dict[str, Value] = {
        **more,
        "server.address": address.host,
        "server.port": address.port,
        "url.full": f"{scheme}://{host}:{address.port}{address.base}{_path(access)}",
        "http.response.status_code": status or None,
        "http.request.resend_count": number or None,
        "network.protocol.version": trace.version,
        "error.type": error,
        "isocline.backend": address.name,
        "isocline.workload": chosen and chosen[0],
        "isocline.price": chosen and chosen[1],
    }
    ended = access.ended if attempt.ended is None else attempt.ended
    return Span(
        trace_id=bytes.fromhex(trace.trace_id.decode()),
        span_id=bytes.fromhex(attempt.span_id.decode()),
        parent_span_id=bytes.fromhex(trace.span_id.decode()),
        trace_state=trace.state.decode("latin-1"),
        flags=SAMPLED | _HAS_REMOTE,
        name=method,
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=_nanoseconds(since, attempt.began),
        end_time_unix_nano=_nanoseconds(since, ended),
        attributes=attributes(values),
        status=_failed("" if status else error) if error else None,
    )


def _outcome(access: Access, attempt: Attempt) -> tuple[int, str]:
    """Return (status of the backend's response or 0, `error.type` or "") of an attempt."""
    if attempt.ended is not None:
        status, error = attempt.status, attempt.failure
    elif reason := reason_of(access):  # given up midway
        status, error = 0, reason
    else:
        status, error = access.status, ""
    return status, error or (str(status) if status >= 400 else "")


def _method(method: bytes) -> tuple[str, Mapping[str, Value]]:
    """Return (name for spans, attributes)."""
    text = method.decode("latin-1")
    if method in _METHODS:
        return text, {"http.request.method": text}
    return "HTTP", {"http.request.method": "_OTHER", "http.request.method_original": text}


def _path(access: Access) -> str:
    """Return the path without its query, which may contain keys."""
    return access.target.partition(b"?")[0].decode("latin-1")


def _failed(text: str) -> Status:
    return Status(code=Status.STATUS_CODE_ERROR, message=text[:200])


def _nanoseconds(since: float, seconds: float) -> int:
    return int((since + seconds) * _BILLION)
