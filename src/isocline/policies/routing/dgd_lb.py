"""Distributed gradient descent: each frontend moves probabilities down the gradient of the latency.

S. R. Balseiro, V. S. Mirrokni and B. Wydrowski, *Load Balancing with Network Latencies via
Distributed Gradient Descent*, arXiv 2504.10693, 2025: a frontend sends to its backends with
probabilities x that follow

    dx/dt = - eta (1 / l'(N(t - tau)) + tau),      projected onto the probabilities,

with N as reports have it. A step is taken at each job, for the time since the last one, and its
projection is exact (Michelot, 1986). Times and prices are counted in the least price of an empty
backend of the frontend, so that one eta suits fast fleets and slow ones. Travel times tau are the
distances of the view; those of `--delay` are left out, as they are the same on all edges, and what
is the same on all has no effect.

Draws: one. Memory per edge: its probability, and the time of the last step.
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
)
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.picks import distance, score
from isocline.randomness.draws import uniform

SHARE, STAMP = 0, 1
NO_USE = 1e300  # the price where one more job adds nothing, so that differences are numbers
FAR = 2.0  # a step from which no probability is left, however far beyond it the gradient leads


@inlinable
def gradient(view: View, edge: int) -> float:
    """Jobs that one more job per second by an edge adds to the system, travelling ones included."""
    return score(view, edge) + distance(view, edge)


@inlinable
def descend(candidates: Any, view: View, step: float) -> None:
    """A step of the probabilities down the gradient, and back onto those that add up to 1."""
    least = NO_USE
    for edge in candidates:
        least = min(least, gradient(view, edge))
    for edge in candidates:
        # A constant taken off all gradients does not change the projection.
        gap = min(gradient(view, edge), NO_USE) - least
        view.memory[edge, SHARE] -= min(step * gap, FAR)
    # What is at or below the threshold goes out, until the rest is above its own. As often as there
    # are candidates is enough; without a limit rounding could take one at the threshold out and in
    # for ever.
    threshold, left = -np.inf, 0
    for _ in range(candidates.size):
        total, above = -1.0, 0
        for edge in candidates:
            if view.memory[edge, SHARE] > threshold:
                total += view.memory[edge, SHARE]
                above += 1
        if above == left:
            break
        threshold, left = total / above, above
    for edge in candidates:
        view.memory[edge, SHARE] = max(view.memory[edge, SHARE] - threshold, 0.0)


@value_as(CHOOSE)
def by_probability(candidates: Any, view: View, now: float, rng: Any) -> int:
    """A candidate with its probability, after a step."""
    total, last = 0.0, 0.0
    for edge in candidates:
        total += view.memory[edge, SHARE]
        last = max(last, view.memory[edge, STAMP])
        view.memory[edge, STAMP] = now
    first = candidates[0]
    if total == 0.0:  # at the start, or where all that were used are gone
        for edge in candidates:
            view.memory[edge, SHARE] = 1.0 / candidates.size
    else:
        descend(candidates, view, view.parameter[first, 0] * (now - last))
    left = uniform(rng)
    best = first
    for edge in candidates:
        if view.memory[edge, SHARE] > 0.0:
            best = edge
            left -= view.memory[edge, SHARE]
            if left < 0.0:
                break
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class DgdLb(RoutingPolicy):
    """By probabilities that go down the gradient 1 / l' at the pace `eta`."""

    name: ClassVar[str] = "dgd_lb"
    choose = by_probability
    shares_kernel: ClassVar[bool] = True
    eta: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.eta) and self.eta > 0):
            raise PolicyError(f"dgd_lb:eta={self.eta:g}: eta is a number above 0")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return Gmsr().table(setting, workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, 1) eta over the square of the frontend's unit of time, 1/s^2."""
        graph = setting.graph
        empty = self.table(setting, np.zeros(1))[:, 0][setting.row][graph.sink]
        unit = np.minimum.reduceat(empty, graph.first[:-1])[graph.source]
        return np.asarray(self.eta / unit**2)[:, None]

    def counts_distances(self) -> bool:
        return True

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, 2))
