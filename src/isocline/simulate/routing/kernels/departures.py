"""Departures in one slot: any law with E[D] = l(N) * slot and D <= N.

GMSR paper, Section 3 (the law is free) and Appendix F (Bernoulli). Three laws:

    bernoulli  one job or none; needs l(N) * slot <= 1 at all N
    binomial   each of the N jobs on its own, with probability l(N) * slot / N
    poisson    a Poisson number, cut off at N, whose parameter is such that the mean is exact

Each draw is an inversion by sequential search along the recurrence p_k = p_(k-1) (a + b / k), which
all three laws obey (L. Devroye, Non-Uniform Random Variate Generation, 1986, Sections X.3, X.4): it
costs one uniform number and O(1 + D) operations, and as much as those jobs cost anyway. Laws whose
P(D = 0) would underflow are drawn as sums of parts.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.randomness.draws import uniform

FloatArray = npt.NDArray[np.float64]
Law = Literal["bernoulli", "binomial", "poisson"]
LAWS: tuple[Law, ...] = ("bernoulli", "binomial", "poisson")
BERNOULLI, BINOMIAL, POISSON = range(3)

# e^-690 = 1e-300 is still a normal double, and so is every later term that counts.
LARGEST = 690.0
# All leave, where the mean is this close to all: no finite Poisson parameter would give more.
ALL = 1.0 - 1e-12
# Far from the root a step adds at least about 1 to a parameter that, for one job, ends at
# ln 10^12 = 28, and for more after fewer steps; what changes after this many is rounding.
NEWTON = 200


class Departures(NamedTuple):
    """R distinct curves, K workloads tabulated.

    Made by `departures`, and read-only; the engine makes another one when the tables grow.
    """

    # BERNOULLI, BINOMIAL or POISSON.
    kind: int
    # (R, K) float64: BERNOULLI, the probability that one leaves; BINOMIAL, that each does; POISSON,
    # the parameter, jobs, inf where all must leave.
    chance: FloatArray
    # (R, K) float64, P(D = 0); 0 where it would underflow and parts are drawn.
    none: FloatArray


def departures(law: Law, expected: FloatArray) -> Departures:
    """The tables for (R, K) expected departures E[D] in a slot at workloads 0 .. K - 1.

    They must be admitted: at most the workload, and at most 1 if the law is Bernoulli; see
    `isocline.simulate.routing.slotted_clock`.
    """
    workload = np.arange(expected.shape[1], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", under="ignore"):
        if law == "bernoulli":
            return Departures(BERNOULLI, expected, 1.0 - expected)
        if law == "binomial":
            chance = np.minimum(np.where(workload > 0, expected / workload, 0.0), 1.0)
            exponent = workload * np.log1p(-chance)
            direct = (chance <= 0.5) & (exponent >= -LARGEST)
            return Departures(BINOMIAL, chance, np.where(direct, np.exp(exponent), 0.0))
        parameter = cut_poisson(expected, workload)
        none = np.where(parameter <= LARGEST, np.exp(-parameter), 0.0)
    return Departures(POISSON, parameter, none)


def cut_poisson(mean: FloatArray, most: FloatArray) -> FloatArray:
    """The parameter t with E[min(Poisson(t), most)] = mean <= most; inf where all must leave.

    The expectation is t P(<= most - 2) + most P(>= most), increasing and concave in t with the
    derivative P(<= most - 1), so Newton's method from t = mean rises to the root and never past it.

    `mean` and `most` are float64, jobs, of any shapes that broadcast; the result has theirs.
    """
    from scipy.special import pdtr, pdtrc  # noqa: PLC0415 - takes 0.25 s, and few runs are slotted

    mean, most = np.broadcast_arrays(mean, most)
    certain = (mean >= most * ALL) & (most > 0)
    parameter = np.where(certain, np.inf, mean)
    left = np.flatnonzero(~certain & (most > 0))
    for _ in range(NEWTON):
        n, t = most.flat[left], parameter.flat[left]
        below = np.where(n >= 2, pdtr(np.maximum(n - 2.0, 0.0), t), 0.0)
        missing = mean.flat[left] - t * below - n * pdtrc(n - 1.0, t)
        step = missing / pdtr(n - 1.0, t)
        parameter.flat[left] += np.maximum(step, 0.0)
        left = left[step > 1e-14 * t]
    return parameter


@kernel
def searched(mark: float, none: float, a: float, b: float, most: int) -> int:
    """The least k, at most `most`, with P(0) + ... + P(k) > mark."""
    k = 0
    p = none
    while mark >= p and k < most:
        mark -= p
        k += 1
        p *= a + b / k
    return k


@kernel
def most_of(mean: float) -> int:
    """Above this lies less than 2^-53 of a Poisson law (Bernstein), where no mark points."""
    return int(mean + 9.0 * math.sqrt(mean) + 30.0)


@kernel
def poisson(mark: float, mean: float, none: float, rng: Any) -> int:
    """A Poisson number; `none` is e^-mean, or 0 where parts are drawn; `mark` is uniform.

    `rng`, (2,) uint64, is advanced by a draw for each part.
    """
    if none > 0.0:
        return searched(mark, none, 0.0, mean, most_of(mean))
    total = 0
    while mean > 0.0:
        part = min(mean, LARGEST)
        total += searched(mark, math.exp(-part), 0.0, part, most_of(part))
        mean -= part
        mark = uniform(rng)
    return total


@kernel
def binomial_part(mark: float, jobs: int, chance: float, none: float) -> int:
    """A binomial number by one search."""
    odds = chance / (1.0 - chance)
    return searched(mark, none, -odds, (jobs + 1) * odds, jobs)


@kernel
def binomial(mark: float, jobs: int, chance: float, none: float, rng: Any) -> int:
    """How many of `jobs` leave; `none` is P(0), or 0 where parts are drawn; `mark` is uniform.

    `rng`, (2,) uint64, is advanced by a draw for each part.
    """
    if none > 0.0:
        return binomial_part(mark, jobs, chance, none)
    if chance >= 1.0:
        return jobs
    rare = min(chance, 1.0 - chance)
    size = int(LARGEST / -math.log1p(-rare))
    total = 0
    left = jobs
    while left > 0:
        part = min(left, size)
        total += binomial_part(mark, part, rare, math.exp(part * math.log1p(-rare)))
        left -= part
        mark = uniform(rng)
    return total if chance == rare else jobs - total


@kernel
def departing(law: Departures, row: Any, jobs: int, rng: Any) -> int:
    """How many of a backend's `jobs` leave in a slot.

    Draws one number whether or not there are jobs (more only for parts), so that all policies meet
    the same possible departures.

    Reads `law`; `rng`, (2,) uint64, is the stream of events.
    """
    mark = uniform(rng)
    if jobs == 0:
        return 0
    none = law.none[row, jobs]
    if law.kind == BERNOULLI:
        return int(mark >= none)
    chance = law.chance[row, jobs]
    if law.kind == BINOMIAL:
        return binomial(mark, jobs, chance, none, rng)
    if chance == np.inf:
        return jobs
    return min(poisson(mark, chance, none, rng), jobs)
