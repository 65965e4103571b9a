"""LMetric: the least product of tokens still to be read and requests in flight.

D. Zhang et al., *LMetric: Simple is Better - Multiplication May Be All You Need for LLM Request
Scheduling*, arXiv 2603.15202, 2026: new prefill tokens, those already queued there and those of
this prompt that are not cached, times the batch size. The job itself counts in both, as in AIBrix's
version of it, or an idle backend would have the score 0 whatever it has cached.

Where all jobs are alike and nothing is cached, both factors grow with the workload alone: fewest
jobs. Draws: one per tie. Memory: none.
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
from isocline.policies.routing.picks import challenge, tokens_to_read


@value_as(CHOOSE)
def least_product(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The candidate with the least product."""
    best, lowest, tied = candidates[0], np.inf, 0
    for edge in candidates:
        batch = view.workload[view.backend[edge]] + 1.0
        tokens = batch
        if view.work.shape[0] > 0:
            tokens = tokens_to_read(view, edge)
        value = tokens * batch
        taken, tied = challenge(value, lowest, tied, rng)
        if taken:
            best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class Lmetric(RoutingPolicy):
    """Least (tokens to be read there, this prompt's included) x (N + 1)."""

    name: ClassVar[str] = "lmetric"
    choose = least_product
    reads_tokens: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)
