"""Greatest Secant Service Rate: GMSR's equilibrium, and bursts drained as fast as the best.

GMSR prices one more job at a backend by 1 / l'(N), the inverse tangent of its curve: right at rest,
wrong far above it. Routing by expected latency prices it by N / l(N): right for draining a burst,
wrong at rest (GMSR paper, Appendix A). Both are ends of one formula. Let a backend rest at m jobs,
with an inflow l(m) that goes on. A fluid above m then falls at l(N) - l(m), and its cost to go J,
the job-seconds above m until it is there, satisfies (l(N) - l(m)) J'(N) = N - m. So

    price(N) = (N - m) / (l(N) - l(m)),

the inverse *secant* of the curve between m and N, is what one more job costs: one step of policy
improvement over the fixed split that keeps m. At N = m it is 1 / l'(m), so that at rest prices of a
tier are equal exactly at the optimum of Eq. (1); at m = 0 it is N / l(N).

**m is learned**, by each frontend alone. The inflow is the running mean of l(N), and m the
workload at which the backend serves as much. The mean of N in place of l(N) is worse, as bursts
inflate it. How long a mean? An inflow counts if it lasts as long as the price itself says: the
price is a time, in which the excess drains. So means are kept over a ladder of windows w_k, and the
price is the first that is at most its own window. Below rest the same formula holds: the price is
then the time in which the backend fills.

**The ladder.** No price is below 1 / l(1), what a job takes alone: that is w_0, of each curve, and
w_k = 3^k w_0. Nothing is left to set. An edge is looked at when a job is sent on it, and when it
was not for w_0; then its level is chosen anew. The mean of level k is brought up to date when
w_k / 8 has passed, and level k is seen to only when level k - 1 was, so the work does not grow with
their number. Each starts as a plain average.

A curve is tabulated at whole jobs and straight between them. A job is priced at N + 1/2, the middle
of what it adds; with m between N and N + 1 that is 1 / (l(N + 1) - l(N)). Where the curve is flat,
past the peak of a table, prices are infinite if the mean is the peak, and finite otherwise.

Draws: one if there is a tie to break. Memory per edge: the means of its backend.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, final

import numpy as np
from numba import uint32

from isocline.compilation.compiled import inlined, value_as
from isocline.model.curves import Curve
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    require_one_of,
)
from isocline.policies.routing.picks import price_of_job, rules
from isocline.randomness.draws import below

# Eight windows: 3^7 = 2187 times what a job takes alone. A backend is above 0.999 of its capacity
# where a price is as long.
LEVELS = 8
RATIO = 3.0
# Of a window, that passes before its mean is brought up to date.
PATIENCE = 0.125

# Of an edge's parameters: the first window, s; a number that tells curves apart; the row of `table`
# that holds the rates of its curve.
WINDOW, CURVE, RATES = 0, 1, 2
CONSTANTS = 3
# Of an edge's memory: m and l(m) of the level in use; when the edge was last looked at, s; `CURVE`
# then; the price of the last decision; jobs when it was looked at, with the one sent; the integral
# of l(N) over time until then, jobs; when it was looked at first, s.
REST, RATE, LOOKED, KNOWN, PRICE, JOBS, SERVED, BEGAN = range(8)
# Of each level: m and l(m), side by side; and from `UPDATED` on the time of its last update, s, and
# `SERVED` then.
LEVEL = 8
UPDATED = LEVEL + 2 * LEVELS
SIZE = UPDATED + 2 * LEVELS


@inlined
def workload_at(rates: Any, rate: float, near: float) -> float:
    """Least workload with a rate; the last one tabulated where none has as much.

    Args:
        rates: (K,) of a curve at whole jobs.
        rate: jobs/s.
        near: Jobs at which the search begins.
    """
    last = rates.size - 1
    low = high = min(int(near), last)
    step = 1
    if rates[low] < rate:
        while rates[high] < rate:
            if high == last:
                return float(last)
            low = high
            high = min(high + step, last)
            step *= 2
    else:
        while rates[low] >= rate:
            if low == 0:
                return 0.0
            high = low
            low = max(low - step, 0)
            step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        if rates[middle] < rate:
            low = middle
        else:
            high = middle
    return float(low + (rate - rates[low]) / (rates[high] - rates[low]))


@inlined
def take_in(own: Any, about: Any, rates: Any, jobs: int, joining: int, now: float) -> None:
    """Take the time since an edge was last looked at into its means.

    Args:
        own: (SIZE or more,) memory of the edge; written.
        about: (CONSTANTS or more,) its parameters.
        rates: (K,) its curve.
        jobs: At its backend.
        joining: Jobs that are sent there now.
        now: s.
    """
    last = rates.size - 1
    here = min(jobs, last)
    passed = now - own[LOOKED]
    if passed > 0.0:
        # From N to here without arrivals exactly N - here were served, however long it took; by
        # the trapezoidal rule a backend that has long been empty would count as busy half the time.
        before = int(own[JOBS])
        rate = rates[here]
        extra = 0.5 * passed * (rates[before] - rate)
        change = float(before - here)
        bound = min(extra, change) if change > 0.0 else max(extra, change)
        own[SERVED] += passed * rate + bound
        own[LOOKED] = now
        window = about[WINDOW]
        age = now - own[BEGAN]
        at = UPDATED
        for level in range(LEVEL, UPDATED, 2):
            since = now - own[at]
            if since < PATIENCE * min(window, age):
                break
            gain = since / (since + min(age - since, window))
            mean = (own[SERVED] - own[at + 1]) / since
            settle(own, rates, level, own[level + 1] + gain * (mean - own[level + 1]))
            own[at] = now
            own[at + 1] = own[SERVED]
            at += 2
            window *= RATIO
    own[JOBS] = min(here + joining, last)


@inlined
def settle(own: Any, rates: Any, level: int, rate: float) -> None:
    """Set the rate of a level, and where the backend rests with it; a curve bounds both."""
    own[level] = workload_at(rates, rate, own[level])
    own[level + 1] = min(rate, rates[rates.size - 1])


@inlined
def keep_up(
    own: Any, about: Any, rates: Any, jobs: int, at: float, shortest: float, now: float
) -> None:
    """Look at an edge again if that is due; arguments as of `take_in` and `choose_level`.

    After a change of its curve what was served stays, and the backend rests where the new curve
    serves as much.
    """
    changed = own[KNOWN] != about[CURVE]
    if changed:
        if own[KNOWN] == 0.0:
            own[LOOKED] = own[BEGAN] = now
            own[JOBS] = min(jobs, rates.size - 1)
            for stamp in range(UPDATED, SIZE, 2):
                own[stamp] = now
        else:
            for level in range(LEVEL, UPDATED, 2):
                settle(own, rates, level, own[level + 1])
        own[KNOWN] = about[CURVE]
    if changed or now - own[LOOKED] > about[WINDOW]:
        take_in(own, about, rates, jobs, 0, now)
        choose_level(own, about, rates, at, shortest)


@inlined
def choose_level(own: Any, about: Any, rates: Any, at: float, shortest: float) -> None:
    """Choose the level to price by: the first whose price is at most its window.

    Args:
        own: (SIZE or more,) memory of the edge; written.
        about: (CONSTANTS or more,) its parameters.
        rates: (K,) its curve.
        at: Jobs at which the next one is priced, as in `secant`.
        shortest: Shorter windows than this do not count, s.
    """
    at = min(at, rates.size - 1.5)
    low = int(at)
    step = rates[low + 1] - rates[low]
    rate = rates[low] + (at - low) * step
    window = about[WINDOW]
    for level in range(LEVEL, UPDATED, 2):
        own[REST], own[RATE] = own[level], own[level + 1]
        if low <= own[REST] <= low + 1.0:
            enough = window * step >= 1.0
        else:
            enough = abs(at - own[REST]) <= window * abs(rate - own[RATE])
        if enough and window >= shortest:
            break
        window *= RATIO


@inlined
def secant(own: Any, rates: Any, at: float) -> float:
    """Price of one more job by the level in use, s.

    Args:
        own: (SIZE or more,) memory of the edge.
        rates: (K,) its curve.
        at: N + 1/2, with N at least 0; it need not be whole.
    """
    at = min(at, rates.size - 1.5)
    low = int(at)
    under = rates[uint32(low)]
    step = rates[uint32(low + 1)] - under
    rest = own[REST]
    between = low <= rest <= low + 1.0
    length = 1.0 if between else abs(at - rest)
    rise = step if between else abs(under + (at - low) * step - own[RATE])
    return length / rise if rise > 0.0 else np.inf


@value_as(CHOOSE)
def steepest(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The candidate with the least price. Draws: one if there is a tie to break."""
    best = candidates[0]
    lowest = np.inf
    tied = 0
    for i in range(candidates.size):
        edge = uint32(candidates[i])
        own, about = view.memory[edge], view.parameter[edge]
        rates = view.table[uint32(about[RATES])]
        jobs = view.workload[uint32(view.backend[edge])]
        keep_up(own, about, rates, jobs, jobs + 0.5, 0.0, now)
        value = secant(own, rates, jobs + 0.5)
        value = price_of_job(view, edge, value)
        own[PRICE] = value
        if value < lowest:
            lowest = value
            best = candidates[i]
            tied = 1
        elif value == lowest:
            tied += 1
    if tied > 1 and view.option[0] == 1.0:
        skip = below(rng, tied)
        for i in range(candidates.size):
            if view.memory[candidates[i], PRICE] == lowest:
                if skip == 0:
                    best = candidates[i]
                    break
                skip -= 1
    edge = uint32(best)
    own, about = view.memory[edge], view.parameter[edge]
    rates = view.table[uint32(about[RATES])]
    jobs = view.workload[uint32(view.backend[edge])]
    take_in(own, about, rates, jobs, 1, now)
    choose_level(own, about, rates, jobs + 1.5, 0.0)
    return best  # type: ignore[no-any-return]


