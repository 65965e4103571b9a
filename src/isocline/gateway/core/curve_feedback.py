"""Observations of a core for the learner of service curves.

Events are buffered in a list and passed on in one compiled call, at a tenth of the cost of a call
each.

**Other routers.** A backend that holds N jobs, H of them this router's, serves each alike, so of
its completions, l(N) in a second, a share of H / N is ours. The time counted at N is therefore
(H / N) dt instead of dt, and completions over time is l(N) again, independent of the others.

**Undone.** A request that leaves before its backend has done it (its client goes, the response
breaks off) is served like another router's: it counts among the N, but not among the H. That is
known only once it leaves, so its share of the time is then taken back.

**Work.** With a measure of work the learner counts, and learns, units of work per second; the
curves that policies get are those over the mean work of a request (`request_cost`).
"""

import math
from collections.abc import Iterable, Mapping
from typing import final

import numpy as np

from isocline.gateway.core.backend_load import Workloads
from isocline.gateway.core.candidates import NO_LIMIT
from isocline.gateway.core.notices import Notice
from isocline.gateway.core.request import Request
from isocline.gateway.core.request_cost import Measure, Usage
from isocline.learn import Learner
from isocline.learn.observed import UNDONE, count_rows
from isocline.learn.occupancy import seen
from isocline.model.curves import TableCurve

# A fit takes about 1 ms and is wanted after the first few completions.
BETWEEN_FITS = 0.25  # s
# Between two events of one backend, at least.
RESOLUTION = 1e-6  # s
# 50 us in one pass.
MOST_KEPT = 512
# Beyond it the learner's own grid of workloads ends.
LARGEST = 1 << 20
# All curves are passed on anew when the mean work of a request has changed so much: none is better
# off by that, only what is in jobs/s.
MOVED = 0.05


