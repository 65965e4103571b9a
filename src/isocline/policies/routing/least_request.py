"""Least request, as in Envoy: weights that fall with the requests in flight, or two choices.

Envoy's `least_request` (envoy.extensions.load_balancing_policies.least_request.v3). Where weights
differ, backends take turns by weight / (N + 1)^bias, with an earliest-deadline-first schedule: the
earliest is taken, and is due again after the inverse of its weight at that moment. Where all
weights are equal, the fewest requests of a sample of `choices`. Weights are the true capacities.

Draws: one per choice where weights are equal, else none. Memory per edge: when it is due, and when
it was taken last, in the time of the schedule.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import inlinable, value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.randomness.draws import below

DUE, TAKEN = 0, 1
BIAS, CHOICES = 0, 1  # options


@inlinable
def turn(view: View, edge: int) -> float:
    """How long an edge waits for its next turn: the inverse of its weight of now."""
    jobs = view.workload[view.backend[edge]]
    return float((jobs + 1.0) ** view.option[BIAS] / view.parameter[edge, 0])


@value_as(CHOOSE)
def earliest_due(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The earliest of the schedule, or the fewest requests of a sample."""
    first = candidates[0]
    alike, time = True, 0.0
    for edge in candidates:
        alike = alike and view.parameter[edge, 0] == view.parameter[first, 0]
        time = max(time, view.memory[edge, TAKEN])
    best = candidates[below(rng, candidates.size)] if alike else first
    if alike:
        for _ in range(int(view.option[CHOICES]) - 1):  # drawn with replacement, as Envoy does
            other = candidates[below(rng, candidates.size)]
            if view.workload[view.backend[other]] < view.workload[view.backend[best]]:
                best = other
        return best  # type: ignore[no-any-return]
    for edge in candidates:
        if view.memory[edge, DUE] == 0.0:  # new to the schedule
            view.memory[edge, DUE] = time + turn(view, edge)
        if view.memory[edge, DUE] < view.memory[best, DUE]:
            best = edge
    # One that was away is overdue, and does not turn the time of the others back.
    view.memory[best, TAKEN] = max(time, view.memory[best, DUE])
    view.memory[best, DUE] = view.memory[best, TAKEN] + turn(view, best)
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class LeastRequest(RoutingPolicy):
    """Turns by capacity / (N + 1)^`bias`; of like backends the fewest N of `choices`."""

    name: ClassVar[str] = "least_request"
    choose = earliest_due
    shares_kernel: ClassVar[bool] = True
    bias: float = 1.0
    choices: int = 2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bias) and self.bias >= 0):
            raise PolicyError(f"least_request:bias={self.bias:g}: bias is a number, 0 or more")
        if self.choices < 1:
            raise PolicyError(f"least_request:choices={self.choices}: choices is 1 or more")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, 1) weight of the backend: its capacity, jobs/s."""
        return setting.capacities[setting.graph.sink][:, None].copy()

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, 2))

    def option(self) -> FloatArray:
        return np.array([self.bias, self.choices])
