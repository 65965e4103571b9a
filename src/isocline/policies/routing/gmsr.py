"""Greatest Marginal Service Rate: to the backend whose rate grows most with one more job.

GMSR paper, Section 4, Eq. (2): argmax l'_b(N_b) at the workload before the job joins. Knows no
arrival rates and needs no word from other frontends, and yet the fluid limit converges to the
central optimum (Theorem 2). Draws: one per tie. Memory: none.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting, require_one_of
from isocline.policies.routing.picks import least, tie_rule


@final
@dataclass(frozen=True)
class Gmsr(RoutingPolicy):
    """Least price 1 / l'(N); `gradient=difference` takes l(N + 1) - l(N) in place of l'(N)."""

    name: ClassVar[str] = "gmsr"
    choose = least
    gradient: str = "derivative"
    ties: str = "random"

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        require_one_of(self.name, "gradient", self.gradient, ("derivative", "difference"))
        derivative = self.gradient == "derivative"
        gains = [
            c.marginal(workloads) if derivative else c.difference(workloads) for c in setting.curves
        ]
        # Past the peak of a table one more job adds nothing, and far out too little for a double.
        with np.errstate(divide="ignore", over="ignore"):
            return 1.0 / np.array(gains)

    def option(self) -> FloatArray:
        return tie_rule(self.name, self.ties)
