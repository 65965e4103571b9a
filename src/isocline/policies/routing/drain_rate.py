"""Drain rate: the fewest jobs over the rate at which the backend has been seen to finish them.

`load-balance` of AIBrix (vllm-project/aibrix, pkg/plugins/gateway/algorithms/load_balance.md,
2026): running requests over a smoothed rate of completions, which it counts in output tokens; a
window without completions says nothing and leaves the estimate as it is; a backend that is not yet
known counts as the mean of the known. So a lightly used backend looks slow: the rate is that of
what it was sent. AIBrix slides a window of a minute each second and smooths with 10 s; here one
window follows another. Its factor for full KV memory is left out: policies do not know of that
memory here.

Draws: one per tie. Memory per edge: estimate, completions in the window, its beginning.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    OBSERVE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.policies.routing.picks import challenge

RATE, COUNT, SINCE = 0, 1, 2
WINDOW, SMOOTHING = 0, 1  # options


@value_as(CHOOSE)
def soonest_drained(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The candidate with the fewest jobs over its drain rate."""
    total, known = 0.0, 0
    for edge in candidates:
        total += view.memory[edge, RATE]
        known += view.memory[edge, RATE] > 0.0
    mean = total / known if known > 0 else 1.0
    best, lowest, tied = candidates[0], np.inf, 0
    for edge in candidates:
        rate = view.memory[edge, RATE] if view.memory[edge, RATE] > 0.0 else mean
        value = view.workload[view.backend[edge]] / rate
        taken, tied = challenge(value, lowest, tied, rng)
        if taken:
            best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@value_as(OBSERVE)
def count(edge: int, latency: float, now: float, view: View) -> None:  # noqa: ARG001
    """Count a completion; at the end of a window with any, bring the estimate up to date."""
    own = view.memory[edge]
    own[COUNT] += 1.0
    passed = now - own[SINCE]
    if passed < view.option[WINDOW]:
        return
    seen = own[COUNT] / passed
    weight = 1.0 if own[RATE] == 0.0 else -math.expm1(-passed / view.option[SMOOTHING])
    own[RATE] += weight * (seen - own[RATE])
    own[COUNT], own[SINCE] = 0.0, now


@final
@dataclass(frozen=True)
class DrainRate(RoutingPolicy):
    """Least N over completions/s, of windows of `window` s, smoothed over `smoothing` s."""

    name: ClassVar[str] = "drain_rate"
    choose = soonest_drained
    observe = count
    needs_latency: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True
    window: float = 60.0
    smoothing: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("smoothing", self.smoothing)):
            if not (math.isfinite(value) and value > 0):
                raise PolicyError(
                    f"drain_rate:{name}={value:g}: {name} is a time in seconds above 0"
                )

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, 3))

    def option(self) -> FloatArray:
        return np.array([self.window, self.smoothing])
