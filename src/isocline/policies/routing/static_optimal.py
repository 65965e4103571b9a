"""Static optimal: each job at random, with the probabilities of the plan's split.

The best policy that looks at no workload when arrival rates are known (Eq. (1) of the GMSR paper);
what it lacks against the bound is the price of not looking. Where more comes than can be served, as
a trace or jobs with patience allow, it takes the split of the plan for 0.99 of what can be served.
Draws: one. Memory: none.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.randomness.draws import uniform


@value_as(CHOOSE)
def choose_by_split(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """A candidate with probability proportional to its planned rate."""
    total = 0.0
    for i in range(candidates.size):
        total += view.parameter[candidates[i], 0]
    left = uniform(rng) * total
    for i in range(candidates.size):
        left -= view.parameter[candidates[i], 0]
        if left < 0.0:
            return candidates[i]  # type: ignore[no-any-return]
    return candidates[candidates.size - 1]  # type: ignore[no-any-return]  # rounding


@final
@dataclass(frozen=True)
class StaticOptimal(RoutingPolicy):
    """Random by the optimal split; needs the arrival rates."""

    name: ClassVar[str] = "static_optimal"
    choose = choose_by_split

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        if isinstance(setting.split, str):
            raise PolicyError(f"static_optimal: there is no plan to follow: {setting.split}")
        first, source = setting.graph.first, setting.graph.source
        # The plan sends nothing of a frontend at rate 0; what comes all the same is split evenly.
        sent = np.add.reduceat(setting.split, first[:-1])
        return np.where(sent[source] > 0.0, setting.split, 1.0)[:, None]

    def shares(self, setting: Setting) -> FloatArray:
        weight = self.parameter(setting)[:, 0]
        total = np.add.reduceat(weight, setting.graph.first[:-1])
        return weight / total[setting.graph.source]
