"""The core of the live router: events in, actions out, no I/O, no clock, no randomness of its own.

    core = Core(setting, policy, stream(seed))
    action = core.arrived(now, frontend)            # Send, Hold or Reject
    for action in core.finished(request, now): ...  # held requests that may go now

It owns N, the workload of each backend as this frontend knows it (`workload`), filters each
frontend's backends by health, drain, ejection and limits (`candidates`), and calls the policy's
compiled function exactly as the simulator does. Times are seconds of any one clock that does not go
back. Frontends and backends are numbered as in the graph, requests by the core. A number that is
not in flight is a KeyError: the caller's mistake, not a client's.

A refusal does not count as service. A backend that reports itself full (429, or 503 with
Retry-After) gets no more requests for a while, and its request goes to another one where that is
safe; nothing is learned from a response with a status from 400 on, and policies see a phantom job
in its place. The same holds for a request that left before its backend had finished it.

A request that its policy does not place, or that finds all backends of its frontend at their
limits, is held there, and offered again whenever a place becomes free, in the simulator's order.
"""

import math
from collections.abc import Iterable, Mapping
from typing import final

from isocline.errors import PolicyError
from isocline.gateway.core import rejections
from isocline.gateway.core.actions import TOO_MANY_REQUESTS, Action, Cause, Hold, Reject, Send
from isocline.gateway.core.availability import Availability
from isocline.gateway.core.backend_load import Workloads
from isocline.gateway.core.candidates import Open, peak_of
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.notices import OF_POLICY, Notice
from isocline.gateway.core.policy_runtime import PolicyRuntime
from isocline.gateway.core.request import AT_FRONTEND, Request
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.core.retry_budget import RetryBudget
from isocline.gateway.core.waiting_queue import WaitingQueue
from isocline.model.curves import Curve
from isocline.model.serving_settings import Rules
from isocline.policies.routing.contract import HOLD, RoutingPolicy, Setting
from isocline.randomness.draws import Stream

