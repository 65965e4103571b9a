"""Core of a plane: events of attempts in, prices out; no I/O, no clock.

Envoy decides by a table of prices, so here nothing is decided for a single request: attempts that
have begun and ended give the workloads, the observations of which curves are learned, and what the
policy remembers of each edge. Times are s of one clock, that of the events.
"""

import math
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.errors import PolicyError
from isocline.gateway.core.core import Core
from isocline.gateway.core.notices import Notice
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves
from isocline.gateway.serve.learning import learned_by, learner_of, measure_for, remembering
from isocline.gateway.serve.worker_core import make_core
from isocline.policies.parse import parse
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, View
from isocline.policies.routing.gmsr_secant import (
    RATES,
    GmsrSecant,
    choose_level,
    keep_up,
    secant,
    take_in,
)
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
    if not _has_prices(parse(policy)):
        raise PolicyError(
            f"policy {policy} does not choose by a price for each backend and workload, which is "
            "what Envoy is given; choose gmsr_secant, gmsr, least_expected_latency, jsq or "
            "another that does, or leave --plane out"
        )
    if parse(policy).option()[0] == 0.0:
        raise PolicyError(f"policy {policy}: a plane draws ties; leave ties=first out")


def rehearse(serving: Serving) -> None:
    """Have all compiled that a core calls, before the first request; raises PolicyError."""
    core = PlaneCore(serving)
    for frontend, backend in list(core._edge)[:1]:
        core.began(frontend, backend, 0.0)
        core.ended(frontend, backend, 1e-3, 0.0, "served")
        core.began(frontend, backend, 2e-3)
        core.ended(frontend, backend, 3e-3, 2e-3, "unfinished")
    core.prices(1.0)
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
        self._core.policy_runtime.reserve(LIMIT)
        graph = serving.system.graph
        sources, sinks = graph.source.tolist(), graph.sink.tolist()
        self._edge = {ends: edge for edge, ends in enumerate(zip(sources, sinks, strict=True))}

    @property
    def workloads(self) -> list[int]:
        """(B,) attempts under way at each backend."""
        return list(self._core.workloads.own)

    @property
    def allowed(self) -> npt.NDArray[np.bool_]:
        """(F, B), whether a frontend may send to a backend now."""
        system, controls = self.serving.system, self.serving.controls
        found = np.zeros((len(system.frontends), len(system.backends)), np.bool_)
        for source, sink in self._edge:
            found[source, sink] = not controls.of(system.backends[sink].name).draining
        return found

    def began(self, frontend: int, backend: int, now: float) -> None:
        """Record that an attempt has begun at a backend."""
        edge = self._edge.get((frontend, backend))
        runtime, workloads = self._core.policy_runtime, self._core.workloads
        if self._remembers and edge is not None:
            _sent(runtime.view, edge, now)
        self._pass_time(backend, now)
        workloads.sent(backend, now)

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

    def prices(self, now: float) -> FloatArray:
        """(F, B, LIMIT + 1) price of one more job; inf where a frontend has no edge."""
        view = self._core.policy_runtime.view
        system = self.serving.system
        found = np.full((len(system.frontends), len(system.backends), LIMIT + 1), math.inf)
        if not self._edge:
            return found
        sources, sinks = (np.array(ends) for ends in zip(*self._edge, strict=True))
        if self._remembers:
            prices = np.empty((len(self._edge), LIMIT + 1))
            _secants(view, now, prices)
        else:
            prices = view.table[view.row[sinks], : LIMIT + 1]
        found[sources, sinks] = prices
        return found

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

        What a policy remembers of its edges begins anew.
        """
        names = [backend.name for backend in before.serving.system.backends]
        jobs = dict(zip(names, before.workloads, strict=True))
        for backend, its in enumerate(self.serving.system.backends):
            self._core.workloads.sent(backend, now, jobs.get(its.name, 0))

    @property
    def _remembers(self) -> bool:
        return isinstance(self._core.policy_runtime.policy, GmsrSecant)

    def _pass_time(
        self, backend: int, now: float, work: float = 0.0, sent: float | None = None
    ) -> None:
        feedback, workloads = self._core.feedback, self._core.workloads
        if feedback is not None:
            feedback.passed(backend, workloads[backend], workloads.own[backend], now, work, sent)


def _has_prices(policy: RoutingPolicy) -> bool:
    choose, _ = policy.functions()
    return isinstance(policy, GmsrSecant) or choose is least


@kernel
def _sent(view: View, edge: int, now: float) -> None:
    """Take in that a job is being sent on an edge; its workload is that before the job."""
    own, about = view.memory[edge], view.parameter[edge]
    rates = view.table[int(about[RATES])]
    jobs = view.workload[view.backend[edge]]
    keep_up(own, about, rates, jobs, jobs + 0.5, 0.0, now)
    take_in(own, about, rates, jobs, 1, now)


@kernel
def _secants(view: View, now: float, prices: Any) -> None:
    """Write the secant prices of all edges.

    Args:
        view: Of the policy.
        now: s.
        prices: (E, K) written: at 0 .. K - 1 jobs, each by the level that is in use there.
    """
    for edge in range(prices.shape[0]):
        own, about = view.memory[edge], view.parameter[edge]
        rates = view.table[int(about[RATES])]
        jobs = view.workload[view.backend[edge]]
        keep_up(own, about, rates, jobs, jobs + 0.5, 0.0, now)
        for n in range(prices.shape[1]):
            choose_level(own, about, rates, n + 0.5, 0.0)
            prices[edge, n] = secant(own, rates, n + 0.5)
        choose_level(own, about, rates, jobs + 0.5, 0.0)
