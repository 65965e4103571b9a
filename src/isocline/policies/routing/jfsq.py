"""Join the fastest of the shortest queues: fewest jobs, and among equals the largest capacity.

W. Weng, X. Zhou, R. Srikant, Proc. ACM SIGMETRICS 4(2), 2020: asymptotically optimal on bipartite
graphs when servers differ in speed but work one job at a time. Draws: one per tie. Memory: none.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.policies.routing.picks import counted_jobs, least, rules


@final
@dataclass(frozen=True)
class Jfsq(RoutingPolicy):
    """Least N; ties go to the fastest, then by the tie rule."""

    name: ClassVar[str] = "jfsq"
    choose = least
    ties: str = "random"
    count: str = "all"

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        speed = np.array([curve.supremum for curve in setting.curves])
        handicap = 0.5 * (1.0 - speed / speed.max())  # below 1, so that it decides ties only
        jobs = counted_jobs(self.name, self.count, setting, workloads)
        return np.asarray(jobs + handicap[:, None])

    def option(self) -> FloatArray:
        return rules(self.name, self.ties)
