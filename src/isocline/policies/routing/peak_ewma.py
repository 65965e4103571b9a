"""Peak EWMA: the least latency seen lately, times the jobs outstanding, of a random pair.

As in Finagle and Linkerd: a latency above the average is believed at once, one below it fades in
with time constant `tau`, and an edge not yet measured costs nothing until it is used. Draws: two.
Memory: average latency and time of the last one, per edge.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import inlinable, value_as
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
from isocline.randomness.draws import below

LATENCY, STAMP = 0, 1
# Finagle's penalty: an edge with jobs out and no latency yet must look worse than any measured one.
UNKNOWN = 1e9


@inlinable
def cost(view: View, edge: int, now: float) -> float:
    """Expected latency of one more job: faded average times the jobs it would share with."""
    jobs = view.workload[view.backend[edge]]
    average = view.memory[edge, LATENCY]
    if average == 0.0:
        return UNKNOWN + jobs if jobs > 0 else 0.0
    idle = now - view.memory[edge, STAMP]
    return float(average * math.exp(-idle / view.option[0]) * (jobs + 1.0))


@value_as(CHOOSE)
def cheaper_of_two(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The cheaper of two distinct random candidates."""
    n = candidates.size
    one = below(rng, n)
    if n == 1:
        return candidates[one]  # type: ignore[no-any-return]
    other = below(rng, n - 1)
    other += other >= one  # step over `one`, so that the pair is uniform
    if cost(view, candidates[other], now) < cost(view, candidates[one], now):
        return candidates[other]  # type: ignore[no-any-return]
    return candidates[one]  # type: ignore[no-any-return]


@value_as(OBSERVE)
def remember(edge: int, latency: float, now: float, view: View) -> None:
    """Take a peak at once, let a trough fade in."""
    keep = math.exp(-(now - view.memory[edge, STAMP]) / view.option[0])
    faded = view.memory[edge, LATENCY] * keep + latency * (1.0 - keep)
    view.memory[edge, LATENCY] = max(latency, faded)
    view.memory[edge, STAMP] = now


@final
@dataclass(frozen=True)
class PeakEwma(RoutingPolicy):
    """Power of two choices by peak-sensitive average latency; `tau` in seconds."""

    name: ClassVar[str] = "peak_ewma"
    choose = cheaper_of_two
    observe = remember
    needs_latency: ClassVar[bool] = True
    tau: float = 10.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tau) and self.tau > 0):
            raise PolicyError(f"peak_ewma:tau={self.tau}: tau is a time in seconds above 0")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, 2))

    def option(self) -> FloatArray:
        return np.array([self.tau])
