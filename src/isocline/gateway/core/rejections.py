"""Error responses to clients, with a time after which to try again.

RFC 9110, Sections 15.6.1 and 15.6.3 to 15.6.5: 500 for a policy that failed, 502 for a backend
that failed, 503 where there is none or too many wait, 504 where time ran out.
"""

from isocline.gateway.core.actions import Cause, Close, Reject
from isocline.gateway.core.request import Request
from isocline.plural import counted

# Names in statistics.
NONE_UP = "no backend is up"
NONE_FOUND = f"{NONE_UP}: none has been discovered for this frontend"
QUEUE_FULL = "waiting already"
OVERDUE = "no backend had room within"
NOT_LOADED = "no backend could load this model"
LOAD_AWAITED = "waiting already for this model to be loaded"
POLICY_FAILED = "the routing policy failed"
LIMIT_REACHED = "rate limit reached"


def none_up(request: Request, wait: float, *, has_any: bool = True) -> Reject:
    """Reject, as no backend of the frontend is in service; one may be after `wait`, s.

    Without `has_any` it has none that could be.
    """
    return Reject(request.number, 503, NONE_UP if has_any else NONE_FOUND, wait)


def queue_full(request: Request, waiting: int, wait: float) -> Reject:
    """Reject, as the queue is full; its first request has waited for `wait`, s."""
    reason = f"{counted(waiting, 'request')} {QUEUE_FULL}, the first for {wait:.1f} s"
    return Reject(request.number, 503, reason, wait)


def overdue(request: Request, now: float, wait: float) -> Reject:
    """Reject at the deadline; the first request still held has waited for `wait`, s."""
    waited = now - request.arrived
    return Reject(request.number, 504, f"{OVERDUE} {waited:.1f} s", wait)


def not_loaded(request: Request, wait: float) -> Reject:
    """Reject, as no backend could load the request's model; one may be asked after `wait`, s."""
    return Reject(request.number, 503, f"{request.model!r:.100}: {NOT_LOADED}", wait)


def load_awaited(request: Request, waiting: int, wait: float) -> Reject:
    """Reject, as too many requests wait for the model to be loaded, for another `wait`, s."""
    return Reject(request.number, 503, f"{counted(waiting, 'request')} {LOAD_AWAITED}", wait)


def policy_failed(request: Request) -> Reject:
    """Reject, as the policy raised or returned no edge; the operator has a notice of why."""
    return Reject(request.number, 500, POLICY_FAILED)


def failed(request: Request, cause: Cause, started: bool) -> Reject | Close:
    """Reject, as the backend failed and there is no retry."""
    if started:
        return Close(request.number, cause.reason)
    return Reject(request.number, cause.status, cause.reason)
