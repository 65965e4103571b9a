"""Core of a plane: events of attempts in, prices out; no I/O, no clock.

Envoy decides by a table of prices, so here nothing is decided for a single request: attempts that
have begun and ended give the workloads, the observations of which curves are learned, and what the
policy remembers of each backend. Times are s of one clock, that of the events.
"""

from typing import Any, Literal, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.gateway.core.core import Core
from isocline.gateway.core.notices import Notice
from isocline.gateway.metrics.readiness import unserved
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learning import learned_by, learner_of, measure_for, remembering
from isocline.gateway.serve.worker_core import make_core
from isocline.planes.envoy.policy_prices import SecantPrices, prices, require_prices
from isocline.policies.parse import parse
from isocline.policies.routing.contract import FloatArray
from isocline.policies.routing.gmsr_secant import GmsrSecant

LIMIT = 1023
"""Largest workload with a price of its own."""


@final
class End(NamedTuple):
    """How an attempt ended.

    Of one without a whole response below 400 nothing is learned; one that was too slow has kept its
    backend busy without being done, as in `gateway.core.attempt_ends`.

    Attributes:
        how: By a whole response, below 400 or not; by a fault of the backend, among them 502, 503
            and 504; by a limit on its time; or because its client has left.
        status: Of the whole response.
        why: What the backend is to blame for, in words; empty for nothing.
        begun: Whether it had a connection.
    """

    how: Literal["served", "refused", "failed", "too slow", "left"]
    status: int = 0
    why: str = ""
    begun: bool = True


SERVED = End("served", 200)


def rehearse(serving: Serving) -> None:
    """Have all compiled that a core calls, before the first request; raises PolicyError."""
    core = PlaneCore(serving)
    if serving.system.frontends and serving.system.backends:
        core.began(0, 0.0)
        core.ended(0, 0, 1e-3, 0.0, SERVED)
        core.began(0, 2e-3)
        core.ended(0, 0, 3e-3, 2e-3, End("left"))
        core.look(1.0)
        core.prices()
    core.tick(1e9)
    if core._core.feedback is not None:
        core._core.feedback.learner.rehearse()