REFUSED = 400  # the least status of a refusal
FAILED = HOLD - 1  # in place of an edge: the policy raised, or returned something else
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
class Core:
    """State and decisions of one router with F frontends and B backends."""

    def __init__(
        self,
        setting: Setting,
        policy: RoutingPolicy,
        rng: Stream,
        rules: Rules | None = None,
        feedback: CurveFeedback | None = None,
    ):
        """Make a core; with `feedback`, curves are learned and replace those of `setting`."""
        self.rules = rules or Rules()
        runtime = self.policy_runtime = PolicyRuntime(setting, policy)
        self.workloads = Workloads(runtime.view.workload, self.rules.oldest_report)
        self.availability = Availability(setting.graph, runtime.curves, self.workloads, self.rules)
        self.waiting_queue = WaitingQueue(setting.graph.sources)
        self.budget = RetryBudget(self.rules.retries)
        self.feedback = feedback
        self.arrivals = 0  # requests ever
        self.policy_error: PolicyError | None = None  # the last one, of a user's policy
        self._rng = rng
        self._sink = setting.graph.sink.tolist()
        self._frontends_of = self.availability.candidates.frontends_of
        self._requests: dict[int, Request] = {}
        # Of each backend, by status; all but GATEWAY_ERRORS, and 503 with Retry-After. Those whose
        # requests were then sent elsewhere count, too.
        self.refusals: list[dict[int, int]] = [{} for _ in self._frontends_of]
        if feedback:
            self.curves_changed(feedback.curves(), -math.inf)

    # Events of requests

    def arrived(self, now: float, frontend: int) -> Send | Hold | Reject:
        """Handle the arrival of a request at a frontend."""
        self.arrivals += 1
        request = Request(self.arrivals, frontend, now)
        self._requests[request.number] = request
        if self.waiting_queue.total and self.waiting_queue.waiting(frontend):
            return self._hold(request, now)
        return self._route(request, now)

    def finished(
        self,
        request: int,
        now: float,
        latency_known: bool = True,
        status: int = 200,
        usage: Usage | None = None,
    ) -> list[Action]:
        """Handle a complete response.

        Without `latency_known`, as for an upgraded connection, nothing is learned. A `status` from
        400 on is a refusal, without work done; one of GATEWAY_ERRORS is the backend's failure.
        """
        done = self._requests.pop(request)
        backend = done.backend
        if status < REFUSED:
            if latency_known:
                feedback = self.feedback
                self._left(done, now, feedback.work(done, now, usage) if feedback else 0.0)
            else:
                self._left_undone(done, now)
            self.availability.succeeded(done.frontend, done.edge, backend, now)
            if latency_known:
                try:
                    self.policy_runtime.observe(done.edge, now - done.sent, now)
                except PolicyError as error:
                    self._policy_failed(error)
        else:
            self._refused(done, now, status)
        return self._offer(self._frontends_of[backend], now) if self.waiting_queue.total else []

    def turned_away(
        self, request: int, now: float, status: int, retry_after: float | None, *, again: bool
    ) -> list[Action]:
        """Handle a response that begins with 429 or 503, none of which has reached the client yet.

        Args:
            request: Its number.
            now: Seconds.
            status: 429 or 503.
            retry_after: Time after which the backend may be asked again, s from now; None: it names
                none. A 503 is then a failure, which `finished` reports.
            again: Whether all of the request so far is kept, so that it can be sent again.

        Returns:
            Actions in its place, first the request's own; empty if the response is to be passed
            on, with a call of `finished` once it is complete.
        """
        if self._of_client(status) or (status != TOO_MANY_REQUESTS and not retry_after):
            return []
        turned = self._requests[request]
        backend = turned.backend
        self._turned_away(turned, now, status, retry_after)
        tried = (*turned.tried, backend)
        edge = HOLD
        if again:
            edge = self._choose(self.availability.candidates.untried(turned.frontend, tried), now)
        if edge < 0 or not self.budget.take(turned.attempt, now, self.arrivals):
            return []
        self._left_unserved(turned, now)
        turned.tried, turned.turned_away = tried, False
        return [self._send(turned, edge, now), *self._offer(self._frontends_of[backend], now)]

    def failed(
        self,
        request: int,
        now: float,
        cause: Cause,
        *,
        sent: bool,
        idempotent: bool,
        started: bool = False,
    ) -> list[Action]:
        """Handle a failure at the backend: the request is retried, held, rejected or broken off.

        Args:
            request: Its number.
            now: Seconds.
            cause: Cause of the failure.
            sent: Whether a part of it may have reached the backend.
            idempotent: Whether it may be repeated (RFC 9110, Section 9.2.2) and is kept whole.
            started: Whether a part of the response has gone to the client.
        """
        failed = self._requests[request]
        backend = failed.backend
        if cause in _NOT_BEGUN:
            self._left_unserved(failed, now)
        elif cause in _TOO_SLOW:
            self._left(failed, now)
        else:
            self._left_undone(failed, now)
        if cause.blamed:
            self.availability.failed(backend, now, failed.sent, cause.reason)
        safe = not started and (idempotent or not sent) and cause.retriable
        if safe and self.budget.take(failed.attempt, now, self.arrivals):
            failed.tried += (backend,)
            failed.backend = AT_FRONTEND
            outcome: Action = self._route(failed, now)
        else:
            del self._requests[request]
            outcome = rejections.failed(failed, cause, started)
        return [outcome, *self._offer(self._frontends_of[backend], now)]

    def cancelled(self, request: int, now: float) -> list[Action]:
        """Forget a request whose client has gone, wherever it was."""
        gone = self._requests.pop(request)
        if gone.backend == AT_FRONTEND:
            self.waiting_queue.take(gone)
            return []
        self._left_undone(gone, now)
        return self._offer(self._frontends_of[gone.backend], now)

    # Events of backends

    def reported(
        self, backend: int, now: float, jobs: int, measured: float | None = None
    ) -> list[Action]:
        """Record a report of `jobs` at a backend, measured at `measured`, s (None: now)."""
        self._passed(backend, now)
        if not self.workloads.reported(backend, jobs, now if measured is None else measured):
            return []
        return self._changed([backend], now)

    def carried(self, backend: int, now: float, jobs: int) -> list[Action]:
        """Record jobs of the core before a reload, sent to a backend or finished there (-1)."""
        work = self.feedback.mean_work if self.feedback and jobs == -1 else 0.0
        self._passed(backend, now, work)
        self.workloads.sent(backend, now, jobs)
        return self._changed([backend], now)

    def shared(self, backend: int, now: float, jobs: int) -> list[Action]:
        """Set the requests in flight of other workers of this router at a backend."""
        self._passed(backend, now)
        self.workloads.shared(backend, now, jobs)
        return self._changed([backend], now)

    def backend_up(self, backend: int, now: float) -> list[Action]:
        """Mark a backend as up, which also ends a drain."""
        return self._changed(self.availability.up(backend, now), now)

    def backend_down(self, backend: int, now: float) -> list[Action]:
        """Mark a backend as down; the caller fails the requests in flight."""
        return self._changed(self.availability.down(backend, now), now)

    def backend_drain(self, backend: int, now: float) -> list[Action]:
        """Stop sending requests to a backend; `in_flight` tells when it has none left."""
        return self._changed(self.availability.drain(backend, now), now)

    def curves_changed(self, curves: Mapping[int, Curve], now: float) -> list[Action]:
        """Replace the service curves of some backends, jobs/s."""
        if not curves:
            return []
        self.policy_runtime.change(curves)
        for backend, curve in curves.items():
            peak = self.feedback.peak(backend) if self.feedback else peak_of(curve)
            self.availability.limits.change(backend, peak)
        return self._changed(list(curves), now)

    # Time

    def tick(self, now: float) -> list[Action]:
        """Do all due work: deadlines, ends of ejections, expired reports, curve fits."""
        actions: list[Action] = []
        for request in self.waiting_queue.overdue(now):
            del self._requests[request.number]
            wait = self.waiting_queue.wait(request.frontend, now)
            actions.append(rejections.overdue(request, now, wait))
        actions += self._changed([*self.availability.tick(now), *self.workloads.expire(now)], now)
        if self.feedback and self.feedback.next_fit <= now:
            actions += self.curves_changed(self.feedback.fit(now, self.workloads), now)
            self.availability.notices += self.feedback.take_notices()
        return actions

    def next_deadline(self) -> float:
        """Next time at which `tick` has work, s; inf if never. It may be early, never late."""
        return min(
            self.waiting_queue.next_deadline(),
            self.availability.next_end(),
            self.workloads.stale_at,
            self.feedback.next_fit if self.feedback else math.inf,
        )

    # Observable state

    def workload(self, backend: int, now: float) -> tuple[int, float]:
        """Jobs at a backend as known, and the age of the report behind that, s (inf: none)."""
        return self.workloads[backend], self.workloads.age(backend, now)

    def in_flight(self, backend: int) -> int:
        """Number of this router's requests at a backend."""
        return self.workloads.own[backend]

    def held(self, frontend: int) -> int:
        """Number of requests held at a frontend."""
        return self.waiting_queue.waiting(frontend)

    def take_notices(self) -> list[Notice]:
        """Return the notices since the last call, for the operator."""
        notices, self.availability.notices = self.availability.notices, []
        return notices

    def explain(self, frontend: int) -> list[tuple[int, int, float]]:
        """Return number, jobs and score of each open backend; the least score wins."""
        return self.policy_runtime.explained(self.availability.candidates.of(frontend).backends)

    # Steps

    def _route(self, request: Request, now: float) -> Send | Hold | Reject:
        edge = self._choose(self.availability.candidates.of(request.frontend, request.tried), now)
        if edge >= 0:
            return self._send(request, edge, now)
        if edge == HOLD:
            return self._hold(request, now)
        del self._requests[request.number]
        return rejections.policy_failed(request)

    def _choose(self, candidates: Open, now: float) -> int:
        """Return an open edge by the policy; HOLD if it wants none, or there is none.

        FAILED if the policy raises, or returns something else: a router outlives a request that its
        policy cannot place.
        """
        edges, backends, low, high = candidates
        if not backends:
            return HOLD
        try:
            edge = self.policy_runtime.choose(edges, self.policy_runtime.view, now, self._rng)
            if edge != HOLD and not low <= edge <= high:
                raise self.policy_runtime.misplaced()
        except PolicyError as error:
            self._policy_failed(error)
            return FAILED
        return edge

    def _policy_failed(self, error: PolicyError) -> None:
        """Keep the error, with a notice unless the last one was the same."""
        if str(error) != str(self.policy_error):
            self.availability.notices.append(Notice(OF_POLICY, str(error), grave=True))
        self.policy_error = error

    def _send(self, request: Request, edge: int, now: float) -> Send:
        backend = self._sink[edge]
        if self.feedback:
            self._passed(backend, now)
            request.events = self.feedback.count
        request.edge, request.backend, request.sent = edge, backend, now
        request.attempt += 1
        self.workloads.sent(backend, now)
        self.availability.count(backend)
        self.policy_runtime.reserve(self.workloads.shown[backend])
        return Send(request.number, backend, request.attempt)

    def _hold(self, request: Request, now: float) -> Hold | Reject:
        """Hold a request that cannot be sent now, if a backend may come and the queue has room."""
        rule, frontend = self.rules.holding, request.frontend
        waiting = self.waiting_queue.waiting(frontend)
        if not self.availability.candidates.any_usable(frontend):
            del self._requests[request.number]
            return rejections.none_up(request, self.availability.wait(now))
        if waiting >= rule.most:
            del self._requests[request.number]
            return rejections.queue_full(request, waiting, self.waiting_queue.wait(frontend, now))
        request.deadline = now + rule.seconds
        self.waiting_queue.put(request, ahead=bool(request.tried))
        return Hold(request.number, request.deadline)

    def _left(self, request: Request, now: float, work: float = 0.0) -> None:
        """Remove a request from its backend, which has done so much work for it."""
        self._passed(request.backend, now, work, request.sent)
        self.workloads.sent(request.backend, now, -1)
        self.availability.count(request.backend)

    def _left_undone(self, request: Request, now: float) -> None:
        """Remove an unfinished request from its backend; its presence counted."""
        self._left(request, now)
        if self.feedback:
            self.feedback.undone(request.backend, now, request.sent)

    def _left_unserved(self, request: Request, now: float) -> None:
        """Remove a request that was not served; it never shared the backend's work."""
        self._left(request, now)
        if self.feedback:
            self.feedback.retract(request.backend, request.events, now, request.sent)

    def _refused(self, request: Request, now: float, status: int) -> None:
        """Handle a complete response with a status from 400 on."""
        backend = request.backend
        if status == TOO_MANY_REQUESTS and not (request.turned_away or self._of_client(status)):
            self._turned_away(request, now, status, None)
        self._left_unserved(request, now)
        if request.turned_away:
            return
        if status in GATEWAY_ERRORS:
            self.availability.failed(backend, now, request.sent, f"status {status}")
            return
        self._count_refusal(backend, status)
        self.availability.refused(
            request.frontend, request.edge, backend, now, request.sent, status
        )

    def _of_client(self, status: int) -> bool:
        """Whether a status concerns the client alone, by the operator's settings."""
        return status == TOO_MANY_REQUESTS and self.rules.refusals.too_many_requests == "client"

    def _turned_away(
        self, request: Request, now: float, status: int, retry_after: float | None
    ) -> None:
        """Record that the backend of a request reports itself full."""
        request.turned_away = True
        self._count_refusal(request.backend, status)
        self.availability.turned_away(request.backend, now, retry_after)

    def _count_refusal(self, backend: int, status: int) -> None:
        counts = self.refusals[backend]
        counts[status] = counts.get(status, 0) + 1

    def _passed(
        self, backend: int, now: float, work: float = 0.0, sent: float | None = None
    ) -> None:
        """Account for the time at this workload, which is about to change."""
        if self.feedback:
            jobs, own = self.workloads[backend], self.workloads.own[backend]
            self.feedback.passed(backend, jobs, own, now, work, sent)

    def _changed(self, backends: list[int], now: float) -> list[Action]:
        """Offer held requests to these backends, which may have room now."""
        for backend in backends:
            self.availability.count(backend)
        if not self.waiting_queue.total:
            return []
        return self._offer({f for b in backends for f in self._frontends_of[b]}, now)

    def _offer(self, frontends: Iterable[int], now: float) -> list[Action]:
        """Send the requests held at these frontends as far as possible, the oldest first."""
        actions: list[Action] = []
        refused: set[int] = set()
        while self.waiting_queue.total:
            frontend = self.waiting_queue.longest(frontends, refused)
            if frontend < 0:
                break
            request = self.waiting_queue.first(frontend)
            edge = self._choose(self.availability.candidates.of(frontend, request.tried), now)
            if edge < 0:
                refused.add(frontend)
            else:
                self.waiting_queue.take(request)
                actions.append(self._send(request, edge, now))
        return actions
