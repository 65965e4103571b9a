"""Measured service times of each function at each level, and their spread.

*Means.* Times depend on the function, so a prior can only be about ratios of levels: how many times
longer a task takes with its data in the rack, or remote. At level l of
slowdown r_l, with service times of mean theta r_l, theta is estimated from all levels together, and

    mean of level l  =  (k theta r_l + sum of its times) / (k + number of its times),

the posterior mean under the conjugate prior of an exponential law with the weight of k = 10
observations. Each new observation of a level reduces the weight of its older ones by 1 / 200, so
that after a change half of the old ones are forgotten after 140.

*Spread.* Times, divided by their means, are counted in classes of a quarter of a power of two. The
expected remaining time of an attempt that has run for t means is estimated from tasks that took
longer, and a prior of weight k: the Lomax law of mean 1 and shape 3, which has a mean remaining
time of (2 + t) / 2. Its tail is heavy, to allow for tasks that hang.
"""

import math
from dataclasses import dataclass, field
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.model.cluster import Rates

WEIGHT = 10.0  # of the priors, in observations
MEMORY = 200.0  # observations
LEVELS = 3
PER_OCTAVE, LOWEST, CLASSES = 4, -8, 80  # from 2^-8 to 2^12 means


@final
@dataclass(slots=True)
class MeasuredTimes:
    """Service times of one function."""

    slowdown: tuple[float, ...]
    scale: float  # prior time of a local task, s
    count: list[float] = field(default_factory=lambda: [0.0] * LEVELS)
    total: list[float] = field(default_factory=lambda: [0.0] * LEVELS)  # s
    spread: list[float] = field(default_factory=lambda: [0.0] * CLASSES)
    observed: int = 0

    def observe(self, level: int, seconds: float) -> None:
        """Record the time of a task."""
        mean = self.mean(level)
        self._count(level, seconds)
        self.observed += 1
        if seconds > 0.0 < mean:
            at = int(PER_OCTAVE * (math.log2(seconds / mean) - LOWEST))
            self.spread[at if 0 <= at < CLASSES else min(max(at, 0), CLASSES - 1)] += 1.0
        if self.observed % (1 << 12) == 0:
            self.spread = [0.5 * share for share in self.spread]

    def observe_fetch(self, level: int, seconds: float) -> None:
        """Record the time of a fetch, by which a task at this level would take longer."""
        self._count(level, seconds + self.mean(0))

    def _count(self, level: int, seconds: float) -> None:
        self.count[level] += 1.0 - self.count[level] / MEMORY
        self.total[level] += seconds - self.total[level] / MEMORY

    def mean(self, level: int) -> float:
        """Expected service time at a level, s."""
        total, count, slowdown = self.total, self.count, self.slowdown
        seen = count[0] + count[1] + count[2]
        theta = self.scale
        if seen:
            theta = (
                total[0] / slowdown[0] + total[1] / slowdown[1] + total[2] / slowdown[2]
            ) / seen
        prior = WEIGHT * theta * slowdown[level]
        return (prior + total[level]) / (WEIGHT + count[level])

    def remaining(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Elapsed times in means, increasing, and the expected remaining time at each."""
        weight = np.array(self.spread)
        edges = 2.0 ** (LOWEST + np.arange(CLASSES + 1) / PER_OCTAVE)
        middle = np.sqrt(edges[:-1] * edges[1:])
        run = edges[:-1]
        longer = weight[::-1].cumsum()[::-1]
        above = (weight * middle)[::-1].cumsum()[::-1] - run * longer
        prior = WEIGHT * (1.0 + run / 2.0) ** -3.0
        return run, (prior * (1.0 + run / 2.0) + above) / (prior + longer)


@final
class MeasuredRates:
    """Service times of all functions, and the rates of their mixture, for policies.

    Attributes:
        longest: Longest running time of an ended attempt, measured or not, s.
    """

    def __init__(self, prior: Rates):
        self.prior = prior
        local = prior.levels[0]
        self._slowdown = tuple(local / rate for rate in prior.levels)
        self._of: dict[int, MeasuredTimes] = {}
        self._in_force = prior.levels
        self.longest = 0.0

    def of(self, function: int) -> MeasuredTimes:
        """Return a function's times; a new function starts with the mean of the others."""
        found = self._of.get(function)
        if found is None:
            known = [each.mean(0) for each in self._of.values() if each.observed]
            scale = math.fsum(known) / len(known) if known else 1.0 / self.prior.local
            found = self._of[function] = MeasuredTimes(self._slowdown, scale)
        return found

    def expected(self, function: int, level: int) -> float:
        """Return the expected service time at a level, for the search for stragglers, s.

        For a function without measurements, not even the scale is known, so this is derived from
        the longest time of any attempt or, if none has ended, from the given rates.
        """
        measured = self.of(function)
        if measured.observed:
            return measured.mean(level)
        return (self.longest or 1.0 / self.prior.local) * self._slowdown[level]

    def local_means(self) -> list[tuple[int, float]]:
        """Local service time of each function, s."""
        return [(function, each.mean(0)) for function, each in self._of.items()]

    def changed(self, least: float = 0.05) -> npt.NDArray[np.float64] | None:
        """Rates, tasks/s, local >= rack >= remote; None if none changed by a share of `least`."""
        seen = [each for each in self._of.values() if each.observed]
        if not seen:
            return None
        weight = [sum(each.count) for each in seen]
        mean = [
            math.fsum([w * each.mean(level) for w, each in zip(weight, seen, strict=True)])
            / sum(weight)
            for level in range(LEVELS)
        ]
        # A task farther from its data never counts as faster, even if measured so by chance.
        near = max(mean[0], 1e-9)
        far = max(mean[2], near)
        between = far if self.prior.rack is None else min(max(mean[1], near), far)
        rates = (1.0 / near, 1.0 / between, 1.0 / far)
        changes = (abs(new / old - 1.0) for new, old in zip(rates, self._in_force, strict=True))
        if all(change < least for change in changes):
            return None
        self._in_force = rates
        return np.array(rates)
