"""Way of a request to a backend: chosen by the policy, sent, held, or waiting for a load.

A request goes to an open backend of its frontend, of those that have its model, by the policy's
compiled function, exactly as in the simulator. Where the policy places it nowhere, or no backend is
open, it waits in the queue of its frontend, and is offered again whenever a backend has room; where
its model is to be loaded, it waits for that at the backend.
"""

import math
from collections.abc import Iterable
from typing import final

from isocline.errors import PolicyError
from isocline.gateway.core import rejections
from isocline.gateway.core.actions import Action, Hold, Reject, Send
from isocline.gateway.core.attempt_ends import AttemptEnds
from isocline.gateway.core.candidates import Open
from isocline.gateway.core.model_work import ModelWork
from isocline.gateway.core.notices import OF_POLICY, Notice
from isocline.gateway.core.parts import Parts
from isocline.gateway.core.prompts import Prompt
from isocline.gateway.core.request import AT_FRONTEND, Request
from isocline.gateway.core.residency import Residency
from isocline.policies.routing.contract import HOLD
from isocline.randomness.draws import Stream

FAILED = HOLD - 1  # in place of an edge: the policy raised, or returned something else


@final
class Placement:
    """Decisions on the requests of one core, and what each changes.

    Attributes:
        requests: Those in flight or waiting, by number.
        residency: Models that backends hold; None: all backends have all.
        policy_error: The last error of a user's policy.
    """

    def __init__(self, parts: Parts, ends: AttemptEnds, rng: Stream, residency: Residency | None):
        """Make it for one core, whose parts it shares."""
        self.requests: dict[int, Request] = {}
        self.residency = residency
        self.policy_error: PolicyError | None = None
        self._rules = parts.rules
        self._runtime = parts.policy_runtime
        self._workloads = parts.workloads
        self._availability = parts.availability
        self._candidates = parts.availability.candidates
        self._tenants = parts.tenants
        self._queue = parts.waiting_queue
        self._feedback = parts.feedback
        self._prompts = parts.prompts
        self._model_work = None
        if residency is not None:
            prompts = parts.prompts is not None
            self._model_work = ModelWork(self._runtime, prompts=prompts)
        self._ends = ends
        self._rng = rng
        self._sink = parts.policy_runtime.setting.graph.sink.tolist()
        self._frontends_of = self._candidates.frontends_of
        self._share_limits = self._candidates.share_limits

    def route(self, request: Request, now: float) -> Send | Hold | Reject:
        edge = self.choose(request, self._open(request), now)
        if edge >= 0:
            return self._go(request, edge, now) if request.model else self.send(request, edge, now)
        if edge == HOLD:
            refusal = self._refusal(request, now)
            return self.hold(request, now) if refusal is None else refusal
        del self.requests[request.number]
        return rejections.policy_failed(request)

    def _go(self, request: Request, edge: int, now: float) -> Send | Hold | Reject:
        """Send a request, or let it wait at its backend until that has loaded its model."""
        backend = self._sink[edge]
        model, residency = request.model, self.residency
        if residency is None or not model or not residency.must_wait(backend, model, now):
            return self.send(request, edge, now)
        return self._park(request, edge, now)

    def _refusal(self, request: Request, now: float) -> Reject | None:
        """Reject a request whose model no open backend can load, at least for a time."""
        residency, model = self.residency, request.model
        if residency is None or not residency.manages(model):
            return None
        backends = self._open(request).backends
        wait = residency.refusal(model, backends, now) if backends else None
        if wait is None:
            return None
        del self.requests[request.number]
        return rejections.not_loaded(request, wait)

    def only_holders(self, request: Request) -> frozenset[int] | None:
        """Backends that a request may go to without a load; None: all."""
        holders = None
        if self.residency is not None and request.model:
            holders = self.residency.holders(request.model)
        if holders is None or request.only is None:
            return holders if request.only is None else request.only
        return holders & request.only

    def _park(self, request: Request, edge: int, now: float) -> Hold | Reject:
        """Let a request wait for its model to be loaded at a backend, if there is room."""
        assert self.residency is not None
        backend, model = self._sink[edge], request.model
        waiting = self.residency.waiters.number(backend, model)
        if waiting >= max(self._rules.holding.most, 1):
            del self.requests[request.number]
            wait = self.residency.remaining(backend, model, now)
            return rejections.load_awaited(request, waiting, wait)
        self.residency.park(backend, model, request.number, now)
        request.edge, request.waits_at = edge, backend
        self._runtime.reserve(self._workloads.shown[backend])
        return Hold(request.number, math.inf)

    def resume(self, backend: int, released: list[int], there: bool, now: float) -> list[Action]:
        """Send requests that have waited for a load; elsewhere if their model is not `there`."""
        actions: list[Action] = []
        for number in released:
            request = self.requests[number]
            candidates = self._open(request)
            if there and backend in candidates.backends:
                if self._prompts is not None:  # as `sent` is about the request weighed last
                    self._prompts.weigh(request.frontend, request.prompt, candidates)
                actions.append(self.send(request, request.edge, now))
                continue
            request.waits_at = AT_FRONTEND
            if not there:
                request.failed_loads += 1
                request.tried += (backend,)
                if request.failed_loads >= self._rules.retries.attempts:
                    del self.requests[number]
                    actions.append(rejections.not_loaded(request, self._availability.wait(now)))
                    continue
            actions.append(self.route(request, now))
        return [*actions, *self.offer_at([backend], now)]

    def _open(self, request: Request) -> Open:
        """Return the open edges for a request."""
        return self._candidates.of(request.frontend, request.tried, request.only)

    def choose(self, request: Request, candidates: Open, now: float) -> int:
        """Return an open edge by the policy; HOLD if it wants none, or there is none.

        FAILED if the policy raises, or returns something else: a router outlives a request that its
        policy cannot place.
        """
        if not candidates.backends:
            return HOLD
        if self._prompts is not None:
            self._prompts.weigh(request.frontend, request.prompt, candidates)
        if self._model_work is not None:
            fit = self._model_work.write(self.residency, request.model, candidates, now)
            if fit is not None:
                candidates = self._candidates.within(request.frontend, candidates, fit)
            if not candidates.backends:
                return HOLD
        edges, low, high = candidates.edges, candidates.low, candidates.high
        try:
            edge = self._runtime.choose(edges, self._runtime.view, now, self._rng)
            if edge != HOLD and not low <= edge <= high:
                raise self._runtime.misplaced()
        except PolicyError as error:
            self.policy_failed(error)
            return FAILED
        return edge

    def policy_failed(self, error: PolicyError) -> None:
        """Keep the error, with a notice unless the last one was the same."""
        if str(error) != str(self.policy_error):
            self._availability.notices.append(Notice(OF_POLICY, str(error), True, "policy.failed"))
        self.policy_error = error

    def send(self, request: Request, edge: int, now: float) -> Send:
        backend = self._sink[edge]
        if self._feedback:
            self._ends.pass_time(backend, now)
            request.events = self._feedback.count
        request.edge, request.backend, request.sent = edge, backend, now
        request.attempt += 1
        self._workloads.sent(backend, now)
        self._availability.count(backend)
        if self._share_limits[request.frontend] is not None:
            self._candidates.sent(request.frontend, edge)
        if self._prompts is not None:
            request.prompt_at = self._prompts.sent(request.prompt, edge, backend)
        if self.residency is not None:
            asked = request.waits_at == backend
            request.waits_at = AT_FRONTEND
            request.copy = self.residency.sent(backend, request.model, now, asked=asked)
        if request.attempt == 1:
            self._tenants.charge(request.tenant)
        self._runtime.reserve(self._workloads.shown[backend])
        return Send(request.number, backend, request.attempt)

    def hold(self, request: Request, now: float) -> Hold | Reject:
        """Hold a request that cannot be sent now, if a backend may come and the queue has room."""
        rule, frontend = self._rules.holding, request.frontend
        waiting = self._queue.waiting(frontend)
        candidates = self._candidates
        if not candidates.any_usable(frontend, request.only):
            del self.requests[request.number]
            has_any, wait = bool(candidates.backends_of(frontend)), self._availability.wait(now)
            return rejections.none_up(request, wait, has_any=has_any)
        displaced: Reject | None = None
        if waiting >= rule.most:
            last = self._queue.least_urgent(request) if waiting else request
            wait = self._queue.wait(frontend, now)
            del self.requests[last.number]
            displaced = rejections.queue_full(last, waiting, wait)
            if last is request:
                return displaced
            self._queue.take(last)
        request.deadline = min(now + rule.seconds, request.latest)
        self._queue.put(request, ahead=bool(request.tried))
        return Hold(request.number, request.deadline, displaced)

    def offer_at(self, backends: list[int], now: float) -> list[Action]:
        """Offer held requests to these backends, which may have room now."""
        for backend in backends:
            self._availability.count(backend)
        if not self._queue.total:
            return []
        return self._offer({f for b in backends for f in self._frontends_of[b]}, now)

    def offer_room(self, backend: int, now: float) -> list[Action]:
        """Offer held requests to a backend that a request has left."""
        return self._offer(self._frontends_of[backend], now) if self._queue.total else []

    def _offer(self, frontends: Iterable[int], now: float) -> list[Action]:
        """Send the requests held at these frontends as far as possible, in the queue's order."""
        actions: list[Action] = []
        refused: set[int] = set()
        while self._queue.total:
            frontend = self._queue.next_frontend(frontends, refused)
            if frontend < 0:
                break
            request = self._queue.first(frontend)
            edge = self.choose(request, self._open(request), now)
            refusal = self._refusal(request, now) if edge == HOLD else None
            if edge < 0 and refusal is None:
                refused.add(frontend)
                continue
            self._queue.take(request)
            actions.append(self._go(request, edge, now) if refusal is None else refusal)
        return actions

    def explain(
        self, frontend: int, prompt: Prompt | None = None, only: frozenset[int] | None = None
    ) -> list[tuple[int, int, float]]:
        """Return number, jobs and score of each open backend, of `only`; the least score wins.

        Where scores are prices of work, they are multiplied by that of a request with this prompt,
        and distances are added.
        """
        candidates = self._candidates.of(frontend, (), only)
        scores = self._runtime.explained(candidates.backends)
        if not self._runtime.prices_work:
            return scores
        if self._prompts is not None:
            self._prompts.weigh_ahead(frontend, prompt, candidates)
            work = [self._prompts.work_by(edge) for edge in candidates.numbers]
            scores = [(b, n, score * w) for (b, n, score), w in zip(scores, work, strict=True)]
        distances = self._runtime.distances
        if distances:
            far = [distances[edge] for edge in candidates.numbers]
            scores = [(b, n, score + d) for (b, n, score), d in zip(scores, far, strict=True)]
        return scores
