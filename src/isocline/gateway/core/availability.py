"""Availability of backends: up, not draining, not ejected, not full.

An ejection helps only while other backends are better. So each frontend keeps a share `floor` of
its backends in service, rounded up, and at least one: no ejection goes below, and when others go
down, ejected backends return early, the one whose ejection ends first before the others.
"""

import math
from collections.abc import Mapping, Sequence
from typing import final

from isocline.gateway.core.backend_load import Workloads
from isocline.gateway.core.candidates import Candidates
from isocline.gateway.core.concurrency_limits import ConcurrencyLimits
from isocline.gateway.core.notices import Notice
from isocline.gateway.core.outlier_detection import OutlierDetection
from isocline.gateway.core.peer_comparison import PeerComparison
from isocline.gateway.core.phantom_jobs import PhantomJobs
from isocline.model.curves import Curve
from isocline.model.graph import CompatibilityGraph
from isocline.model.serving_settings import Rules

# The power of `chance` that is enough against a backend on trial, which was out a moment ago: 1e-5
# becomes 0.01, which is one refusal where peers have refused none of their last hundred responses.
_ON_TRIAL = 0.4


@final
class Availability:
    """Availability of B backends. Methods that return a list name the backends usable again.

    Attributes:
        notices: Ejections, returns and drains that were not taken yet.
    """

    def __init__(
        self,
        graph: CompatibilityGraph,
        curves: Sequence[Curve],
        workloads: Workloads,
        rules: Rules,
    ):
        self.candidates = Candidates(graph)
        self.ejections = OutlierDetection(rules.ejection, graph.sinks)
        self.limits = ConcurrencyLimits(curves, rules)
        self._rule = rules.ejection
        self._refuses = [False] * graph.sinks  # it has refused since it last served
        self._curves = curves  # the caller changes them
        self.phantoms = PhantomJobs(workloads, rules.ejection.longest)
        self.comparison = PeerComparison(graph)
        self.notices: list[Notice] = []
        self._workloads = workloads
        self._jobs, self._most = workloads.shown, self.limits.most
        self._phantoms = workloads.phantoms
        self._full = self.candidates.full

    def count(self, backend: int) -> None:
        """Compare the workload with the limit after either has changed."""
        full = self._jobs[backend] - self._phantoms[backend] >= self._most[backend]
        if full != self._full[backend]:  # seldom; this is asked twice for each request
            self.candidates.set(self._full, backend, full)

    def succeeded(self, frontend: int, edge: int, backend: int, now: float) -> None:
        """Record a good response."""
        self.ejections.succeeded(backend, now)
        self.comparison.accepted(frontend, edge)
        opened = self._refuses[backend] and self._serves_again(backend)
        if self.limits.ramp(backend) or opened:
            self.limits.settle(backend)
            self.count(backend)

    def failed(self, backend: int, now: float, sent: float, how: str) -> None:
        """Record a failed request; ejects the backend if it fails often and others suffice.

        `how` describes the failure for the operator.
        """
        reason = self.ejections.failed(backend, now)
        if not reason:
            return
        if self._can_spare(backend):
            self._eject(backend, now, f"{reason}, the last one: {how}")
        else:  # it stays in; failing fast must not look like fast service
            self._add_phantom(backend, sent, now)

    def refused(
        self, frontend: int, edge: int, backend: int, now: float, sent: float, status: int
    ) -> None:
        """Record a refused request; ejects the backend if peers refuse less, and are enough."""
        self.ejections.answered(backend, now)
        self.comparison.refused(frontend, edge)
        if not self.comparison.more_often(frontend, edge):
            return
        self._add_phantom(backend, sent, now)
        enough = self._rule.chance
        if self.ejections.records[backend].on_trial:
            enough **= _ON_TRIAL
        if self.comparison.chance(frontend, edge) <= enough and self._can_spare(backend):
            shares = self.comparison.described(frontend, edge)
            self._eject(backend, now, f"{shares}, the last one with status {status}")

    def turned_away(self, backend: int, now: float, retry_after: float | None) -> None:
        """Record a refusal by a full backend, until `retry_after` s from now if known."""
        self._refuses[backend] = True
        others = max(self._workloads[backend] - 1, 0)
        self.limits.pressure.refused(backend, now, others, retry_after)
        self.limits.settle(backend)
        self.count(backend)

    def up(self, backend: int, now: float) -> list[int]:
        """Mark a backend as up; one that is draining stays so."""
        if not self.candidates.set(self.candidates.up, backend, True):
            return []
        return self._come_back(backend, now)

    def down(self, backend: int, now: float) -> list[int]:
        """Mark a backend as down."""
        self.candidates.set(self.candidates.up, backend, False)
        return self._gone(backend, now)

    def drain(self, backend: int, now: float) -> list[int]:
        """Stop sending requests to a backend."""
        if self.candidates.set(self.candidates.draining, backend, True):
            self._note(backend, "draining: it gets no more requests", "backend.draining")
        return self._gone(backend, now)

    def undrain(self, backend: int, now: float) -> list[int]:
        """End the drain of a backend."""
        if not self.candidates.set(self.candidates.draining, backend, False):
            return []
        self._note(backend, "no longer draining", "backend.drain_ended")
        return self._come_back(backend, now)

    def tick(self, now: float) -> list[int]:
        """End the ejections, limits and phantom jobs that have expired."""
        over = self.ejections.over(now)
        for backend in over:
            self._readmit(backend, now, "its time is over")
        relaxed = self.limits.pressure.over(now)
        for backend in relaxed:
            self._refuses[backend] = True  # until it is seen to serve what it now gets
            self.limits.pressure.relax(backend, now, self._workloads[backend])
            self.limits.settle(backend)
        return [*over, *relaxed, *self.phantoms.over(now)]

    def next_end(self) -> float:
        """Next time at which `tick` has work, s; inf if never."""
        return min(self.ejections.next_end, self.limits.pressure.next_end, self.phantoms.next_end)

    def take_over(self, before: "Availability", same: Mapping[int, int], now: float) -> None:
        """Take over the failures of the backends in `same`: number here to number there."""
        for backend, number in same.items():
            record = before.ejections.records[number]
            self.ejections.adopt(backend, record)
            self.candidates.set(self.candidates.ejected, backend, record.out)
            self._refuses[backend] = True  # perhaps
            self.limits.pressure.adopt(backend, before.limits.pressure, number)
            self.limits.settle(backend)
            self.count(backend)
        for backend in same:  # the floor is that of these rules, and of this graph
            self._restore(backend, now)

    def wait(self, now: float) -> float:
        """Time until an ejection ends, s; without one, the length of a first ejection."""
        end = self.ejections.next_end
        return max(end - now, 0.0) if end < math.inf else self._rule.first

    def _serves_again(self, backend: int) -> bool:
        """Record service after refusals; returns whether that changed the limit."""
        self.phantoms.served(backend)
        pressure = self.limits.pressure
        self._refuses[backend] = pressure.is_opening(backend)
        return pressure.served(backend, self._workloads[backend])

    def _gone(self, backend: int, now: float) -> list[int]:
        """Return the backends to offer requests to after one has gone: shares of others may rise.

        The one that has gone stands for those beside it: offers go by frontend.
        """
        return [backend, *self._restore(backend, now)]

    def _come_back(self, backend: int, now: float) -> list[int]:
        self.limits.start_slowly(backend)
        self.count(backend)
        return [backend, *self._restore(backend, now)]

    def _note(self, backend: int, text: str, event: str, grave: bool = False) -> None:
        self.notices.append(Notice(backend, text, grave, event))

    def _eject(self, backend: int, now: float, reason: str) -> None:
        self.ejections.eject(backend, now)
        length = self.ejections.records[backend].length
        self._note(backend, f"ejected for {length:g} s: {reason}", "backend.ejected", grave=True)
        self.comparison.forget(backend)
        self.candidates.set(self.candidates.ejected, backend, True)

    def _add_phantom(self, backend: int, sent: float, now: float) -> None:
        """Count a request sent at `sent`, s, and not served as a job for policies."""
        self._refuses[backend] = True
        jobs = max(self._workloads[backend], 1)
        rate = float(self._curves[backend].rate(jobs))
        self.phantoms.refused(backend, sent, now, jobs / rate if rate > 0.0 else math.inf)

    def _readmit(self, backend: int, now: float, reason: str) -> None:
        self.ejections.readmit(backend, now)
        self._note(backend, f"let in again: {reason}", "backend.readmitted")
        self.candidates.set(self.candidates.ejected, backend, False)
        self.limits.start_slowly(backend)
        self.count(backend)

    def _restore(self, changed: int, now: float) -> list[int]:
        """End ejections early until each frontend of this backend has enough backends."""
        came = []
        for frontend in self.candidates.frontends_of[changed]:
            while self._usable(frontend) < self._least(frontend):
                came.append(self._first_out(frontend))
                self._readmit(came[-1], now, "too few others are in service")
        return came

    def _first_out(self, frontend: int) -> int:
        """Return the ejected backend in service whose ejection ends first."""
        seen = self.candidates
        out = [b for b in seen.backends_of(frontend) if seen.in_service(b) and seen.ejected[b]]
        return min(out, key=lambda backend: self.ejections.records[backend].until)

    def _can_spare(self, backend: int) -> bool:
        return self.candidates.usable(backend) and all(
            self._usable(f) > self._least(f) for f in self.candidates.frontends_of[backend]
        )

    def _usable(self, frontend: int) -> int:
        return sum(map(self.candidates.usable, self.candidates.backends_of(frontend)))

    def _least(self, frontend: int) -> int:
        """Least number of backends in service; 0 if there are none."""
        serving = sum(map(self.candidates.in_service, self.candidates.backends_of(frontend)))
        return min(max(math.ceil(self._rule.floor * serving), 1), serving)
