"""Power of d choices: of d random compatible backends, the one with the fewest jobs.

M. Mitzenmacher, IEEE TPDS 12(10), 2001. Sampled without replacement by default; with replacement
makes JSQ(3) 0.6 % slower at 100 servers. Draws: d. Memory: room to keep a sample apart.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlinable, value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    observe_nothing,
)
from isocline.policies.routing.picks import cost, counted_jobs, rules
from isocline.randomness.draws import below, bits

LARGEST_SAMPLE = 64


# JSQ(2) and JSQ(3) are what everybody runs, so they have functions of their own, at three times the
# speed: one draw for two positions, workloads read without a table, and a comparison by arithmetic,
# for which of the queues is shortest is a coin toss that no branch predictor learns. A sample is in
# random order, so its first least is a random one.


@inlinable
def two_positions(rng: Any, n: int) -> tuple[int, int]:
    """Two distinct numbers of 0 .. n - 1, uniformly, and twice the 0 of n = 1; n < 2^32."""
    random_bits = bits(rng)
    a = int64(((random_bits >> uint64(32)) * uint64(n)) >> uint64(32))
    b = int64(((random_bits & uint64(0xFFFFFFFF)) * uint64(max(n - 1, 1))) >> uint64(32))
    b += b >= a  # step over the first
    return a, min(b, n - 1)


@value_as(CHOOSE)
def shorter_of_two(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The one with fewer jobs of two distinct candidates."""
    a, b = two_positions(rng, candidates.size)
    one, two = candidates[uint32(a)], candidates[uint32(b)]
    fewer = (
        view.workload[uint32(view.backend[uint32(two)])]
        < view.workload[uint32(view.backend[uint32(one)])]
    )
    return one + (two - one) * int64(fewer)  # type: ignore[no-any-return]


@value_as(CHOOSE)
def shortest_of_three(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The one with the fewest jobs of three distinct candidates."""
    n = candidates.size
    a, b = two_positions(rng, n)
    c = below(rng, max(n - 2, 1))
    c += c >= min(a, b)
    c += c >= max(a, b)
    c = min(c, n - 1)
    one, two, three = candidates[uint32(a)], candidates[uint32(b)], candidates[uint32(c)]
    first = view.workload[uint32(view.backend[uint32(one)])]
    second = view.workload[uint32(view.backend[uint32(two)])]
    third = view.workload[uint32(view.backend[uint32(three)])]
    best = one + (two - one) * int64(second < first)
    return best + (three - best) * int64(third < min(first, second))  # type: ignore[no-any-return]


@inlinable
def next_distinct(taken: Any, count: int, n: int, rng: Any) -> int:
    """Uniform on 0 .. n - 1 without the `count` sorted numbers in `taken`, to which it is added."""
    draw = below(rng, n - count)
    at = 0
    while at < count and draw >= taken[at]:  # step over each number drawn before
        draw += 1
        at += 1
    for i in range(count, at, -1):
        taken[i] = taken[i - 1]
    taken[at] = draw
    return draw


@value_as(CHOOSE)
def least_of_sample(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The least of `view.option[2]` candidates; with replacement if `view.option[3]` is 1.

    Under ties=first the earliest candidate wins, else the first drawn.
    """
    earliest = view.option[0] == 0.0
    replace = view.option[3] == 1.0
    n = candidates.size
    d = int(view.option[2]) if replace else min(int(view.option[2]), n)
    best = candidates[0]
    lowest = np.inf
    for count in range(d):
        draw = below(rng, n) if replace else next_distinct(view.memory[0], count, n, rng)
        edge = candidates[draw]
        value = cost(view, edge)
        if value < lowest or (earliest and value == lowest and edge < best):
            lowest = value
            best = edge
    return best  # type: ignore[no-any-return]


@value_as(CHOOSE)
def least_of_short_sample(candidates: Any, view: View, now: float, rng: Any) -> int:
    """`least_of_sample` of two or three, without branches on draws, in two thirds of the time.

    It calls that for other sizes, with replacement, under ties=first, and with fewer candidates
    than the sample.
    """
    n = candidates.size
    d = int(view.option[2])
    if d < 2 or d > 3 or n < d or view.option[0] == 0.0 or view.option[3] == 1.0:
        return least_of_sample(candidates, view, now, rng)
    a = below(rng, n)
    b = below(rng, n - 1)
    b += b >= a  # step over the first
    best, lowest = _better(view, candidates[uint32(a)], candidates[0], np.inf)
    best, lowest = _better(view, candidates[uint32(b)], best, lowest)
    if d == 3:
        c = below(rng, n - 2)
        c += c >= min(a, b)
        c += c >= max(a, b)
        best, lowest = _better(view, candidates[uint32(c)], best, lowest)
    return best  # type: ignore[no-any-return]


@inlinable
def _better(view: View, edge: Any, best: Any, lowest: Any) -> tuple[Any, Any]:
    """The better of an edge and the best so far, and its cost."""
    value = cost(view, edge)
    less = value < lowest
    return edge if less else best, value if less else lowest


@final
@dataclass(frozen=True)
class PowerOfD(RoutingPolicy):
    """Least N of a sample of `d`; ties=first prefers the earlier in the order of the file."""

    name: ClassVar[str] = "power_of_d"
    choose = least_of_sample
    d: int = 2
    replacement: bool = False
    ties: str = "random"
    count: str = "all"

    def __post_init__(self) -> None:
        if not 1 <= self.d <= LARGEST_SAMPLE:
            raise PolicyError(f"power_of_d:d={self.d}: d is a whole number from 1 to 64")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return counted_jobs(self.name, self.count, setting, workloads)

    def memory(self, setting: Setting) -> FloatArray:  # noqa: ARG002
        return np.zeros((1, LARGEST_SAMPLE))

    def option(self) -> FloatArray:
        rest = np.array([self.d, self.replacement], dtype=np.float64)
        return np.concatenate((rules(self.name, self.ties), rest))

    @property
    def sample(self) -> int:
        plain = self.ties == "random" and self.count == "all" and not self.replacement
        return self.d if plain else 0

    def functions(self) -> tuple[Any, Any]:
        quick = {2: shorter_of_two, 3: shortest_of_three}
        return quick.get(self.sample, least_of_sample), observe_nothing
