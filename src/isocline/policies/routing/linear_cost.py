"""Linear cost: the least weighted sum of tokens still to be read and tokens held.

The KV router of NVIDIA Dynamo (ai-dynamo/dynamo, documentation of the KV router, 2026):
`overlap_score_weight` x prefill blocks, those already queued there and those of this prompt that
are not cached, + active blocks. Tokens stand for blocks, which changes the unit alone. Its
temperature, 0 by default, is left out: at 0 the least cost is taken.

Where all jobs are alike and nothing is cached, both terms grow with the workload alone: fewest
jobs. Draws: one per tie. Memory: none.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    HELD,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.policies.routing.picks import challenge, tokens_to_read


@value_as(CHOOSE)
def least_sum(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The candidate with the least sum."""
    best, lowest, tied = candidates[0], np.inf, 0
    for edge in candidates:
        backend = view.backend[edge]
        value = float(view.workload[backend])
        if view.work.shape[0] > 0:
            value = view.option[0] * tokens_to_read(view, edge) + view.tokens[backend, HELD]
        taken, tied = challenge(value, lowest, tied, rng)
        if taken:
            best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class LinearCost(RoutingPolicy):
    """Least `weight` x (tokens to be read there, this prompt's included) + tokens held there."""

    name: ClassVar[str] = "linear_cost"
    choose = least_sum
    reads_tokens: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise PolicyError(f"linear_cost:weight={self.weight:g}: weight is a number, 0 or more")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def option(self) -> FloatArray:
        return np.array([self.weight])
