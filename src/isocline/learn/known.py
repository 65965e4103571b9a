"""Intervals for a learned curve, from the counts alone, without any prior.

**The lower end** of l(n) takes from curves only that they are concave: see `windows`. Beyond the
highest workload seen it stays as it is there. The capacity is at least the mean rate over any
window.

**The upper end** of l(n) is that of a profile likelihood interval: the region is every curve u s(N)
of the knee grid (`shapes`) whose likelihood is within the 95 % quantile of chi-squared, one degree
of freedom, of the best (S. S. Wilks, Ann. Math. Statist. 9(1), 1938). Real curves are no knees, and
with many completions the likelihood would be sure of the nearest knee. So a group of workloads,
half an octave wide, counts for at most 1 / MISFIT^2 completions: rates may be MISFIT off the
family's, which adds (MISFIT m)^2 to the variance m of a group's count. Counts that scatter more
even so flatten the likelihood by their dispersion (R. W. M. Wedderburn, Biometrika 61(3), 1974).

Knees do not fall. A curve that rises to a sharp corner at 4 jobs and then loses 3 % with each more
is averaged by them to one that peaks 5 % lower, the more surely the more was seen. But the counts
up to its peak are those of a knee. So at each workload that may be the peak no upper end is below
that by the counts up to there alone, or what `windows` says of peaks if that is lower. A workload
before the window of the highest lower end is no peak if its own upper end is below that: the curve
rises there. Where rates beyond some workload are lower by two standard deviations, too few to cut
the curve there (`peak`), the upper ends before it are the higher of those by all counts and by the
counts up to there.

Beyond the highest workload seen the upper end follows the tangent, which no concave curve exceeds.

The capacity has an upper end only if every shape of the region bends within what was seen, and if
that end is at most FURTHEST times the lower one; otherwise it would be the family's invention. A
backend that begins to rise again beyond what was seen is not foreseen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.learn.peak import BRIEF, cut_level
from isocline.learn.shapes import binned, centres, shapes
from isocline.learn.windows import Floor, floor, highest_peaks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Half of 3.84, the 95 % quantile of chi-squared with one degree of freedom.
_SLACK = 1.92
# Between the family and other concave curves, as exponential ones, stations of parallel servers and
# published tables.
MISFIT = 0.04
_GROUPS_PER_OCTAVE = 2.0
# Standard deviations by which rates beyond a peak are lower, for it to be suspected.
_SUSPECTED = 2.0
_REACH = 1.1  # from the middle to the end of the group of workloads at a peak
# What the grid (1 %) and the mean over a group leave, of an upper end.
_FLOOR = 0.04
FURTHEST = 2.0
# Completions expected in a group, from which their scatter is close to chi-squared.
_LEAST_EXPECTED = 5.0
# The dispersion is shrunk to 1 as if by so many more groups that scatter as Poisson counts do.
_STEADY = 4.0
_PARAMETERS = 3  # of a knee curve
# A workload counts as seen if so many completions were due there and beyond.
_LEAST_DUE = 1.0
# Quadratic convergence from within a factor of 3 of the root: 6 steps to rounding, and some more.
_NEWTON_STEPS = 12
_FAR = 600.0  # its exponential is still a number


class Interval(NamedTuple):
    """A 95 % interval, jobs/s."""

    low: float
    high: float | None  # None: no upper end is known

    def scaled(self, factor: float) -> "Interval":
        """In another unit."""
        return Interval(self.low * factor, None if self.high is None else self.high * factor)

    def holding(self, value: float) -> "Interval":
        """The least interval around this one that holds a value."""
        high = None if self.high is None else max(self.high, value)
        return Interval(min(self.low, value), high)


class Seen(NamedTuple):
    """Observations of neighbouring workloads together."""

    first: int  # jobs
    last: int
    jobs: float  # held on average over the time
    completions: float
    seconds: float

    @property
    def rate(self) -> float:
        """Jobs/s."""
        return self.completions / self.seconds


class _Region(NamedTuple):
    """The M shapes of the region; u is in jobs/s per job."""

    shape: IntArray  # (M,) numbers in the grid
    slowest: FloatArray  # (M,) least u of each
    fastest: FloatArray  # (M,) greatest


class _Peaks(NamedTuple):
    """The P workloads seen that may be the peak, ascending."""

    jobs: FloatArray  # (P,) N
    high: FloatArray  # (P,) jobs/s, upper end of l(N) by the counts up to N


@final
@dataclass(frozen=True, eq=False)
class Known:
    """Knowledge of a curve from completions (K,) and times (K,), s, at workloads 0 .. K - 1."""

    completions: FloatArray
    seconds: FloatArray

    @cached_property
    def cut(self) -> int | None:
        """The measured peak, where rates fall beyond it."""
        return cut_level(self.completions, self.seconds)

    @cached_property
    def seen(self) -> int:
        """The highest workload at and beyond which a completion was due; 0 if there is none."""
        level = np.arange(self.seconds.size)
        rate = self._rate(level)
        due = np.cumsum((rate * self.seconds)[::-1])[::-1]
        return int(level[due >= _LEAST_DUE].max(initial=0))

    def bounds(self, workload: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """(low, high) of l(N), jobs/s, 95 % each by itself; high is inf where nothing is known."""
        n = np.asarray(workload, dtype=np.float64)
        if self.cut is not None:
            n = np.minimum(n, self.cut)
        if self.seen == 0:
            return np.zeros(n.shape), np.where(n > 0, np.inf, 0.0)
        region, grid, end = self._region, shapes(), float(self.seen)
        within = np.minimum(n, end)
        knee, sharpness = grid.knee[region.shape], grid.sharpness[region.shape]
        slope = (1.0 + (end / knee) ** sharpness) ** (-1.0 - 1.0 / sharpness)
        column = (-1, *(1,) * n.ndim)
        tangent = _values(region.shape, within) + slope.reshape(column) * (n - within)
        high = (1.0 + _FLOOR) * (region.fastest.reshape(column) * tangent).max(axis=0)
        if self._rising is not None:
            high = np.maximum(high, self._rising.bounds(np.minimum(n, self._rising.seen))[1])
        jobs, peak = self._peaks
        if jobs.size:
            high = np.maximum(high, np.interp(n, jobs, peak, left=0.0))
        top = self.capacity.high
        return self._floor.at(within), high if top is None else np.minimum(high, top)

    def intervals(
        self, points: Sequence[tuple[float, float]]
    ) -> list[tuple[float, float, float | None]]:
        """(N, low, high) at points (N, rate) of a curve, each holding that rate; None: no end."""
        if not points:
            return []
        n, rate = np.array(points).T
        low, high = self.bounds(n)
        low, high = np.minimum(low, rate), np.maximum(high, rate)
        return [
            (at, below, above if math.isfinite(above) else None)
            for at, below, above in zip(n.tolist(), low.tolist(), high.tolist(), strict=True)
        ]

    @cached_property
    def groups(self) -> tuple[Seen, ...]:
        """Observations, in groups of workloads half an octave wide."""
        level = np.flatnonzero((self.seconds > BRIEF) & (np.arange(self.seconds.size) > 0))
        if not level.size:
            return ()
        octave = np.floor(_GROUPS_PER_OCTAVE * np.log2(level))
        first = np.flatnonzero(np.append(True, np.diff(octave) > 0))
        done, spent, jobs = (
            np.add.reduceat(it[level], first)
            for it in (
                self.completions,
                self.seconds,
                self.seconds * np.arange(self.seconds.size),
            )
        )
        last = np.append(first[1:], level.size) - 1
        return tuple(
            Seen(*of)
            for of in zip(
                level[first].tolist(),
                level[last].tolist(),
                (jobs / spent).tolist(),
                done.tolist(),
                spent.tolist(),
                strict=True,
            )
        )

    @cached_property
    def capacity(self) -> Interval:
        """Interval of the peak: at least the rate at the highest workload seen."""
        if self.seen == 0:
            return Interval(0.0, None)
        region = self._region
        end = self.seen if self.cut is None else self.cut
        low = float(self._floor.rising[-1])
        if self.cut is not None:
            value = _values(region.shape, np.float64(end))
            high = (1.0 + _FLOOR) * float((region.fastest * value).max())
            return Interval(low, max(high, float(self._peaks.high.max(initial=0.0))))
        knee = shapes().knee[region.shape]
        high = (1.0 + _FLOOR) * float((region.fastest * knee).max())
        high = max(high, float(self._peaks.high.max(initial=0.0)))
        bent = float(knee.max()) <= end and high <= FURTHEST * low
        return Interval(low, high if bent else None)

    @cached_property
    def _rising(self) -> "Known | None":
        """The counts up to a peak that is suspected only; None where there is none."""
        peak = cut_level(self.completions, self.seconds, _SUSPECTED) if self.cut is None else None
        if peak is None:
            return None
        end = int(_REACH * peak) + 2
        if end >= self.seconds.size:  # all of them
            return None
        return Known(self.completions[:end], self.seconds[:end])

    @cached_property
    def _held(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """Completions and times in the bins of `shapes` that were held, and which."""
        kept = slice(0, None if self.cut is None else self.cut + 1)
        done, spent = binned(self.completions[kept]), binned(self.seconds[kept])
        held = np.flatnonzero(spent > BRIEF)
        return done[held], spent[held], held

    @cached_property
    def _floor(self) -> Floor:
        done, spent, held = self._held
        return floor(centres()[held], done, spent)

    @cached_property
    def _peaks(self) -> _Peaks:
        done, spent, held = self._counts
        seen = int(np.searchsorted(centres()[held], self.seen, side="right"))
        done, spent, held = done[:seen], spent[:seen], held[:seen]
        # As `_region`, of all counts up to each workload at once.
        value, log_value = shapes().value[:, held], shapes().log_value[:, held]
        exposure, total = np.cumsum(value * spent, axis=1), np.maximum(np.cumsum(done), 1e-9)
        log = np.cumsum(log_value * done, axis=1) - total * np.log(exposure)
        slack = _SLACK * self._dispersion - (log.max(axis=0) - log)
        inside = slack >= 0.0
        high = np.where(inside, total / exposure * value, 0.0)
        high[inside] *= _ratios((slack / total)[inside])[1]
        most = (1.0 + _FLOOR) * high.max(axis=0)
        jobs = centres()[held]
        most = np.minimum(most, highest_peaks(*self._held[:2], self._floor)[:seen])
        rises = np.flatnonzero((jobs < self._floor.start) & (most <= self._floor.best))
        first = int(rises.max(initial=-1)) + 1
        return _Peaks(jobs[first:], most[first:])

    @cached_property
    def _counts(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """The same, weighted."""
        done, spent, held = self._held
        weight = by_group(done, held)
        return done * weight, spent * weight, held

    @cached_property
    def _likelihood(self) -> tuple[FloatArray, FloatArray]:
        """(G,) log likelihood of each shape at its best u, and the exposure that u divides."""
        grid = shapes()
        done, spent, held = self._counts
        exposure = grid.value[:, held] @ spent
        return grid.log_value[:, held] @ done - done.sum() * np.log(exposure), exposure

    def _rate(self, workload: IntArray) -> FloatArray:
        """The rate by the likeliest shape, jobs/s."""
        done, spent, _ = self._counts
        if spent.sum() == 0.0:
            return np.zeros(workload.size)
        log, exposure = self._likelihood
        best = int(np.argmax(log))
        return np.asarray(done.sum() / exposure[best] * _values(np.array([best]), workload)[0])

    @cached_property
    def _region(self) -> _Region:
        done, _, _ = self._counts
        log, exposure = self._likelihood
        slack = _SLACK * self._dispersion - (log.max() - log)
        shape = np.flatnonzero(slack >= 0.0)
        low, high = _ratios(slack[shape] / done.sum())
        best = done.sum() / exposure[shape]
        return _Region(shape, best * low, best * high)

    @cached_property
    def _dispersion(self) -> float:
        """How many times the variance of Poisson counts the counts have around the best shape."""
        done, spent, held = self._counts
        log, exposure = self._likelihood
        best = int(np.argmax(log))
        expected = done.sum() / exposure[best] * shapes().value[best, held] * spent
        first = _groups(expected)
        due, counted = np.add.reduceat(expected, first), np.add.reduceat(done, first)
        freedom = max(first.size - _PARAMETERS, 0)
        scatter = float(((counted - due) ** 2 / due).sum()) if freedom else 0.0
        return max(1.0, (scatter + _STEADY) / (freedom + _STEADY))


def by_group(done: FloatArray, held: IntArray, misfit: float = MISFIT) -> FloatArray:
    """Weights (H,) of completions in the bins `held`: a group counts for at most 1 / misfit^2."""
    group = np.floor(_GROUPS_PER_OCTAVE * np.log2(centres()[held])).astype(np.int64)
    return np.asarray(1.0 / (1.0 + misfit**2 * np.bincount(group, done)[group]))


def _groups(expected: FloatArray) -> IntArray:
    """First indices of consecutive groups of bins in which enough completions were expected."""
    total = np.cumsum(expected)
    group = np.minimum(total // _LEAST_EXPECTED, max(total[-1] // _LEAST_EXPECTED - 1.0, 0.0))
    return np.flatnonzero(np.append(True, np.diff(group) > 0))


def _values(shape: IntArray, workload: npt.ArrayLike) -> FloatArray:
    """(M, ...) s(N) of M shapes, linear between the grid's workloads."""
    n = np.append(0.0, centres())
    at = np.clip(np.asarray(workload, dtype=np.float64), 0.0, n[-1])
    first = np.minimum(np.searchsorted(n, at, side="right") - 1, n.size - 2)
    share = (at - n[first]) / (n[first + 1] - n[first])
    value = np.pad(shapes().value[shape], ((0, 0), (1, 0)))
    return np.asarray((1.0 - share) * value[:, first] + share * value[:, first + 1])


def _ratios(slack: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The x < 1 and x > 1 with x - 1 - ln x = slack: ends of u over its best value.

    Newton's method from outside: the function is convex, so it falls monotonically onto the roots.
    """
    low = np.exp(-1.0 - np.minimum(slack, _FAR))
    high = 1.0 + slack + np.sqrt(slack * (slack + 2.0))
    for _ in range(_NEWTON_STEPS):
        low = low - (low - 1.0 - np.log(low) - np.minimum(slack, _FAR)) / np.minimum(
            1.0 - 1.0 / low, -1e-12
        )
        high = high - (high - 1.0 - np.log(high) - slack) / np.maximum(1.0 - 1.0 / high, 1e-12)
    return np.minimum(low, 1.0), np.maximum(high, 1.0)
