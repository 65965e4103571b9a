"""Least expected latency: to the backend where the job would be done soonest.

With the job the backend holds N + 1 and each is served at l(N + 1) / (N + 1). What a selfish
frontend does; GMSR paper, Appendix A (Pigou) shows how far from the optimum it can end.
Draws: one per tie. Memory: none.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.policies.routing.picks import least, rules


@final
@dataclass(frozen=True)
class LeastExpectedLatency(RoutingPolicy):
    """Least (N + 1) / l(N + 1), with the true curves."""

    name: ClassVar[str] = "least_expected_latency"
    choose = least
    ties: str = "random"

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        joined = workloads + 1.0
        return np.array([joined / curve.rate(joined) for curve in setting.curves])

    def option(self) -> FloatArray:
        return rules(self.name, self.ties, prices=True)
