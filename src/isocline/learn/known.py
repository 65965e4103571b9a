"""Intervals for a learned curve, from the counts alone, without any prior.

**The lower end** of l(n) takes from curves only that they are concave. They may fall: where n is
before the peak, the mean rate over any window of workloads up to n is at most l(n); where it is
beyond, so is that over any window from n on. Which of the two holds is not known, so the lower of
the best of each is taken. On both sides n times the mean rate per job over a window from n on is at
most l(n). Beyond the highest workload seen the lower end stays as it is there. The capacity is at
least the mean rate over any window.

**The upper end** of l(n) is that of a profile likelihood interval: the region is every curve u s(N)
of the knee grid (`shapes`) whose likelihood is within the 95 % quantile of chi-squared, one degree
of freedom, of the best (S. S. Wilks, Ann. Math. Statist. 9(1), 1938). Real curves are no knees, and
with many completions the likelihood would be sure of the nearest knee. So a group of workloads,
half an octave wide, counts for at most 1 / MISFIT^2 completions: rates may be MISFIT off the
family's, which adds (MISFIT m)^2 to the variance m of a group's count. Counts that scatter more
even so flatten the likelihood by their dispersion (R. W. M. Wedderburn, Biometrika 61(3), 1974).
Knees do not fall: where rates beyond some workload are lower by two standard deviations, too few to
cut the curve there (`peak`), the upper end is the higher of those by all counts and by the counts
up to there.
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

from isocline.learn.peak import cut_level
from isocline.learn.shapes import binned, centres, shapes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Half of 3.84, the 95 % quantile of chi-squared with one degree of freedom.
_SLACK = 1.92
# A normal count is 1.96 standard deviations below its mean in 2.5 %; of the best of some dozens of
# windows that overlap, 3 are, by simulation.
_SURE = 3.0
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
_BRIEF = 1e-12  # s; less time at a workload is none


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
    """What was seen of some workloads together."""

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


class _Floor(NamedTuple):
    """Lower ends by windows of the H workloads that were held."""

    jobs: FloatArray  # (H,) N
    rising: FloatArray  # (H,) jobs/s, by windows that end at N or before
    falling: FloatArray  # (H,) jobs/s, by windows that begin at N or beyond
    each: FloatArray  # (H,) jobs/s per job, by these


@final
@dataclass(frozen=True, eq=False)
class Known:
    """What completions (K,) and times (K,), s, at the workloads 0 .. K - 1 say of a curve."""

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
        top = self.capacity.high
        return self._least(within), high if top is None else np.minimum(high, top)

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
        """What was seen, in groups of workloads half an octave wide."""
        level = np.flatnonzero((self.seconds > _BRIEF) & (np.arange(self.seconds.size) > 0))
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
        """Of the peak: at least the rate at the highest workload seen."""
        if self.seen == 0:
            return Interval(0.0, None)
        region = self._region
        end = self.seen if self.cut is None else self.cut
        low = float(self._floor.rising[-1])
        if self.cut is not None:
            value = _values(region.shape, np.float64(end))
            return Interval(low, (1.0 + _FLOOR) * float((region.fastest * value).max()))
        knee = shapes().knee[region.shape]
        high = (1.0 + _FLOOR) * float((region.fastest * knee).max())
        if self._rising is not None:
            high = max(high, float(self._rising.bounds(self._rising.seen)[1]))
        bent = float(knee.max()) <= end and high <= FURTHEST * low
        return Interval(low, high if bent else None)

    @cached_property
    def _rising(self) -> "Known | None":
        """The counts up to a peak that is suspected only; None where there is none."""
        peak = cut_level(self.completions, self.seconds, _SUSPECTED) if self.cut is None else None
        if peak is None:
            return None
        end = int(_REACH * peak) + 2
        return Known(self.completions[:end], self.seconds[:end])

    def _least(self, workload: FloatArray) -> FloatArray:
        """Lower ends of l(N): the best of all windows, each less _SURE standard deviations."""
        n, rising, falling, each = self._floor
        at = np.asarray(workload, dtype=np.float64)
        first = np.searchsorted(n, at)
        before = np.append(0.0, rising)[np.searchsorted(n, at, side="right")]
        beyond, per_job = np.append(falling, 0.0)[first], np.append(each, 0.0)[first]
        return np.asarray(np.maximum(np.minimum(before, beyond), at * per_job))

    @cached_property
    def _floor(self) -> _Floor:
        kept = slice(0, None if self.cut is None else self.cut + 1)
        done, spent = binned(self.completions[kept]), binned(self.seconds[kept])
        held = np.flatnonzero(spent > _BRIEF)
        n = centres()[held]
        total, time, jobs = (
            np.append(0.0, np.cumsum(it)) for it in (done[held], spent[held], spent[held] * n)
        )
        # Of the window from one workload to another, by rows and columns; 0 where it is empty.
        counted = total[np.newaxis, 1:] - total[:-1, np.newaxis]
        rate = _less(counted, time[np.newaxis, 1:] - time[:-1, np.newaxis])
        each = _from_on(_less(counted, jobs[np.newaxis, 1:] - jobs[:-1, np.newaxis]).max(axis=1))
        rising = np.maximum.accumulate(np.maximum(rate.max(axis=0), n * each))
        return _Floor(n, rising, _from_on(np.maximum(rate.max(axis=1), n * each)), each)

    @cached_property
    def _counts(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """Weighted completions and times in the bins of `shapes` that were held, and which."""
        kept = slice(0, None if self.cut is None else self.cut + 1)
        done, spent = binned(self.completions[kept]), binned(self.seconds[kept])
        held = np.flatnonzero(spent > _BRIEF)
        done, spent = done[held], spent[held]
        group = np.floor(_GROUPS_PER_OCTAVE * np.log2(centres()[held])).astype(np.int64)
        weight = 1.0 / (1.0 + MISFIT**2 * np.bincount(group, done)[group])
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


def _less(done: FloatArray, time: FloatArray) -> FloatArray:
    """Lower ends of rates, _SURE standard deviations below; 0 where there is nothing.

    A gamma quantile by E. B. Wilson and M. M. Hilferty, Proc. Natl. Acad. Sci. 17(12), 1931.
    """
    count = np.maximum(done, 1e-9)
    cube = np.maximum(1.0 - 1.0 / (9.0 * count) - _SURE / (3.0 * np.sqrt(count)), 0.0)
    return np.where(time > 0.0, count * cube**3 / np.where(time > 0.0, time, 1.0), 0.0)


def _from_on(values: FloatArray) -> FloatArray:
    """The greatest from each place on."""
    return np.maximum.accumulate(values[::-1])[::-1]


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
    low = np.exp(-1.0 - slack)
    high = 1.0 + slack + np.sqrt(slack * (slack + 2.0))
    for _ in range(_NEWTON_STEPS):
        low = low - (low - 1.0 - np.log(low) - slack) / np.minimum(1.0 - 1.0 / low, -1e-12)
        high = high - (high - 1.0 - np.log(high) - slack) / np.maximum(1.0 - 1.0 / high, 1e-12)
    return np.minimum(low, 1.0), np.maximum(high, 1.0)
