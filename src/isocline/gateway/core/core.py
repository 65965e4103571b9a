"""The core of the live router: events in, actions out, no I/O, no clock, no randomness of its own.

    core = Core(setting, policy, stream(seed))
    action = core.arrived(now, frontend)            # Send, Hold or Reject
    for action in core.finished(request, now): ...  # held requests that may go now

It owns N, the workload of each backend as this frontend knows it (`workload`), filters each
frontend's backends by health, drain, ejection and limits (`candidates`), and places each request
by the policy's compiled function, exactly as the simulator does (`placement`). Times are seconds of
any one clock that does not go back. Frontends and backends are numbered as in the graph, requests
by the core. A number that is not in flight is a KeyError: the caller's mistake, not a client's.

A request that a full backend refuses (429, or 503 with Retry-After) goes to another one where that
is safe; `attempt_ends` has what each end of an attempt means for backend and curves.

A request that its policy does not place, or that finds all backends of its frontend at their
limits, is held there, and offered again whenever a backend has room, in the simulator's order.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import final

from isocline.errors import PolicyError
from isocline.gateway.core import rejections
from isocline.gateway.core.actions import TOO_MANY_REQUESTS, Action, Cause, Hold, Reject, Send
from isocline.gateway.core.attempt_ends import AttemptEnds
from isocline.gateway.core.availability import Availability
from isocline.gateway.core.backend_load import Workloads
from isocline.gateway.core.cache_index import CacheEvent
from isocline.gateway.core.candidates import peak_of
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.model_memory import ModelCall
from isocline.gateway.core.notices import Notice
from isocline.gateway.core.parts import Parts
from isocline.gateway.core.placement import Placement
from isocline.gateway.core.policy_runtime import PolicyRuntime
from isocline.gateway.core.prompts import Prompt, Prompts
from isocline.gateway.core.request import AT_FRONTEND, PLAIN, Profile, Request
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.core.residency import Residency, ResidencySetting
from isocline.gateway.core.retry_budget import RetryBudget
from isocline.gateway.core.round_trips import MeasuredDistances
from isocline.gateway.core.tenants import Tenants
from isocline.gateway.core.waiting_queue import WaitingQueue
from isocline.model.curves import Curve
from isocline.model.serving_settings import Rules
from isocline.policies.routing.contract import HOLD, RoutingPolicy, Setting
from isocline.randomness.draws import Stream

REFUSED = 400  # the least status of a refusal


@final
class Core:
    """State and decisions of one router with F frontends and B backends.

    Attributes:
        distances: Distances that are measured; None: they are as given.
    """

    def __init__(
        self,
        setting: Setting,
        policy: RoutingPolicy,
        rng: Stream,
        rules: Rules | None = None,
        feedback: CurveFeedback | None = None,
        prompts: Prompts | None = None,
        residency: ResidencySetting | None = None,
    ):
        """Make a core.

        With `feedback`, curves are learned and replace those of `setting`; with `prompts`, the work
        of each request is counted with what backends have cached; with `residency`, requests go
        where their model is, or wait for it to be loaded.
        """
        self.rules = rules or Rules()
        runtime = self.policy_runtime = PolicyRuntime(setting, policy)
        self.prompts = prompts
        if prompts is not None:
            runtime.show_jobs(prompts.work, prompts.job, prompts.tokens)
        self.workloads = Workloads(runtime.view.workload, self.rules.oldest_report)
        self.availability = Availability(setting.graph, runtime.curves, self.workloads, self.rules)
        self.tenants = Tenants(self.rules.sharing)
        self.waiting_queue = WaitingQueue(setting.graph.sources, self.tenants)
        self.budget = RetryBudget(self.rules.retries)
        self.feedback = feedback
        self.arrivals = 0  # requests ever
        self.distances: MeasuredDistances | None = None
        parts = Parts(
            self.rules,
            runtime,
            self.workloads,
            self.availability,
            self.tenants,
            self.waiting_queue,
            feedback,
            prompts,
        )
        self._ends = AttemptEnds(parts, setting.graph.sinks)
        self.refusals = self._ends.refusals
        models = None
        if residency is not None:
            waits = self.workloads.add_waiting
            models = Residency(residency, runtime.jobs_and_rate, waits)
        self._placement = Placement(parts, self._ends, rng, models)
        self._requests = self._placement.requests
        if feedback:
            self.curves_changed(feedback.curves(), -math.inf)

    @property
    def residency(self) -> Residency | None:
        """Models that backends hold; None: each has all."""
        return self._placement.residency

    @property
    def policy_error(self) -> PolicyError | None:
        """The last error of a user's policy."""
        return self._placement.policy_error

    # Events of requests

    def arrived(self, now: float, frontend: int, profile: Profile = PLAIN) -> Send | Hold | Reject:
        """Handle the arrival of a request at a frontend."""
        self.arrivals += 1
        tenant = self.tenants.named(profile.tenant)
        request = Request(self.arrivals, frontend, now, tenant, profile.priority, profile.prompt)
        request.only, request.model = profile.only, profile.model
        request.tried = profile.avoided
        self._requests[request.number] = request
        if self.waiting_queue.total:  # `tick` has it that more may be sent, as less is expected
            if self.waiting_queue.waiting(frontend):
                return self._placement.hold(request, now)
        elif self.workloads.changes_at <= now:
            self.expect(now)
        return self._placement.route(request, now)

    def release(self, frontends: Iterable[int]) -> list[Request]:
        """Forget the requests held at these frontends that were not sent yet, and return them.

        They are for a later core, see `moved`. Those that failed at a backend stay: what was tried
        is numbered as here.
        """
        released: list[Request] = []
        for frontend in frontends:
            for request in self.waiting_queue.unsent(frontend):
                self.waiting_queue.take(request)
                del self._requests[request.number]
                released.append(request)
        return released

    def takes_over(self, frontend: int) -> bool:
        """Whether a request that waits at this frontend elsewhere may wait here."""
        return self.availability.candidates.any_usable(frontend)

    def moved(
        self, before: Request, now: float, frontend: int, profile: Profile = PLAIN
    ) -> Send | Hold | Reject:
        """Handle a request that an earlier core has released, at a frontend of this one.

        It waits behind those that are here, since it arrived, and no longer than it would have.
        """
        self.arrivals += 1
        tenant = self.tenants.named(profile.tenant)
        arrived = before.arrived
        request = Request(
            self.arrivals, frontend, arrived, tenant, profile.priority, profile.prompt
        )
        request.latest, request.only = before.deadline, profile.only
        request.model = profile.model
        self._requests[request.number] = request
        if self.waiting_queue.total and self.waiting_queue.waiting(frontend):
            return self._placement.hold(request, now)
        return self._placement.route(request, now)

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
        400 on is a refusal, without work done.
        """
        done = self._requests.pop(request)
        backend = done.backend
        if status < REFUSED:
            self._ends.served(done, now, latency_known, usage)
            if done.copy is not None and self.residency is not None:
                self.residency.served(backend, done.copy, now)
            if latency_known:
                try:
                    self.policy_runtime.observe(done.edge, now - done.sent, now)
                except PolicyError as error:
                    self._placement.policy_failed(error)
        else:
            self._ends.refused(done, now, status)
        return self._placement.offer_room(backend, now)

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
        if self._ends.is_of_client(status) or (status != TOO_MANY_REQUESTS and not retry_after):
            return []
        turned = self._requests[request]
        backend = turned.backend
        self._ends.turned_away(turned, now, status, retry_after)
        tried = (*turned.tried, backend)
        edge = HOLD
        if again:
            candidates = self.availability.candidates
            untried = candidates.untried(
                turned.frontend, tried, self._placement.only_holders(turned)
            )
            edge = self._placement.choose(turned, untried, now)
        if edge < 0 or not self.budget.take(turned.attempt, now, self.arrivals):
            return []
        self._ends.unserved(turned, now)
        turned.tried, turned.turned_away = tried, False
        return [
            self._placement.send(turned, edge, now),
            *self._placement.offer_room(backend, now),
        ]

    def model_missing(self, request: int, now: float, *, again: bool) -> list[Action]:
        """Handle a response that says that the backend does not have the request's model.

        None of it has reached the client yet. `again`: all of the request is kept, so that it can
        be sent again. Returns actions as `turned_away`.
        """
        failed = self._requests[request]
        backend = failed.backend
        if self.residency is None or not self.residency.manages(failed.model):
            return []
        self.residency.missing(backend, failed.model, now)
        if not again or not self.budget.take(failed.attempt, now, self.arrivals):
            return []
        self._ends.unserved(failed, now)
        failed.tried += (backend,)
        failed.backend = AT_FRONTEND
        return [
            self._placement.route(failed, now),
            *self._placement.offer_room(backend, now),
        ]

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
        self._ends.failed(failed, now, cause)
        safe = not started and (idempotent or not sent) and cause.retriable
        if safe and self.budget.take(failed.attempt, now, self.arrivals):
            failed.tried += (backend,)
            failed.backend = AT_FRONTEND
            outcome: Action = self._placement.route(failed, now)
        else:
            del self._requests[request]
            outcome = rejections.failed(failed, cause, started)
        return [outcome, *self._placement.offer_room(backend, now)]

    def sent_on(self, request: int, backend: int, now: float) -> list[Action]:
        """Handle that a data plane has sent a request on to another backend of its frontend.

        The one that the core chose has failed there, as far as the core knows; a Kubernetes gateway
        goes down a list of endpoints in this way. Raises KeyError for a backend that the frontend
        has no edge to.
        """
        moved = self._requests[request]
        edge = self.availability.candidates.edge(moved.frontend, backend)
        left = moved.backend
        self._ends.failed(moved, now, Cause.RESET)
        moved.tried += (left,)
        self._placement.send(moved, edge, now)
        return self._placement.offer_room(left, now)

    def cancelled(self, request: int, now: float) -> list[Action]:
        """Forget a request whose client has gone, wherever it was."""
        gone = self._requests.pop(request)
        if gone.waits_at != AT_FRONTEND and self.residency is not None:
            self.residency.waiters.unpark(gone.waits_at, gone.model, request)
            return []
        if gone.backend == AT_FRONTEND:
            self.waiting_queue.take(gone)
            return []
        self._ends.undone(gone, now)
        return self._placement.offer_room(gone.backend, now)

    # Events of backends

    def reported(
        self, backend: int, now: float, jobs: int, measured: float | None = None
    ) -> list[Action]:
        """Record a report of `jobs` at a backend, measured at `measured`, s (None: now)."""
        self._ends.pass_time(backend, now)
        if not self.workloads.reported(backend, jobs, now if measured is None else measured, now):
            return []
        return self._placement.offer_at([backend], now)

    def round_trip(self, backend: int, seconds: float, now: float) -> list[Action]:
        """Record how long a question to a backend and its answer were under way, s."""
        if self.distances is None or not self.distances.measured(backend, seconds, now):
            return []
        return self._placement.offer_at([backend], now)

    def carried_over(self, backend: int, now: float, jobs: int) -> list[Action]:
        """Record jobs of the core before a reload, sent to a backend or finished there (-1)."""
        work = self.feedback.mean_work if self.feedback and jobs == -1 else 0.0
        self._ends.pass_time(backend, now, work)
        self.workloads.sent(backend, now, jobs)
        return self._placement.offer_at([backend], now)

    def shared(self, backend: int, now: float, jobs: int) -> list[Action]:
        """Set the requests in flight of other workers of this router at a backend."""
        self._ends.pass_time(backend, now)
        self.workloads.shared(backend, now, jobs)
        return self._placement.offer_at([backend], now)

    def backend_up(self, backend: int, now: float) -> list[Action]:
        """Mark a backend as up; one that is draining stays so."""
        return self._placement.offer_at(self.availability.up(backend, now), now)

    def backend_down(self, backend: int, now: float) -> list[Action]:
        """Mark a backend as down; the caller fails the requests in flight."""
        if self.prompts is not None:
            self.prompts.lost(backend)  # a server that starts again has none
        offered = self._placement.offer_at(self.availability.down(backend, now), now)
        return [*offered, *self.models_lost(backend, now)]

    def cache_changed(
        self, backend: int, rank: int, number: int, events: Sequence[CacheEvent]
    ) -> None:
        """Record what a rank of a backend publishes of its prefix cache in a numbered message."""
        if self.prompts is not None:
            self.prompts.received(backend, rank, number, events)

    def cache_message_expected(self, backend: int, rank: int) -> int:
        """Number of the next message of a rank of a backend, as far as is known."""
        return 0 if self.prompts is None else self.prompts.message_expected(backend, rank)

    # Events of models

    def models_told(
        self, backend: int, names: Iterable[str], asked: float, now: float, complete: bool = True
    ) -> list[Action]:
        """Record which models a backend says it has, see `Residency.told`."""
        if self.residency is None:
            return []
        released = self.residency.told(backend, names, asked, now, complete=complete)
        return self._placement.resume(backend, *released, now)

    def models_lost(self, backend: int, now: float) -> list[Action]:
        """Record that a backend has lost its models, as it is down, or gone."""
        if self.residency is None:
            return []
        return self._placement.resume(backend, *self.residency.lost(backend, now), now)

    def models_unmanaged(self, now: float) -> list[Action]:
        """Regard all backends as alike from now on: nobody loads models any longer."""
        residency, self._placement.residency = self.residency, None
        actions: list[Action] = []
        for number in residency.waiters.release_all() if residency else []:
            request = self._requests[number]
            request.waits_at = AT_FRONTEND
            actions.append(self._placement.route(request, now))
        return actions

    def call_ended(self, backend: int, call: ModelCall, now: float) -> list[Action]:
        """Record that a backend has loaded or unloaded a model."""
        if self.residency is None:
            return []
        return self._placement.resume(backend, *self.residency.ended(backend, call, now), now)

    def call_failed(self, backend: int, call: ModelCall, now: float, unknown: bool) -> list[Action]:
        """Record that a backend has not; `unknown`: perhaps it has, as it did not answer."""
        if self.residency is None:
            return []
        released = self.residency.failed(backend, call, now, unknown=unknown)
        return self._placement.resume(backend, *released, now)

    def take_calls(self, now: float) -> list[tuple[int, ModelCall]]:
        """Return the calls to backends that begin now, with the backend of each."""
        return [] if self.residency is None else self.residency.take_calls(now)

    def backend_drain(self, backend: int, now: float) -> list[Action]:
        """Stop sending requests to a backend; `in_flight` tells when it has none left."""
        return self._placement.offer_at(self.availability.drain(backend, now), now)

    def backend_undrain(self, backend: int, now: float) -> list[Action]:
        """End the drain of a backend."""
        return self._placement.offer_at(self.availability.undrain(backend, now), now)

    def weight_changed(self, backend: int, weight: float, now: float) -> list[Action]:
        """Count a backend as `weight` machines of its kind, see `PolicyRuntime.weigh`."""
        self.policy_runtime.weigh(backend, weight)
        return self._placement.offer_at([backend], now)

    def share_changed(self, backend: int, share: float, now: float) -> list[Action]:
        """Send a backend at most this share of each frontend's requests; 1: no limit."""
        self.availability.candidates.limit_share(backend, share)
        return self._placement.offer_at([backend], now)

    def curves_changed(self, curves: Mapping[int, Curve], now: float) -> list[Action]:
        """Replace the service curves of some backends, jobs/s."""
        if not curves:
            return []
        self.policy_runtime.change(curves)
        for backend, curve in curves.items():
            peak = self.feedback.peak(backend) if self.feedback else peak_of(curve)
            self.availability.limits.change(backend, peak)
        return self._placement.offer_at(list(curves), now)

    # Time

    def expect(self, now: float) -> list[Action]:
        """Show the jobs that others are expected to have by now, see `jobs_of_others`."""
        if now < self.workloads.changes_at:
            return []
        changed: list[int] = []
        while (backend := self.workloads.due(now)) >= 0:
            self._ends.pass_time(backend, now)
            self.workloads.expect(backend, now)
            changed.append(backend)
        return self._placement.offer_at(changed, now)

    def tick(self, now: float) -> list[Action]:
        """Do all due work: deadlines, ends of ejections, expired reports, curve fits."""
        actions: list[Action] = []
        for request in self.waiting_queue.overdue(now):
            del self._requests[request.number]
            wait = self.waiting_queue.wait(request.frontend, now)
            actions.append(rejections.overdue(request, now, wait))
        actions += self._placement.offer_at(
            [*self.availability.tick(now), *self.workloads.expire(now)], now
        )
        actions += self.expect(now)
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
            self.workloads.changes_at if self.waiting_queue.total else math.inf,
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

    def explain(
        self, frontend: int, prompt: Prompt | None = None, only: frozenset[int] | None = None
    ) -> list[tuple[int, int, float]]:
        """Return what the policy says of each open backend, see `Placement.explain`."""
        return self._placement.explain(frontend, prompt, only)