PRICES = ("marginal", "secant")


def by_secant(policy: str, price: str) -> bool:
    """Whether an option of a policy chooses this price; raises PolicyError if it is neither."""
    require_one_of(policy, "price", price, PRICES)
    return price == "secant"


def constants(setting: Setting, first: int) -> FloatArray:
    """(E, CONSTANTS) parameters of edges, whose curves stand in the table from row `first` on."""
    known = np.array([_known(curve) for curve in setting.curves])
    rows = np.arange(first, first + len(setting.curves), dtype=np.float64)
    return np.column_stack((known, rows))[setting.row[setting.graph.sink]]


def marginal_prices(setting: Setting, workloads: FloatArray) -> FloatArray:
    """(R, K) 1 / l'(N), as of GMSR."""
    with np.errstate(divide="ignore", over="ignore"):
        return 1.0 / np.array([curve.marginal(workloads) for curve in setting.curves])


def rates_of(setting: Setting, workloads: FloatArray) -> FloatArray:
    """(R, K) l(N)."""
    return np.array([curve.rate(workloads) for curve in setting.curves])


# A frontend asks for all curves again when one has changed.
@lru_cache(maxsize=8192)
def _known(curve: Curve) -> tuple[float, float]:
    """What a job takes alone, s, and a number that is another one for another curve."""
    rates = curve.rate(2.0 ** np.arange(15.0))
    return 1.0 / float(rates[0]), float(rates @ np.sqrt(np.arange(2.0, 17.0)))


@final
@dataclass(frozen=True)
class GmsrSecant(RoutingPolicy):
    """Least (N - m) / (l(N) - l(m)), m where the backend rests at its usual inflow."""

    name: ClassVar[str] = "gmsr_secant"
    choose = steepest
    blocks: ClassVar[int] = 2
    ties: str = "random"

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        """(2 R, K) prices 1 / l' of GMSR, to which these tend; below them rates."""
        return np.vstack((marginal_prices(setting, workloads), rates_of(setting, workloads)))

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, CONSTANTS): see there."""
        return constants(setting, len(setting.curves))

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, SIZE))

    def option(self) -> FloatArray:
        return rules(self.name, self.ties, prices=True)
