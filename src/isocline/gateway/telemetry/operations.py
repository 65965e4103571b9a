"""Classification of requests by OpenTelemetry's conventions: GenAI operations and error types."""

from typing import NamedTuple

from isocline.gateway.access_log import CLIENT_GONE, Access
from isocline.gateway.metrics.failure_reasons import reason_of


class Operation(NamedTuple):
    """GenAI operation: `gen_ai.operation.name`, `gen_ai.provider.name` and the path."""

    name: str
    provider: str  # owner of the interface: "openai" for all model servers with an OpenAI interface
    path: str


_OPERATIONS = {
    path.encode(): Operation(name, provider, path)
    for path, name, provider in (
        ("/v1/chat/completions", "chat", "openai"),
        ("/v1/responses", "chat", "openai"),
        ("/v1/completions", "text_completion", "openai"),
        ("/v1/embeddings", "embeddings", "openai"),
        ("/v1/messages", "chat", "anthropic"),
    )
}


def operation_of(access: Access) -> Operation | None:
    """Return a request's operation; None if it is not a POST to a known path."""
    if access.method != b"POST":
        return None
    return _OPERATIONS.get(access.target.partition(b"?")[0])


def error_of(access: Access, least: int) -> str:
    """Return `error.type` of a request; empty if it succeeded.

    The value is a failure reason as in the metrics (`failure_reasons`), or a status of at least
    `least`.
    """
    reason = reason_of(access)
    if reason and (access.status >= least or access.status == CLIENT_GONE or _is_cut(access)):
        return reason
    return str(access.status) if access.status >= least else ""


def _is_cut(access: Access) -> bool:
    """Whether a response was cut off, so that its status does not tell the outcome."""
    return access.status < 400
