"""GMSR where news is late: to the backend whose rate will grow most when the job gets there.

With reports as old as jobs take, GMSR herds: until its jobs show in a report it sends more to the
same backend. Here each frontend looks ahead, by one implicit step of the fluid (GMSR paper,
Eq. (3)) of length w:

    n + w l(n) = N + A,

with N the report and A the jobs that set out for the backend in the last w, and takes the least
price 1 / l'(n). With w = 0 that is GMSR; the longer w, the less a report counts beside what was
sent since; at rest n is N for any w. So w is several times the lag from the writing of a report to
the arrival of a job sent on it: with w equal to the lag, backends near their capacity still swing.

With `price=secant` the price of n jobs is that of `gmsr_secant`, by no window shorter than w: an
inflow counts if it lasts until reports show what is sent now. With w = 0 it is that policy.

A frontend knows only its own jobs. At rest w l(N) set out in w, and others do as it does, since
they see the same reports: A = w L U / V, with U its own jobs of the last w, fading, and L and V the
averages of l(N) and of U. It needs no arrival rates, and no number of frontends.

Draws: one per tie. Memory per edge: that of `gmsr_secant`; U, V, L, and when these were updated.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import uint32

from isocline.compilation.compiled import inlinable, value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
)
from isocline.policies.routing.gmsr_secant import (
    CONSTANTS,
    RATES,
    SIZE,
    by_secant,
    choose_level,
    constants,
    keep_up,
    rates_of,
    secant,
    take_in,
)
from isocline.policies.routing.picks import price_of_job, rules
from isocline.randomness.draws import below

STEP, SPAN = CONSTANTS, CONSTANTS + 1  # s, of an edge's parameters
OWN, OWN_MEAN, SERVED_MEAN, STAMP = SIZE, SIZE + 1, SIZE + 2, SIZE + 3  # of its memory
SECANT = 2  # of the options
# An edge that its frontend has hardly used tells nothing of what others do: so many jobs are taken
# to have gone there, and to go there, besides.
RARE = 0.1
NO_USE = 1e300  # the price where one more job adds nothing: finite, so that it can be interpolated
PER_JOB = 8  # points at which n + w l(n) is tabulated, to be inverted


@inlinable
def refresh(view: View, edge: int, now: float) -> float:
    """Bring the averages of an edge up to date; jobs reported and on their way to its backend."""
    own = view.memory[edge]
    step, span = view.parameter[edge, STEP], view.parameter[edge, SPAN]
    backend = uint32(view.backend[edge])
    reported = view.workload[backend]
    if step == 0.0:
        return float(reported)
    rates = uint32(view.parameter[edge, RATES])
    served = view.table[rates, min(reported, view.table.shape[1] - 1)]
    passed = now - own[STAMP]
    if passed > 0.0:
        own[STAMP] = now
        faded = -math.expm1(-passed / step)
        gain = -math.expm1(-passed / span)
        own[OWN_MEAN] += gain * (own[OWN] * faded * step / passed - own[OWN_MEAN])
        own[SERVED_MEAN] += gain * (served - own[SERVED_MEAN])
        own[OWN] *= 1.0 - faded
    usual = step * own[SERVED_MEAN]
    return reported + max(own[OWN], usual * (own[OWN] + RARE) / (own[OWN_MEAN] + RARE))  # type: ignore[no-any-return]


@inlinable
def between(view: View, row: int, jobs: float) -> float:
    """A row of the table at a number of jobs that need not be whole."""
    last = view.table.shape[1] - 1
    if jobs >= last:
        return view.table[row, last]  # type: ignore[no-any-return]
    low = uint32(int(jobs))
    here, there = view.table[row, low], view.table[row, uint32(low + 1)]
    return here + (jobs - low) * (there - here)  # type: ignore[no-any-return]


@inlinable
def after(view: View, edge: int, jobs: float) -> float:
    """Jobs after the step where `jobs` are reported and on their way, and half of one more."""
    row = int(view.parameter[edge, RATES]) + view.table.shape[0] // 3
    return between(view, row, jobs) + 0.5


@inlinable
def price(view: View, edge: int, jobs: float, now: float) -> float:
    """Price of one more job where `jobs` are reported and on their way."""
    if view.option[SECANT] == 0.0:
        return between(view, view.row[view.backend[edge]], jobs)
    own, about = view.memory[edge], view.parameter[edge]
    rates, at = view.table[uint32(about[RATES])], after(view, edge, jobs)
    keep_up(own, about, rates, view.workload[view.backend[edge]], at, about[STEP], now)
    return secant(own, rates, at)


@value_as(CHOOSE)
def cheapest_ahead(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The candidate with the least price after the step."""
    best = candidates[0]
    lowest = np.inf
    tied = 0
    for i in range(candidates.size):
        edge = candidates[i]
        value = price(view, edge, refresh(view, edge, now), now)
        value = price_of_job(view, edge, value)
        if value < lowest:
            lowest = value
            best = edge
            tied = 1
        elif value == lowest and view.option[0] == 1.0:
            tied += 1
            if below(rng, tied) == 0:  # each of the tied is kept with the same chance
                best = edge
    view.memory[best, OWN] += 1.0
    if view.option[SECANT] == 1.0:
        own, about = view.memory[best], view.parameter[best]
        rates, jobs = view.table[uint32(about[RATES])], view.workload[view.backend[best]]
        # Late reports do not show the job for a while, and without a lag they do at once.
        joining = int(about[STEP] == 0.0)
        at = after(view, best, refresh(view, best, now) + joining)
        take_in(own, about, rates, jobs, joining, now)
        choose_level(own, about, rates, at, about[STEP])
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class GmsrAhead(RoutingPolicy):
    """Least price a step of `ahead` lags later; averages over `smoothing` steps.

    `lag` is in seconds; 0 takes that of the simulation, as `--delay` has it. `price` is `marginal`,
    1 / l', or `secant`, as of `gmsr_secant`.
    """

    name: ClassVar[str] = "gmsr_ahead"
    choose = cheapest_ahead
    blocks: ClassVar[int] = 0  # it is as wide as the fastest backend demands
    lag: float = 0.0
    # Of 1, 2, 4, 8 lags and 1, 3, 5, 10, 30 steps, on fleets of 3 to 90 frontends at loads 0.7 and
    # 0.9 with lags of 0.6 to 20 mean latencies, what is nearest to the bound where it is farthest
    # from it. With less of either, loads near capacity swing; with more, changes are slow to show.
    ahead: float = 4.0
    smoothing: float = 5.0
    price: str = "marginal"
    ties: str = "random"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lag) and self.lag >= 0):
            raise PolicyError(f"gmsr_ahead:lag={self.lag:g}: lag is a time in seconds, 0 or more")
        for name, value in (("ahead", self.ahead), ("smoothing", self.smoothing)):
            if not (math.isfinite(value) and value > 0):
                raise PolicyError(f"gmsr_ahead:{name}={value:g}: {name} is a number above 0")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        """(3 R, K') prices 1 / l' after the step, rates, jobs after the step.

        Prices and jobs after it are those where N + A is 0 .. K' - 1; rates, those of as many jobs.
        """
        step = self._step(setting)
        fastest = max(curve.supremum for curve in setting.curves)
        jobs = np.arange(workloads.size + math.ceil(step * fastest), dtype=np.float64)
        fine = np.linspace(0.0, jobs[-1], PER_JOB * (jobs.size - 1) + 1)
        after = [np.interp(jobs, fine + step * c.rate(fine), fine) for c in setting.curves]
        with np.errstate(divide="ignore", over="ignore"):
            price = [1.0 / c.marginal(n) for c, n in zip(setting.curves, after, strict=True)]
        return np.minimum(np.vstack((price, rates_of(setting, jobs), after)), NO_USE)

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, CONSTANTS + 2) as of `gmsr_secant`; the step, and the span of averages, s."""
        step = self._step(setting)
        spans = np.tile([step, step * self.smoothing], (setting.graph.edges, 1))
        return np.hstack((constants(setting, len(setting.curves)), spans))

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, SIZE + 4))

    def option(self) -> FloatArray:
        secant = by_secant(self.name, self.price)
        return np.append(rules(self.name, self.ties, prices=True), float(secant))

    def _step(self, setting: Setting) -> float:
        return self.ahead * (self.lag or setting.lag)
