"""Smooth weighted round robin, as in nginx: in proportion to capacity, spread out in time.

Every candidate gains its weight in credit, the richest is taken and pays the total. Draws: none.
Memory: the credit of each edge.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)


@value_as(CHOOSE)
def choose_richest(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The candidate with most credit."""
    best = candidates[0]
    total = 0.0
    for i in range(candidates.size):
        edge = candidates[i]
        view.memory[edge, 0] += view.parameter[edge, 0]
        total += view.parameter[edge, 0]
        if view.memory[edge, 0] > view.memory[best, 0]:
            best = edge
    view.memory[best, 0] -= total
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class WeightedRoundRobin(RoutingPolicy):
    """In turn, each backend as often as its share of the capacity."""

    name: ClassVar[str] = "weighted_round_robin"
    choose = choose_richest

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        return setting.capacities[setting.graph.sink][:, None].copy()

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, 1))

    def shares(self, setting: Setting) -> FloatArray:
        weight = setting.capacities[setting.graph.sink]
        total = np.add.reduceat(weight, setting.graph.first[:-1])
        return weight / total[setting.graph.source]
