"""Core of a plane: events of attempts in, prices out; no I/O, no clock.

Envoy decides by a table of prices, so here nothing is decided for a single request: attempts that
have begun and ended give the workloads, the observations of which curves are learned, and what the
policy remembers of each backend. Times are s of one clock, that of the events.
"""

from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from isocline.errors import PolicyError
from isocline.gateway.core.core import Core
from isocline.gateway.core.notices import Notice
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learning import learned_by, learner_of, measure_for, remembering
from isocline.gateway.serve.worker_core import make_core
from isocline.planes.envoy.policy_prices import SecantPrices, prices, require_random_ties
from isocline.policies.parse import parse
from isocline.policies.routing.contract import FloatArray
from isocline.policies.routing.gmsr_secant import GmsrSecant
from isocline.policies.routing.picks import least

LIMIT = 1023
"""Largest workload with a price of its own."""

End = Literal["served", "unfinished", "too slow"]
"""How an attempt ended: with a response below 400, before its end, or by a limit on its time.

Of one that ended before its end nothing is learned; one that was too slow has kept its backend
busy without being done, as in `gateway.core.attempt_ends`.
"""


def require_prices(policy: str) -> None:
    """Raise PolicyError unless a policy chooses the least price, which is all that Envoy can do."""
    parsed = parse(policy)
    if not isinstance(parsed, GmsrSecant) and parsed.functions()[0] is not least:
        raise PolicyError(
            f"policy {policy} does not choose by a price for each backend and workload, which is "
            "what Envoy is given; choose gmsr_secant, gmsr, least_expected_latency, jsq or "
            "another that does, or leave --plane out"
        )
    require_random_ties(parsed)


def rehearse(serving: Serving) -> None:
    """Have all compiled that a core calls, before the first request; raises PolicyError."""
    core = PlaneCore(serving)
    if serving.system.frontends and serving.system.backends:
        core.began(0, 0.0)
        core.ended(0, 0, 1e-3, 0.0, "served")
        core.began(0, 2e-3)
        core.ended(0, 0, 3e-3, 2e-3, "unfinished")
        core.look(1.0)
        core.prices()
    core.tick(1e9)
    if core._core.feedback is not None:
        core._core.feedback.learner.rehearse()


@final
class PlaneCore:
    """Workloads, learned curves and prices of F frontends and B backends."""

    def __init__(self, serving: Serving, known: LearnedCurves | None = None) -> None:
        """Initialise from settings and the curves learned so far.

        Raises:
            PolicyError: The policy has no prices, or cannot use a curve.
        """
        require_prices(serving.policy)
        self.serving = serving
        self._known = known
        learner = learner_of(serving, known)
        self._core: Core = make_core(serving, learner, measure_for(serving, known))
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
        """(B,), whether requests may be sent to each backend now."""
        backends, controls = self.serving.system.backends, self.serving.controls
        return np.array([not controls.of(it.name).draining for it in backends], np.bool_)

    def began(self, backend: int, now: float) -> None:
        """Record that an attempt has begun at a backend."""
        self._pass_time(backend, now)
        self._core.workloads.sent(backend, now)

    def ended(self, frontend: int, backend: int, now: float, sent: float, end: End) -> None:
        """Record that an attempt sent at `sent` has ended; one that never began is ignored."""
        workloads, feedback = self._core.workloads, self._core.feedback
        if workloads.own[backend] == 0:
            return  # it began before this process, or another one of Envoy's, did
        work = 0.0
        if end == "served" and feedback is not None:
            seconds = max(now - sent, 1e-6)
            measure = feedback.measure
            work = measure.work(frontend, backend, seconds, None) if measure else 1.0
        self._pass_time(backend, now, work, sent)
        workloads.sent(backend, now, -1)
        if end == "unfinished" and feedback is not None:
            feedback.undone(backend, now, sent)

    def reported(self, backend: int, jobs: int, now: float, measured: float) -> None:
        """Record a load report of `jobs` at a backend, as it was at `measured`, s."""
        self._core.reported(backend, now, jobs, measured)

    @property
    def corrections(self) -> list[int]:
        """(B,) jobs at each backend by its reports, beyond attempts under way."""
        workloads = self._core.workloads
        return [workloads[b] - own for b, own in enumerate(workloads.own)]

    def all_lost(self, now: float) -> None:
        """Record that all attempts under way are gone, as Envoy is."""
        for backend, jobs in enumerate(self.workloads):
            self._pass_time(backend, now)
            self._core.workloads.sent(backend, now, -jobs)

    def tick(self, now: float) -> list[Notice]:
        """Fit curves that are due; returns what an operator should know."""
        self._core.tick(now)
        return self._core.take_notices()

    def look(self, now: float) -> None:
        """Let the policy take in the present workloads; after each change of theirs, or soon."""
        if self._secant is not None:
            workloads = self._core.workloads
            self._secant.look(now, [workloads[b] for b in range(len(workloads.own))])

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

        What a policy remembers of its backends begins anew.
        """
        names = [backend.name for backend in before.serving.system.backends]
        jobs = dict(zip(names, before.workloads, strict=True))
        for backend, its in enumerate(self.serving.system.backends):
            self._core.workloads.sent(backend, now, jobs.get(its.name, 0))

    def _pass_time(
        self, backend: int, now: float, work: float = 0.0, sent: float | None = None
    ) -> None:
        feedback, workloads = self._core.feedback, self._core.workloads
        if feedback is not None:
            feedback.passed(backend, workloads[backend], workloads.own[backend], now, work, sent)
