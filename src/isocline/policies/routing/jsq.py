"""Join the shortest queue, alias least connections: to the backend with the fewest jobs.

W. Winston, J. Appl. Probab. 14(1), 1977: optimal for identical exponential servers; blind to how
fast a backend is. Draws: one per tie. Memory: none.
"""

from dataclasses import dataclass
from typing import ClassVar, final

from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.policies.routing.picks import counted_jobs, least, rules


@final
@dataclass(frozen=True)
class Jsq(RoutingPolicy):
    """Least N; `count=waiting` leaves out the jobs in service (servers curves only)."""

    name: ClassVar[str] = "jsq"
    choose = least
    ties: str = "random"
    count: str = "all"

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return counted_jobs(self.name, self.count, setting, workloads)

    def option(self) -> FloatArray:
        return rules(self.name, self.ties)
