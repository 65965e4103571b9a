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

With `price=secant` the job goes by the price of `gmsr_secant`, to a backend whose marginal rate is
above the level; whether it is held does not change.

A frontend counts what it has sent at this very instant, so that a queue that is let go, in a slot
of the slotted clock, does not run to one backend. Draws: one per tie. Memory per edge: that of
`gmsr_secant`; last time sent, jobs sent then.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import inlinable, value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    HOLD,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
)
from isocline.policies.routing.gmsr_secant import (
    RATES,
    SIZE,
    by_secant,
    choose_level,
    constants,
    keep_up,
    marginal_prices,
    rates_of,
    secant,
    take_in,
)
from isocline.policies.routing.picks import price_of_job
from isocline.randomness.draws import below

STAMP, SENT = SIZE, SIZE + 1  # of an edge's memory
DEAREST, SECANT = 0, 1  # options: the price 1 / l' from which on jobs are held; which price


@inlinable
def expected(view: View, edge: int, now: float) -> int:
    """Jobs at the end of an edge, with those that this frontend has sent at this instant."""
    jobs = view.workload[view.backend[edge]]
    if view.memory[edge, STAMP] == now:
        jobs += int(view.memory[edge, SENT])
    return jobs  # type: ignore[no-any-return]


@inlinable
def price(view: View, edge: int, now: float) -> float:
    """1 / l' of the backend at the end of an edge."""
    jobs = min(expected(view, edge, now), view.table.shape[1] - 1)
    return view.table[view.row[view.backend[edge]], jobs]  # type: ignore[no-any-return]


@inlinable
def secant_price(view: View, edge: int, now: float) -> float:
    """Price of one more job as of `gmsr_secant`."""
    own, about = view.memory[edge], view.parameter[edge]
    rates = view.table[int(about[RATES])]
    at = expected(view, edge, now) + 0.5
    keep_up(own, about, rates, view.workload[view.backend[edge]], at, 0.0, now)
    return secant(own, rates, at)


@value_as(CHOOSE)
def least_or_hold(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The candidate with the least price, unless all gain too little and it has work to do."""
    best = candidates[0]
    lowest = np.inf
    gaining = False  # whether a backend's marginal rate is above the level
    tied = 0
    for edge in candidates:
        value = price(view, edge, now)
        gains = value < view.option[DEAREST]
        if gains and view.option[SECANT] == 1.0:
            value = secant_price(view, edge, now)
        value = price_of_job(view, edge, value)
        if gaining and not gains:
            continue
        if value < lowest or gains != gaining:
            gaining = gains
            lowest = value
            best = edge
            tied = 1
        elif value == lowest:
            tied += 1
            if below(rng, tied) == 0:
                best = edge
    if not gaining and expected(view, best, now) > 0:
        return HOLD
    if view.option[SECANT] == 1.0:
        own, about = view.memory[best], view.parameter[best]
        rates, jobs = view.table[int(about[RATES])], view.workload[view.backend[best]]
        at = expected(view, best, now) + 1.5
        keep_up(own, about, rates, jobs, at, 0.0, now)
        take_in(own, about, rates, jobs, 1, now)
        choose_level(own, about, rates, at, 0.0)
    if view.memory[best, STAMP] != now:
        view.memory[best, STAMP] = now
        view.memory[best, SENT] = 0.0
    view.memory[best, SENT] += 1.0
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class GmsrHold(RoutingPolicy):
    """GMSR that holds a job while all marginal rates it sees are at most `level` (jobs/s).

    `price`, by which it chooses, is `marginal`, 1 / l', or `secant`, as of `gmsr_secant`.
    """

    name: ClassVar[str] = "gmsr_hold"
    choose = least_or_hold
    reads_tokens: ClassVar[bool] = True
    may_hold: ClassVar[bool] = True
    blocks: ClassVar[int] = 2
    level: float = 0.0
    price: str = "marginal"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and self.level >= 0):
            raise PolicyError(f"gmsr_hold:level={self.level}: level is 0 or a rate above, jobs/s")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        """(2 R, K) prices 1 / l', then rates."""
        return np.vstack((marginal_prices(setting, workloads), rates_of(setting, workloads)))

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, CONSTANTS) as of `gmsr_secant`."""
        return constants(setting, len(setting.curves))

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, SIZE + 2))

    def counts_distances(self) -> bool:
        return True

    def option(self) -> FloatArray:
        dearest = 1.0 / self.level if self.level > 0 else np.inf
        return np.array([dearest, float(by_secant(self.name, self.price))])
