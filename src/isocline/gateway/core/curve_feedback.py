"""Observations of a core for the learner of service curves.

Events are kept in a list and told in one compiled pass, which makes each cost a tenth of a call.

**Other routers.** A backend that holds N jobs, H of them this router's, serves each alike, so of
its completions, l(N) in a second, a share of H / N comes to us. The time that we count at N is
therefore not dt but (H / N) dt, and completions over time is l(N) again, whoever sent the rest.

**Undone.** A request that leaves before its backend has done it (its client goes, the response
breaks off) is served like another router's: it counts among the N, but not among the H. That is
known only once it leaves, so its share of the time is then taken back.

**Work.** With a measure of work the learner counts, and learns, units of work per second; the
curves that policies get are those over the mean work of a request (`gateway.work`).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, final

import numpy as np

from isocline.compiled import kernel
from isocline.gateway.core.backend_load import Workloads
from isocline.gateway.core.candidates import NO_LIMIT
from isocline.gateway.core.notices import Notice
from isocline.gateway.core.request import Request
from isocline.gateway.core.request_cost import Measure, Usage
from isocline.learn import Learner
from isocline.learn.observed import Observed, count, withdraw
from isocline.learn.occupancy import counted
from isocline.model.curves import TableCurve

# A fit takes about 1 ms and is wanted after the first few completions.
BETWEEN_FITS = 0.25  # s
# Between two events of one backend, at least.
RESOLUTION = 1e-6  # s
# In place of a workload: a request leaves undone.
UNDONE = -1
# 50 us in one pass.
MOST_KEPT = 512
# Beyond it the learner's own grid of workloads ends.
LARGEST = 1 << 20
# All curves are told anew when the mean work of a request has changed by so much: none is better
# off by that, only what is in jobs/s.
MOVED = 0.05


@final
class CurveFeedback:
    """One learner, and the events that it has yet to be told.

    Attributes:
        measure: Of the work of requests; None: each is one.
    """

    def __init__(self, learner: Learner, measure: Measure | None = None):
        self.learner = learner
        self.measure = measure
        self.next_fit = -math.inf  # s
        self._began: float | None = None  # s, when the learner's clock did
        self._until = [0.0] * learner.backends  # s of that clock, the last event of each
        self._events: list[tuple[int, int, float, float, float, float]] = []
        self._told = 0  # events that the learner knows
        self._largest = 0
        self._noted = 0  # changes of which there was a notice
        self._mean = self.mean_work  # of the curves that were told

    @property
    def mean_work(self) -> float:
        """Of a request, in what the learner counts."""
        return self.measure.mix.mean if self.measure else 1.0

    def work(self, request: Request, now: float, usage: Usage | None) -> float:
        """What the completion of a request counts for; 0 for none."""
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
        """A backend held `jobs`, `own` of them ours, until now, when one of ours may be done.

        That one was sent there at `sent`, s; None: it is not known when.
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
            self.tell()

    @property
    def count(self) -> int:
        """Events ever."""
        return self._told + len(self._events)

    def undone(self, backend: int, now: float, sent: float) -> None:
        """A request sent there at `sent`, s, has left, and the backend has not done it."""
        if self._began is None:
            return
        stay = max(now - sent, 0.0)
        now = max(now - self._began, self._until[backend])
        worth = self.measure.mix.evidence if self.measure else 1.0
        self._events.append((backend, UNDONE, now, worth, 0.0, now - stay))

    def retract(self, backend: int, since: int, now: float, sent: float) -> None:
        """A request sent after `since` events was not served: it did not count among the jobs.

        Times would not tell: events of one instant are set RESOLUTION apart, and `count` orders
        them. Of what the learner was told already, up to BETWEEN_FITS ago, N is not taken back: a
        request that was refused so late has kept the backend busy, and leaves it undone.
        """
        if since < self._told:
            self.undone(backend, now, sent)
            return
        worth = self.measure.mix.evidence if self.measure else 1.0
        for i in range(since - self._told, len(self._events)):
            who, jobs, until, share, work, start = self._events[i]
            if who == backend and jobs > 0:
                own = max(share * jobs - worth, 0.0) / max(jobs - 1, 1)
                self._events[i] = who, jobs - 1, until, own, work, start

    def tell(self) -> None:
        """Tell the learner what was kept."""
        if self._events:
            self.learner.reserve(min(self._largest, LARGEST))
            _tell(self.learner.observed, np.array(self._events))
            self._told += len(self._events)
            self._events.clear()

    def curve(self, backend: int) -> TableCurve:
        """What is known of a backend, jobs/s."""
        return self._per_job(self.learner.curve(backend))

    def counts(self, backend: int) -> dict[int, tuple[float, float]]:
        """At each workload held (completions, time, s) whose ratio is in jobs/s."""
        self.tell()
        occupied = self.learner.observed.occupied
        done, seconds = counted(occupied, backend, float(occupied.since[backend]))
        held = np.flatnonzero(seconds)
        times = seconds[held] * self._mean
        return dict(
            zip(held.tolist(), zip(done[held].tolist(), times.tolist(), strict=True), strict=True)
        )

    def peak(self, backend: int) -> int:
        """The workload beyond which rates were measured to fall; NO_LIMIT if they were not."""
        cut = self.learner.fitted(backend).cut
        return NO_LIMIT if cut is None else max(cut, 1)

    def curves(self) -> Mapping[int, TableCurve]:
        """What a policy should go by, jobs/s, of all backends."""
        self._mean = self.mean_work
        return self._optimistic(range(self.learner.backends))

    def fit(self, now: float, workloads: Workloads) -> Mapping[int, TableCurve]:
        """The same of those backends whose curves have changed."""
        self.next_fit = now + BETWEEN_FITS
        self.tell()
        fitted: list[int] = []
        if self.learner.due:
            held = [workloads[b] for b in range(self.learner.backends)]
            # The learner has been told all of the time that counts: at 0, long past, it adds none.
            fitted = self.learner.update(0.0, held)
        if abs(self.mean_work - self._mean) > MOVED * self._mean:
            return self.curves()
        return self._optimistic(fitted)

    def take_notices(self) -> list[Notice]:
        """Backends found to serve at another speed than before, each change once."""
        new = self.learner.changes[self._noted :]
        self._noted = len(self.learner.changes)
        text = "it serves at {:.2g} of the speed that was learned; its curve is learned anew"
        return [Notice(change.backend, text.format(change.speed)) for change in new]

    def _optimistic(self, backends: Iterable[int]) -> Mapping[int, TableCurve]:
        return {b: self._per_job(self.learner.optimistic(b)) for b in backends}

    def _per_job(self, curve: TableCurve) -> TableCurve:
        # One mean for all, as they are compared: that at which they were told.
        return curve if self._mean == 1.0 else curve.scaled(1.0 / self._mean)


@kernel
def _tell(observed: Observed, events: Any) -> None:
    """Events as rows: backend, workload, time, what of it counts, what a completion does, start."""
    for i in range(events.shape[0]):
        if events[i, 1] == UNDONE:
            withdraw(observed, int(events[i, 0]), events[i, 5], events[i, 3])
            continue
        workload = min(int(events[i, 1]), observed.occupied.seconds.shape[1] - 1)
        backend = int(events[i, 0])
        count(observed, backend, workload, events[i, 2], events[i, 3], events[i, 4], events[i, 5])