@final
class PlaneCore:
    """Workloads, learned curves and prices of F frontends and B backends."""

    def __init__(
        self, serving: Serving, known: LearnedCurves | None = None, *, ejects: bool = True
    ) -> None:
        """Initialise from settings and the curves learned so far.

        Args:
            serving: Settings.
            known: Curves learned so far.
            ejects: Whether backends that fail are left out; not if Envoy does that by itself.

        Raises:
            PolicyError: The policy has no prices, or cannot use a curve.
        """
        require_prices(parse(serving.policy))
        self.serving = serving
        self._ejects = ejects
        self._known = known
        learner = learner_of(serving, known)
        self._core: Core = make_core(serving, learner, measure_for(serving, known))
        self._seen = self._core.availability.candidates
        self._setting = self._core.policy_runtime.setting
        self._policy = self._core.policy_runtime.policy
        self._secant: SecantPrices | None = None
        self._table: FloatArray | None = None  # of a policy that remembers nothing
        if isinstance(self._policy, GmsrSecant):
            self._secant = SecantPrices(self._policy, self._setting, LIMIT)

    @property
    def workloads(self) -> list[int]:
        """(B,) attempts under way at each backend."""
        return list(self._core.workloads.own)

    @property
    def allowed(self) -> npt.NDArray[np.bool_]:
        """(B,), whether each backend may get requests, as far as Envoy does not know better."""
        pairs = zip(self._seen.draining, self._seen.ejected, strict=True)
        return np.array([not (draining or ejected) for draining, ejected in pairs], np.bool_)

    def began(self, backend: int, now: float) -> None:
        """Record that an attempt has begun at a backend."""
        self._pass_time(backend, now)
        self._core.workloads.sent(backend, now)

    def ended(self, frontend: int, backend: int, now: float, sent: float, end: End) -> None:
        """Record that an attempt sent at `sent` has ended, which may have the backend ejected."""
        # Unless it began before this process, or another one of Envoy's, did.
        if end.begun and self._core.workloads.own[backend] > 0:
            self._leave(frontend, backend, now, sent, end)
        if self._ejects:
            self._judge(frontend, backend, now, sent, end)

    def _leave(self, frontend: int, backend: int, now: float, sent: float, end: End) -> None:
        workloads, feedback = self._core.workloads, self._core.feedback
        work = 0.0
        if end.how == "served" and feedback is not None:
            seconds = max(now - sent, 1e-6)
            measure = feedback.measure
            work = measure.work(frontend, backend, seconds, None) if measure else 1.0
        self._pass_time(backend, now, work, sent)
        workloads.sent(backend, now, -1)
        if end.how not in ("served", "too slow") and feedback is not None:
            feedback.undone(backend, now, sent)

    def _judge(self, frontend: int, backend: int, now: float, sent: float, end: End) -> None:
        availability = self._core.availability
        if not self.has_edge(frontend, backend):
            return  # it had one before a reload
        edge = self._seen.edge(frontend, backend)
        if end.how == "served":
            availability.succeeded(frontend, edge, backend, now)
        elif end.how == "refused":
            availability.refused(frontend, edge, backend, now, sent, end.status)
        elif end.why:
            availability.failed(backend, now, sent, end.why)

    def has_edge(self, frontend: int, backend: int) -> bool:
        """Whether a frontend may use a backend."""
        return backend in self._seen.backends_of(frontend)

    def checked(self, backend: int, now: float, *, up: bool) -> None:
        """Record a backend's health, by Envoy's checks."""
        if up:
            self._core.backend_up(backend, now)
        else:
            self._core.backend_down(backend, now)

    @property
    def not_ready(self) -> list[str]:
        """Why requests cannot be served, in words; empty if they can."""
        frontends = enumerate(self.serving.system.frontends)
        return unserved(
            (it.name, [self._seen.in_service(b) for b in self._seen.backends_of(f)])
            for f, it in frontends
        )

    def state(self, backend: int) -> dict[str, bool]:
        """Whether a backend is up, draining, ejected."""
        seen = self._seen
        return {
            "up": seen.up[backend],
            "draining": seen.draining[backend],
            "ejected": seen.ejected[backend],
        }

    def reported(self, backend: int, jobs: int, now: float, measured: float) -> None:
        """Record a load report of `jobs` at a backend, as it was at `measured`, s."""
        self._core.reported(backend, now, jobs, measured)

    @property
    def of_others(self) -> list[int]:
        """(B,) jobs expected at each backend by its reports, beyond attempts under way."""
        workloads = self._core.workloads
        return [workloads[b] - own for b, own in enumerate(workloads.own)]

    @property
    def corrections(self) -> list[int]:
        """(B,) jobs to be priced beyond attempts under way: of others, and of requests refused.

        Of others as expected at the last look (`gateway.core.jobs_of_others`). A backend that
        refuses at once would look idle (`gateway.core.phantom_jobs`).
        """
        workloads = self._core.workloads
        return [shown - own for shown, own in zip(workloads.shown, workloads.own, strict=True)]

    def all_lost(self, now: float) -> None:
        """Record that all attempts under way are gone, as Envoy is."""
        for backend, jobs in enumerate(self.workloads):
            self._pass_time(backend, now)
            self._core.workloads.sent(backend, now, -jobs)

    def tick(self, now: float) -> list[Notice]:
        """Fit curves that are due, and let backends in again; returns as `take_notices`."""
        self._core.tick(now)
        return self.take_notices()

    def take_notices(self) -> list[Notice]:
        """Return what an operator should know since the last call."""
        return self._core.take_notices()

    def look(self, now: float) -> None:
        """Take in the time, and let the policy take in workloads; after each change, or soon."""
        self._core.expect(now)
        if self._secant is not None:
            self._secant.look(now, list(self._core.workloads.shown))

    def prices(self) -> FloatArray:
        """(B, LIMIT + 1) price of one more job."""
        setting = self._core.policy_runtime.setting
        changed, self._setting = setting is not self._setting, setting
        if self._secant is not None:
            if changed:
                self._secant.change(setting)
            return self._secant.prices()
        if changed or self._table is None:
            self._table = prices(self._policy, setting, LIMIT)
        return self._table

    def curves(self) -> dict[str, Any]:
        """Curve of each backend as known, by name: points (N, jobs/s)."""
        runtime, levels = self._core.policy_runtime, 2.0 ** np.arange(8.0)
        return {
            backend.name: list(zip(levels.tolist(), curve.rate(levels).tolist(), strict=True))
            for backend, curve in zip(self.serving.system.backends, runtime.curves, strict=True)
        }

    def learned(self) -> LearnedCurves | None:
        """Learned curves, of removed backends too; None if curves are not learned."""
        feedback = self._core.feedback
        if feedback is None:
            return None
        self._known = remembering(learned_by(self.serving, feedback), self._known)
        return self._known

    def take_over(self, before: "PlaneCore", now: float) -> None:
        """Count the attempts that are under way by an earlier core's count, at `now`, s.

        Ejections last. What a policy remembers of its backends begins anew.
        """
        numbers = {it.name: b for b, it in enumerate(before.serving.system.backends)}
        names = enumerate(it.name for it in self.serving.system.backends)
        same = {b: numbers[name] for b, name in names if name in numbers}
        for backend, number in same.items():
            self._core.workloads.sent(backend, now, before.workloads[number])
        self._core.availability.take_over(before._core.availability, same, now)

    def _pass_time(
        self, backend: int, now: float, work: float = 0.0, sent: float | None = None
    ) -> None:
        feedback, workloads = self._core.feedback, self._core.workloads
        if feedback is not None:
            feedback.passed(backend, workloads[backend], workloads.own[backend], now, work, sent)
