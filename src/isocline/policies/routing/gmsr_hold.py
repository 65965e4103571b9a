"""GMSR that waits: a job stays at its frontend while every backend there would gain too little.

The input queueing that the model of the GMSR paper, Section 3, allows. A job is held while all
marginal rates l'_b(N_b) that its frontend sees are at most `level`, and goes by GMSR otherwise. So
a backend is never driven beyond the workload at which its marginal rate is `level`: at level 0 not
past the peak of a measured curve, where the true rate falls, nor beyond the servers of a station,
and a job that waits takes whichever backend frees a place first.

**No job is held for ever.** A backend whose marginal rate is at most `level` gets no jobs, so its
workload falls, and with it its marginal rate rises, until that is above `level` or the backend is
empty; and the best backend, if it is empty, takes a job whatever the level.

**Choosing the level.** Strictly concave curves that never end, as the hyperbolic, have marginal
rates above 0 at any workload: at level 0 this is GMSR. A level above 0 caps their workloads, and
with them the capacity: keep it well below the least marginal rate of any tier that `isocline plan`
shows at the highest load to come, a tenth of it, say.

A frontend counts what it has sent at this very instant, so that a queue that is let go, in a slot
of the slotted clock, does not run to one backend. Draws: one per tie. Memory: last time sent, jobs
sent then, per edge.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import kernel, value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    HOLD,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
)
from isocline.randomness.draws import below

STAMP, SENT = 0, 1


@kernel
def expected(view: View, edge: int, now: float) -> int:
    """Jobs at the end of an edge, with those that this frontend has sent at this instant."""
    jobs = view.workload[view.backend[edge]]
    if view.memory[edge, STAMP] == now:
        jobs += int(view.memory[edge, SENT])
    return jobs  # type: ignore[no-any-return]


@kernel
def price(view: View, edge: int, now: float) -> float:
    """1 / l' there."""
    jobs = min(expected(view, edge, now), view.table.shape[1] - 1)
    return view.table[view.row[view.backend[edge]], jobs]  # type: ignore[no-any-return]


@value_as(CHOOSE)
def least_or_hold(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The candidate with the least price, unless that is too high and it has work to do."""
    best = candidates[0]
    lowest = np.inf
    tied = 0
    for edge in candidates:
        value = price(view, edge, now)
        if value < lowest:
            lowest = value
            best = edge
            tied = 1
        elif value == lowest:
            tied += 1
            if below(rng, tied) == 0:
                best = edge
    if lowest >= view.option[0] and expected(view, best, now) > 0:
        return HOLD
    if view.memory[best, STAMP] != now:
        view.memory[best, STAMP] = now
        view.memory[best, SENT] = 0.0
    view.memory[best, SENT] += 1.0
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class GmsrHold(RoutingPolicy):
    """GMSR that holds a job while all marginal rates it sees are at most `level` (jobs/s)."""

    name: ClassVar[str] = "gmsr_hold"
    choose = least_or_hold
    may_hold: ClassVar[bool] = True
    level: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and self.level >= 0):
            raise PolicyError(f"gmsr_hold:level={self.level}: level is 0 or a rate above, jobs/s")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            return 1.0 / np.array([curve.marginal(workloads) for curve in setting.curves])

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, 2))

    def option(self) -> FloatArray:
        return np.array([1.0 / self.level if self.level > 0 else np.inf])
