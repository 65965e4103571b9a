"""Ends of attempts at backends: their effect on workloads, learned curves and availability.

A refusal does not count as service. A backend that reports itself full (429, or 503 with
Retry-After) gets no more requests for a while; nothing is learned from a response with a status
from 400 on, and policies see a phantom job in its place. The same holds for a request that left
before its backend had finished it.
"""

from typing import final

from isocline.gateway.core.actions import TOO_MANY_REQUESTS, Cause
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.parts import Parts
from isocline.gateway.core.request import Request
from isocline.gateway.core.request_cost import Usage

# A backend's own failures, as Envoy's consecutive_gateway_failure counts them. Any other status is
# an orderly answer to this request, whose fault it may be: llama-server answers 500 to some
# mistakes of clients, and 501 to endpoints that it was started without.
GATEWAY_ERRORS = (502, 503, 504)
# The request was never at work at the backend.
_NOT_BEGUN = (
    Cause.CONNECT,
    Cause.UNRESOLVED,
    Cause.UNREACHABLE,
    Cause.TLS,
    Cause.LOCAL,
    Cause.CONNECT_TIMEOUT,
    Cause.STALE,
)
# Time without a completion counts too: a backend that hangs would otherwise be
# thought to be as fast as when it last finished something.
_TOO_SLOW = (Cause.FIRST_BYTE_TIMEOUT, Cause.IDLE_TIMEOUT, Cause.TOTAL_TIMEOUT)


@final
class AttemptEnds:
    """Record of what becomes of the requests sent to B backends.

    Attributes:
        refusals: Refusals of each backend, by status: all but GATEWAY_ERRORS, and 503 with
            Retry-After. Those whose requests were then sent elsewhere count, too.
    """

    def __init__(self, parts: Parts, backends: int):
        self.refusals: list[dict[int, int]] = [{} for _ in range(backends)]
        self._workloads = parts.workloads
        self._availability = parts.availability
        self._feedback = parts.feedback
        self._tenants = parts.tenants
        self._prompts = parts.prompts
        self._rule = parts.rules.refusals

    def served(
        self, request: Request, now: float, latency_known: bool, usage: Usage | None
    ) -> None:
        """Record a complete response with a status below 400.

        Without `latency_known`, as for an upgraded connection, nothing is learned.
        """
        if latency_known:
            if self._prompts is not None and request.prompt_at is not None:
                usage = self._prompts.finished(
                    request.frontend, request.prompt, request.prompt_at, request.backend, usage
                )
            work = self._work(self._feedback, request, now, usage) if self._feedback else 0.0
            self._leave(request, now, work)
        else:
            self.undone(request, now)
        self._availability.succeeded(request.frontend, request.edge, request.backend, now)
        if self._tenants.apart:
            self._tenants.served(request.tenant)

    def refused(self, request: Request, now: float, status: int) -> None:
        """Record a complete response with a status from 400 on."""
        backend = request.backend
        if status == TOO_MANY_REQUESTS and not (request.turned_away or self.is_of_client(status)):
            self.turned_away(request, now, status, None)
        self.unserved(request, now)
        if request.turned_away:
            return
        if status in GATEWAY_ERRORS:
            self._availability.failed(backend, now, request.sent, f"status {status}")
            return
        self._count_refusal(backend, status)
        self._availability.refused(
            request.frontend, request.edge, backend, now, request.sent, status
        )

    def turned_away(
        self, request: Request, now: float, status: int, retry_after: float | None
    ) -> None:
        """Record that the backend of a request reports itself full; the request is still there."""
        request.turned_away = True
        self._count_refusal(request.backend, status)
        self._availability.turned_away(request.backend, now, retry_after)

    def failed(self, request: Request, now: float, cause: Cause) -> None:
        """Record a failure at the backend of a request."""
        if cause in _NOT_BEGUN:
            self.unserved(request, now)
        elif cause in _TOO_SLOW:
            self._leave(request, now)
        else:
            self.undone(request, now)
        if cause.blamed:
            self._availability.failed(request.backend, now, request.sent, cause.reason)

    def undone(self, request: Request, now: float) -> None:
        """Remove an unfinished request from its backend; its presence counted."""
        self._leave(request, now)
        if self._feedback:
            self._feedback.undone(request.backend, now, request.sent)

    def unserved(self, request: Request, now: float) -> None:
        """Remove a request that was not served; it never shared the backend's work."""
        self._leave(request, now)
        if self._feedback:
            self._feedback.retract(request.backend, request.events, now, request.sent)

    def pass_time(
        self, backend: int, now: float, work: float = 0.0, sent: float | None = None
    ) -> None:
        """Account for the time at the present workload of a backend, which is about to change."""
        if self._feedback:
            jobs, own = self._workloads[backend], self._workloads.own[backend]
            self._feedback.passed(backend, jobs, own, now, work, sent)

    def is_of_client(self, status: int) -> bool:
        """Whether a status concerns the client alone, by the operator's settings."""
        return status == TOO_MANY_REQUESTS and self._rule.too_many_requests == "client"

    def _work(
        self, feedback: CurveFeedback, request: Request, now: float, usage: Usage | None
    ) -> float:
        """Return the work of a finished request, in the learner's unit; its tenant pays for it."""
        work = feedback.work(request, now, usage)
        if self._tenants.apart and feedback.measure:
            self._tenants.correct(request.tenant, work / feedback.mean_work)
        return work

    def _leave(self, request: Request, now: float, work: float = 0.0) -> None:
        """Remove a request from its backend, which has done so much work for it."""
        backend = request.backend
        if self._feedback:
            self.pass_time(backend, now, work, request.sent)
        self._workloads.sent(backend, now, -1)
        if self._prompts is not None and request.prompt_at is not None:
            self._prompts.left(request.prompt_at, backend)
        if request.copy is not None:
            request.copy.left()
        self._availability.count(backend)

    def _count_refusal(self, backend: int, status: int) -> None:
        counts = self.refusals[backend]
        counts[status] = counts.get(status, 0) + 1
