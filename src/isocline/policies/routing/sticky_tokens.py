"""Sticky until saturated: with backends that have the prompt cached, unless they are far behind.

`prefix-cache-affinity-filter` and `token-load-scorer` of llm-d (llm-d/llm-d-router, since August
2026). A backend is warm if it has at least the share `affinity` of the prompt cached. Only warm
backends are considered, unless the best of them is predicted to take `penalty` seconds longer to
its first token than the best of the others; the prediction is tokens in flight over a peak prefill
throughput that is the same for all. Of those considered the one with the fewest tokens is taken: in
flight, and of this prompt not cached.

Where all jobs are alike no backend is warm: fewest jobs. Draws: one per tie. Memory: none.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import inlinable, value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    PROMPT,
    UNCACHED,
    UNREAD,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.policies.routing.picks import challenge, tokens_to_read

AFFINITY, PENALTY, THROUGHPUT = 0, 1, 2  # options


@inlinable
def is_warm(view: View, edge: int) -> bool:
    """Whether the backend at the end of an edge has enough of the prompt cached."""
    if view.work.shape[0] == 0:
        return False
    cached = view.job[PROMPT] - view.work[edge, UNCACHED]
    return cached > 0.0 and cached >= view.option[AFFINITY] * view.job[PROMPT]  # type: ignore[no-any-return]


@value_as(CHOOSE)
def warm_or_least(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The candidate with the fewest tokens among the warm, or among all."""
    warm, cold = np.inf, np.inf  # tokens in flight at the best of either kind
    for edge in candidates:
        if is_warm(view, edge):
            warm = min(warm, view.tokens[view.backend[edge], UNREAD])
        elif view.work.shape[0] > 0:
            cold = min(cold, view.tokens[view.backend[edge], UNREAD])
    sticks = warm < np.inf and warm - cold <= view.option[PENALTY] * view.option[THROUGHPUT]
    best, lowest, tied = candidates[0], np.inf, 0
    for edge in candidates:
        if sticks and not is_warm(view, edge):
            continue
        value = float(view.workload[view.backend[edge]])
        if view.work.shape[0] > 0:
            value = tokens_to_read(view, edge)
        taken, tied = challenge(value, lowest, tied, rng)
        if taken:
            best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class StickyTokens(RoutingPolicy):
    """Warm backends until `penalty` s behind at `throughput` tokens/s; of these, fewest tokens."""

    name: ClassVar[str] = "sticky_tokens"
    choose = warm_or_least
    reads_tokens: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True
    affinity: float = 0.8
    penalty: float = 18.0
    throughput: float = 15928.0

    def __post_init__(self) -> None:
        if not 0 < self.affinity <= 1:
            raise PolicyError(
                f"sticky_tokens:affinity={self.affinity:g}: affinity is a share above 0, up to 1"
            )
        for name, value in (("penalty", self.penalty), ("throughput", self.throughput)):
            if not (math.isfinite(value) and value > 0):
                raise PolicyError(f"sticky_tokens:{name}={value:g}: {name} is a number above 0")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def option(self) -> FloatArray:
        return np.array([self.affinity, self.penalty, self.throughput])
