"""What a core teaches a learner of service curves.

Events are kept in a list and told in one compiled pass, which makes each cost a tenth of a call.

**Other routers.** A backend that holds N jobs, H of them this router's, serves each alike, so of
its completions, l(N) in a second, a share of H / N comes to us. The time that we count at N is
therefore not dt but (H / N) dt, and completions over time is l(N) again, whoever sent the rest. The
learner is given that time in place of the clock's, for each backend on its own: half-lives in
seconds count it, too.
"""

import math
from collections.abc import Mapping
from typing import Any, final

import numpy as np

from isocline.compiled import kernel
from isocline.gateway.workload import Workloads
from isocline.learn import Learner
from isocline.learn.observed import Observed, leave
from isocline.model.curves import TableCurve

# A fit takes about 1 ms and is wanted after the first few completions.
BETWEEN_FITS = 0.25  # s
# Between two events of one backend, at least.
RESOLUTION = 1e-6  # s
# 50 us in one pass.
MOST_KEPT = 512
# Beyond it the learner's own grid of workloads ends.
LARGEST = 1 << 20


@final
class Lessons:
    """One learner, and the events that it has yet to be told."""

    def __init__(self, learner: Learner):
        self.learner = learner
        self.next_fit = -math.inf  # s
        self._share_seconds = [0.0] * learner.backends  # s at H / N
        self._until = [0.0] * learner.backends  # s, up to when that is known; empty until then
        self._events: list[tuple[int, int, float, bool]] = []
        self._largest = 0

    def passed(self, backend: int, jobs: int, own: int, now: float, completed: bool) -> None:
        """A backend held `jobs`, `own` of them ours, until now, when one of ours may be done."""
        since = self._until[backend]
        # Clocks are coarse, and completions in no time would be an infinite rate.
        now = max(now, since + RESOLUTION)
        self._until[backend] = now
        if jobs:
            self._share_seconds[backend] += (now - since) * own / jobs
        self._events.append((backend, jobs, self._share_seconds[backend], completed))
        self._largest = max(self._largest, jobs)
        if len(self._events) >= MOST_KEPT:
            self.tell()

    def tell(self) -> None:
        """Tell the learner what was kept."""
        if self._events:
            self.learner.reserve(min(self._largest, LARGEST))
            _tell(self.learner.observed, np.array(self._events))
            self._events.clear()

    def curves(self) -> Mapping[int, TableCurve]:
        """What a policy should go by, of all backends."""
        return {b: self.learner.optimistic(b) for b in range(self.learner.backends)}

    def fit(self, now: float, workloads: Workloads) -> Mapping[int, TableCurve]:
        """The same of those backends whose curves have changed."""
        self.next_fit = now + BETWEEN_FITS
        self.tell()
        if not self.learner.due:
            return {}
        held = [workloads[b] for b in range(self.learner.backends)]
        # The learner has been told all of the time that counts: at 0, long past, it adds none.
        return {b: self.learner.optimistic(b) for b in self.learner.update(0.0, held)}


@kernel
def _tell(observed: Observed, events: Any) -> None:
    """Events as rows: backend, workload, time, whether a job was completed."""
    for i in range(events.shape[0]):
        workload = min(int(events[i, 1]), observed.occupied.seconds.shape[1] - 1)
        leave(observed, int(events[i, 0]), workload, events[i, 2], events[i, 3] > 0.0)
