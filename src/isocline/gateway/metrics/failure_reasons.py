"""Reasons for failed requests, as one of a few words: labels must not grow with what clients do.

| reason | the request |
|---|---|
| bad_request, unauthorized, no_frontend, too_large | was refused as it stood (400, 401, 404, 413) |
| slow_request | took too long to come (408) |
| no_backend, queue_full, held_too_long | found no place (503, 503, 504) |
| model_not_loaded | needed a model that no backend could load, or too many waited for (503) |
| policy_failed | had a policy that raised, or returned no edge (500) |
| rate_limited | exceeded a limit of its API key (429) |
| client_gone, client_slow | had a client that left, or did not take its response |
| connect, ..., total_timeout | failed at its last backend: `actions.Cause`, in lower case |
"""

from isocline.gateway.access_log import CLIENT_GONE, Access
from isocline.gateway.core.actions import Cause
from isocline.gateway.core.rejections import (
    LIMIT_REACHED,
    LOAD_AWAITED,
    NONE_UP,
    NOT_LOADED,
    OVERDUE,
    POLICY_FAILED,
    QUEUE_FULL,
)

REASON_OF_WORDS = {
    NONE_UP: "no_backend",
    LOAD_AWAITED: "model_not_loaded",
    NOT_LOADED: "model_not_loaded",
    QUEUE_FULL: "queue_full",
    OVERDUE: "held_too_long",
    POLICY_FAILED: "policy_failed",
    LIMIT_REACHED: "rate_limited",
}
REASON_OF_STATUS = {
    401: "unauthorized",
    404: "no_frontend",
    408: "slow_request",
    413: "too_large",
    431: "too_large",
    504: "total_timeout",
}
_NO_BACKEND = (503, 504)  # the gateway's own, from a request that no backend failed


def reason_of(access: Access) -> str:
    """Reason of a failed request; empty for one that a backend answered, whatever the status."""
    if access.status == CLIENT_GONE:
        return "client_gone"
    if not access.reason:
        return ""
    if _unanswered(access) < access.attempts:  # the last attempt did not fail
        return _withdrawn(access)
    for words, reason in REASON_OF_WORDS.items():
        if words in access.reason:
            return reason
    if access.failures:
        return cause_of(access.failures[-1][1])
    return REASON_OF_STATUS.get(access.status, "bad_request")


def is_broken(access: Access) -> bool:
    """Whether the client has a part of a response that ends there."""
    failed = _unanswered(access) == access.attempts > 0
    return failed and access.first_byte is not None and 0 < access.status < 500


def cause_of(cause: Cause) -> str:
    """Convert a cause to a label."""
    return cause.name.lower()


def _unanswered(access: Access) -> int:
    """Return the attempts that brought the client no response."""
    return len(access.failures) + len(access.refusals)


def _withdrawn(access: Access) -> str:
    """Whether the last backend did not fail: the request was answered, or given up here."""
    if access.failures:  # the reason is that of an earlier attempt
        return ""
    if access.status in (400, 408, 413):  # the rest of its body was wrong, late or too much
        return REASON_OF_STATUS.get(access.status, "bad_request")
    return "client_slow"
