"""Picks among scored candidates: the least of all, or the least of a sample.

k scores and m picks are k + m pieces of code. `view.option` holds two numbers. The first is the tie
rule: 0 takes the first in the order of the candidates, 1 draws uniformly among the tied. The second
is 1 if scores are prices of a unit of work, s: where jobs differ in work, by size or by what a
backend has cached, they are multiplied by that of the job at hand (fields of `View`: `work`), and
where backends are not all as near, the distance is added (`distance`).
"""

from typing import Any

import numpy as np
from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlinable, value_as
from isocline.errors import PolicyError
from isocline.model.curves import ServersCurve
from isocline.policies.routing.contract import (
    CHOOSE,
    UNCACHED,
    UNREAD,
    WORK,
    FloatArray,
    Setting,
    View,
    require_one_of,
)
from isocline.randomness.draws import below

TIES = ("random", "first")
WORD = 64  # candidates whose ties fit into one number
_NONE, _ONE = uint64(0), uint64(1)


@inlinable
def score(view: View, edge: int) -> float:
    """The table's entry for the backend at the end of an edge, at its workload."""
    # Unsigned, for a signed index makes numba check for one counted from the end: half the time.
    backend = uint32(view.backend[uint32(edge)])
    workload = uint32(min(view.workload[backend], view.table.shape[1] - 1))
    return view.table[uint32(view.row[backend]), workload]  # type: ignore[no-any-return]


@inlinable
def cost(view: View, edge: int) -> float:
    """The score of an edge; if scores are prices, times the work of the job, plus the distance."""
    value = score(view, edge)
    if view.option[1] == 1.0:
        value = price_of_job(view, edge, value)
    return value


@inlinable
def price_of_job(view: View, edge: int, price: float) -> float:
    """Price of the job at hand by an edge, s: that of its work, and the distance.

    A job that travels is a job in the system, too. At the least mean number of jobs 1 / l'(N) plus
    the travel time is therefore equal for all backends that a frontend uses (Balseiro, Mirrokni and
    Wydrowski, arXiv 2504.10693).
    """
    if view.work.shape[0] > 0:
        price *= view.work[edge, WORK]
    return price + distance(view, edge)


@inlinable
def distance(view: View, edge: int) -> float:
    """What a job counts as taking longer by an edge, s."""
    return view.distance[uint32(edge)] if view.distance.shape[0] > 0 else 0.0


@inlinable
def tokens_to_read(view: View, edge: int) -> float:
    """Tokens of prompts at the end of an edge that are still to be read, with the job at hand."""
    return view.tokens[view.backend[edge], UNREAD] + view.work[edge, UNCACHED]  # type: ignore[no-any-return]


@inlinable
def challenge(value: float, lowest: float, tied: int, rng: Any) -> tuple[bool, int]:
    """Whether a candidate takes the place of the best so far, and how many are as good as that.

    For loops over values that are made once each: each of the tied is kept with the same chance.
    Draws: one per tie.
    """
    if value > lowest:
        return False, tied
    tied = tied + 1 if value == lowest else 1
    return tied == 1 or below(rng, tied) == 0, tied


@inlinable
def ones(word: Any) -> int:
    """Number of bits that are set; LLVM knows this sum of halves and has an instruction for it."""
    word -= (word >> _ONE) & uint64(0x5555555555555555)
    word = (word & uint64(0x3333333333333333)) + ((word >> uint64(2)) & uint64(0x3333333333333333))
    word = (word + (word >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return int64((word * uint64(0x0101010101010101)) >> uint64(56))  # type: ignore[no-any-return]


@value_as(CHOOSE)
def least_of_many(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """`least` of any number of candidates."""
    best = candidates[0]
    lowest = np.inf
    tied = 0
    for i in range(candidates.size):
        value = cost(view, candidates[i])
        if value < lowest:
            lowest = value
            best = candidates[i]
            tied = 1
        elif value == lowest:
            tied += 1
    if tied < 2 or view.option[0] == 0.0:
        return best  # type: ignore[no-any-return]
    skip = below(rng, tied)
    for i in range(candidates.size):
        if cost(view, candidates[i]) == lowest:
            if skip == 0:
                return candidates[i]  # type: ignore[no-any-return]
            skip -= 1
    return best  # type: ignore[no-any-return]  # only if a score is NaN


@value_as(CHOOSE)
def least(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The candidate with the least cost. Draws: one if there is a tie to break.

    The tied are bits of a word, which are counted, drawn from and found by arithmetic: without a
    branch on each comparison an event on 10 candidates takes two thirds of the time that
    `least_of_many` needs, whose draws and candidates are the same.
    """
    if candidates.size > WORD:
        return least_of_many(candidates, view, now, rng)
    lowest = np.inf
    tied = _NONE
    bit = _ONE
    for i in range(candidates.size):
        value = cost(view, candidates[i])
        less = value < lowest
        equal = value == lowest
        tied = bit if less else (tied | (bit if equal else _NONE))
        lowest = value if less else lowest
        bit <<= _ONE
    if view.option[0] != 0.0 and (tied & (tied - _ONE)) != _NONE:
        skip = below(rng, ones(tied))
        while skip > 0:
            tied &= tied - _ONE  # without its lowest bit
            skip -= 1
    elif lowest == np.inf:
        tied = _ONE  # as `least_of_many`: of scores that are no numbers it may not be tied itself
    first = ones((tied & (_NONE - tied)) - _ONE)
    return int64(candidates[uint32(first)])  # type: ignore[no-any-return]


def rules(policy: str, ties: str, prices: bool = False) -> FloatArray:
    """(2,) the option array of policies that use `least`; raises PolicyError as it says.

    Args:
        policy: Its name in messages.
        ties: One of TIES.
        prices: Whether scores are prices of a unit of work.
    """
    require_one_of(policy, "ties", ties, TIES)
    return np.array([float(ties == "random"), float(prices)])


def counted_jobs(policy: str, count: str, setting: Setting, workloads: FloatArray) -> FloatArray:
    """(R, K) the jobs that count: all of them, or only those waiting for one of the servers."""
    require_one_of(policy, "count", count, ("all", "waiting"))
    if count == "all":
        return np.tile(workloads, (len(setting.curves), 1))
    rows = []
    for curve in setting.curves:
        if not isinstance(curve, ServersCurve):
            raise PolicyError(
                f"{policy}:count=waiting: a {curve.type} curve serves all its jobs at once; "
                "waiting jobs exist only with servers curves"
            )
        rows.append(np.maximum(workloads - curve.count, 0.0))
    return np.array(rows)