@final
class CurveFeedback:
    """One learner, and the events that it has not received yet.

    Attributes:
        measure: Measure of the work of requests; None: each is one.
    """

    def __init__(self, learner: Learner, measure: Measure | None = None):
        self.learner = learner
        self.measure = measure
        self.next_fit = -math.inf  # s
        self._began: float | None = None  # s, when the learner's clock did
        self._until = [0.0] * learner.backends  # s of that clock, the last event of each
        self._events: list[tuple[int, int, float, float, float, float]] = []
        self._flushed = 0  # events that the learner knows
        self._largest = 0
        self._frozen: set[int] = set()  # backends
        self._noted = 0  # changes of which there was a notice
        self._mean = self.mean_work  # of the curves passed on last

    @property
    def mean_work(self) -> float:
        """Mean work of a request, in the learner's unit."""
        return self.measure.mix.mean if self.measure else 1.0

    def work(self, request: Request, now: float, usage: Usage | None) -> float:
        """Work that the completion of a request counts for; 0 for none."""
        if self.measure is None:
            return 1.0
        seconds = max(now - request.sent, RESOLUTION)
        return self.measure.work(request.frontend, request.backend, seconds, usage)

    def passed(
        self,
        backend: int,
        jobs: int,
        own: int,
        now: float,
        work: float = 0.0,
        sent: float | None = None,
    ) -> None:
        """Record that a backend held `jobs`, `own` of them ours, until now, when one may be done.

        `sent` is the time at which that one was sent, s; None: unknown.
        """
        if self._began is None:
            self._began = now
        # Clocks are coarse, and completions in no time would be an infinite rate.
        sent = now if sent is None else sent
        stay = max(now - sent, 0.0)
        now = max(now - self._began, self._until[backend] + RESOLUTION)
        self._until[backend] = now
        worth = self.measure.mix.evidence if self.measure else 1.0
        share = worth * own / max(jobs, 1)
        self._events.append((backend, jobs, now, share, worth * work, now - stay))
        self._largest = max(self._largest, jobs)
        if len(self._events) >= MOST_KEPT:
            self.flush()

    @property
    def count(self) -> int:
        """Number of events so far."""
        return self._flushed + len(self._events)

    def undone(self, backend: int, now: float, sent: float) -> None:
        """Record that a request sent at `sent`, s, has left before the backend finished it."""
        if self._began is None:
            return
        stay = max(now - sent, 0.0)
        now = max(now - self._began, self._until[backend])
        worth = self.measure.mix.evidence if self.measure else 1.0
        self._events.append((backend, UNDONE, now, worth, 0.0, now - stay))

    def retract(self, backend: int, since: int, now: float, sent: float) -> None:
        """Withdraw a request that was not served: its presence, `since` events ago, did not count.

        Times would not tell: events of one instant are set RESOLUTION apart, and `count` orders
        them. Events that the learner has already received, up to BETWEEN_FITS ago, are not
        corrected: a request refused so late has kept the backend busy, and counts as undone.
        """
        if since < self._flushed:
            self.undone(backend, now, sent)
            return
        worth = self.measure.mix.evidence if self.measure else 1.0
        for i in range(since - self._flushed, len(self._events)):
            who, jobs, until, share, work, start = self._events[i]
            if who == backend and jobs > 0:
                own = max(share * jobs - worth, 0.0) / max(jobs - 1, 1)
                self._events[i] = who, jobs - 1, until, own, work, start

    def freeze(self, backend: int, frozen: bool) -> None:
        """Keep a backend's curve as it is, and observe nothing of it, or go on learning."""
        if frozen != (backend in self._frozen):
            self.flush()  # what came before counts as it would have
            self._frozen ^= {backend}
            self.learner.freeze(backend, frozen)

    def is_frozen(self, backend: int) -> bool:
        """Whether a backend's curve is kept as it is."""
        return backend in self._frozen

    def flush(self) -> None:
        """Pass the buffered events to the learner."""
        if self._events:
            self.learner.reserve(min(self._largest, LARGEST))
            events = np.array(self._events)
            if self._frozen:  # time passes there, of which nothing counts
                events[np.isin(events[:, 0], list(self._frozen)), 3:5] = 0.0
            count_rows(self.learner.observed, events)
            self._flushed += len(self._events)
            self._events.clear()

    def curve(self, backend: int) -> TableCurve:
        """Curve of a backend as known, jobs/s."""
        return self._per_job(self.learner.curve(backend))

    def counts(self, backend: int) -> dict[int, tuple[float, float]]:
        """Completions and time (s) seen at each workload held; their ratio is in jobs/s."""
        self.flush()
        occupied = self.learner.observed.occupied
        done, seconds = seen(occupied, backend, float(occupied.since[backend]))
        held = np.flatnonzero(seconds)
        times = seconds[held] * self._mean
        return dict(
            zip(held.tolist(), zip(done[held].tolist(), times.tolist(), strict=True), strict=True)
        )

    def peak(self, backend: int) -> int:
        """Workload beyond which measured rates fall; NO_LIMIT if they do not."""
        cut = self.learner.fitted(backend).cut
        return NO_LIMIT if cut is None else max(cut, 1)

    def curves(self) -> Mapping[int, TableCurve]:
        """Curves for policies, jobs/s, of all backends."""
        self._mean = self.mean_work
        return self._optimistic(range(self.learner.backends))

    def fit(self, now: float, workloads: Workloads) -> Mapping[int, TableCurve]:
        """Fit again; returns the changed curves, by backend."""
        self.next_fit = now + BETWEEN_FITS
        self.flush()
        fitted: list[int] = []
        if self.learner.due:
            held = [workloads[b] for b in range(self.learner.backends)]
            # The learner has all of the time that counts: at 0, long past, it adds none.
            fitted = self.learner.update(0.0, held)
        if abs(self.mean_work - self._mean) > MOVED * self._mean:
            return self.curves()
        return self._optimistic(fitted)

    def take_notices(self) -> list[Notice]:
        """Return the backends whose speed was found to have changed, each change once."""
        new = self.learner.changes[self._noted :]
        self._noted = len(self.learner.changes)
        text = "it serves at {:.2g} of the speed that was learned; its curve is learned anew"
        return [
            Notice(change.backend, text.format(change.speed), event="backend.speed_changed")
            for change in new
        ]

    def _optimistic(self, backends: Iterable[int]) -> Mapping[int, TableCurve]:
        return {b: self._per_job(self.learner.optimistic(b)) for b in backends}

    def _per_job(self, curve: TableCurve) -> TableCurve:
        # One mean for all, as they are compared: that at which they were passed on.
        return curve if self._mean == 1.0 else curve.scaled(1.0 / self._mean)
