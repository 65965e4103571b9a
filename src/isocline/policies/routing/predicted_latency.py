"""Predicted latency, by an oracle: the latency of this very job at true curves and true work.

The predicted-latency routing of llm-d (`latency-scorer`, llm-d/llm-d-router, 2026), with a perfect
predictor in place of a learned one. Without a target the least latency is taken. With a target,
`slo`, of those that would meet it the one that comes nearest to it, which is its default (`least`
headroom), and where none would, the least latency. The work of this job and the jobs that are there
now count, not those that may come: a selfish choice.

Where all jobs are alike, and without a target, it is `least_expected_latency`. Draws: one per tie.
Memory: none.
"""

import math
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
)
from isocline.policies.routing.least_expected_latency import LeastExpectedLatency
from isocline.policies.routing.picks import challenge, cost

SLO = 2  # option; 0 and 1 are those of `picks`


@value_as(CHOOSE)
def nearest_to_target(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The longest latency within the target, or the shortest of all."""
    best, lowest, tied = candidates[0], np.inf, 0
    for edge in candidates:
        latency = cost(view, edge)
        # All within the target come before all beyond it.
        value = -latency if latency <= view.option[SLO] else latency
        taken, tied = challenge(value, lowest, tied, rng)
        if taken:
            best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class PredictedLatency(RoutingPolicy):
    """Least latency of this job, or the longest within `slo` (s; 0 is no target)."""

    name: ClassVar[str] = "predicted_latency"
    choose = nearest_to_target
    shares_kernel: ClassVar[bool] = True
    slo: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slo) and self.slo >= 0):
            raise PolicyError(f"predicted_latency:slo={self.slo:g}: slo is a time in s, 0 or more")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return LeastExpectedLatency().table(setting, workloads)

    def option(self) -> FloatArray:
        return np.append(LeastExpectedLatency().option(), self.slo)
