"""Weighted least connections: the fewest jobs per unit of capacity.

As in Envoy and LVS (`sed`): the joining job counts, so that of two idle backends the faster one is
taken. Weights are the true capacities. `join=false` leaves it out, as nginx does.
Draws: one per tie. Memory: none.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.policies.routing.picks import least, rules


@final
@dataclass(frozen=True)
class WeightedLeastConnections(RoutingPolicy):
    """Least (N + 1) / capacity."""

    name: ClassVar[str] = "weighted_least_connections"
    choose = least
    join: bool = True
    ties: str = "random"

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        counted = workloads + float(self.join)
        return np.array([counted / curve.supremum for curve in setting.curves])

    def option(self) -> FloatArray:
        return rules(self.name, self.ties)
