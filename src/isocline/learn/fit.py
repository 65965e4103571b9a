"""Fit of a concave increasing service curve to completions C(n) and time T(n) at each workload n.

While a backend holds n jobs it completes them at rate l(n), so C(n) is Poisson with mean
l(n) T(n), and C(n) / T(n) is the maximum-likelihood rate at that one level. Levels share strength
in two steps.

1. Knee prior. l(N) = u s(N) for a shape s of the grid in `shapes`, u ~ Gamma, shape log-normal.
   u integrates out, so the posterior over the grid is exact, and its mean is a sum of knee curves.
   Where nothing was seen it continues the curve by the knees that agree with what was.
2. Correction. The sum's weights themselves move towards the data: w_g has a Gamma prior around
   step 1 worth `trust` completions in all, and expectation maximisation for Poisson counts raises
   the posterior in every step (Dempster, Laird, Rubin, 1977; L. Shepp, Y. Vardi, IEEE Trans.
   Med. Imaging 1, 1982). With much data any concave increasing curve is reached.

A curve whose rate falls at high load is cut at its measured peak: see `peak`. How far a fit can be
relied on is in `known`, which knows no prior.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.arguments import require_fields
from isocline.errors import UsageError
from isocline.learn.known import Interval, Known
from isocline.learn.shapes import binned, centres, shapes
from isocline.model.curves import KneeCurve, TableCurve

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@final
@dataclass(frozen=True)
class Prior:
    """Prior belief about a backend before it was observed; weak by default.

    `completions` is the confidence in its speed, in jobs finished. The knee is optimistic: until a
    bend is seen, more jobs at once are thought to be served at nearly no cost, so they are tried.
    """

    completions: float = 1.0
    knee: float = 32.0  # jobs, median
    knee_spread: float = 1.5  # standard deviation of ln knee
    sharpness: float = 2.0  # median
    sharpness_spread: float = 0.7
    trust: float = 50.0  # completions for which the knee family stands in against the counts

    def __post_init__(self) -> None:
        require_fields(self, "prior")
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise UsageError(f"prior: {name} is {value}; give a finite number above 0")

    @cached_property
    def log_density(self) -> FloatArray:
        """(G,) log prior probability of each shape, up to a constant."""
        grid = shapes()
        knee = np.log(grid.knee / self.knee) / self.knee_spread
        sharpness = np.log(grid.sharpness / self.sharpness) / self.sharpness_spread
        return np.asarray(-0.5 * (knee**2 + sharpness**2))


@final
@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted curve: sum over the grid of weight * shape."""

    weight: FloatArray  # (G,) jobs/s per job
    completions: float  # that it rests on, a given curve's among them; without the prior's
    largest: int  # the highest workload seen
    cut: int | None  # the measured peak, where rates fall beyond it
    known: Known  # what was seen alone says of the curve, with intervals

    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        """l(N), jobs/s, linear between the grid's workloads."""
        n = np.append(0.0, centres())
        rates = np.append(0.0, self.weight @ shapes().value)
        at = np.asarray(workload, dtype=np.float64)
        return np.asarray(np.interp(at if self.cut is None else np.minimum(at, self.cut), n, rates))

    @property
    def capacity(self) -> Interval:
        """95 % interval of the peak, jobs/s, in which the fit's own is."""
        return self.known.capacity.holding(self.curve.supremum)

    @property
    def unit_rate(self) -> float:
        """l'(0): jobs/s per job where none is in another's way."""
        return float(self.weight.sum())

    def raised(self, factor: float) -> "Fit":
        """The same curve, `factor` times as fast."""
        return self if factor == 1.0 else replace(self, weight=factor * self.weight)

    @cached_property
    def curve(self) -> TableCurve:
        """The fit as a curve that policies, plans and system files can use."""
        n = _KNOTS if self.cut is None else np.append(_KNOTS[self.cut > _KNOTS], self.cut)
        return TableCurve(tuple(zip(n.tolist(), self.rate(n).tolist(), strict=True)))

    @property
    def knee(self) -> KneeCurve:
        """The single knee curve nearest in shape: same l'(0) and capacity, mean log sharpness."""
        grid = shapes()
        share = self.weight / self.weight.sum()
        peak = float(self.weight @ grid.knee)
        sharpness = float(np.exp(share @ np.log(grid.sharpness)))
        return KneeCurve(peak, peak / self.unit_rate, sharpness)


# One by one up to 16, then 12 % apart: what lies between is a parabola in `TableCurve`.
_KNOTS = centres()[np.unique(np.searchsorted(centres(), np.r_[1:17, 16.5 * 1.12 ** np.arange(90)]))]

_STEPS, _LEAST = 20, 0.01


def fit(
    completions: FloatArray,
    seconds: FloatArray,
    prior: Prior | None = None,
    unit: float = 1.0,
    known: Known | None = None,
) -> Fit:
    """Fit a curve to C(n) (K,) and T(n) (K,), s, at the workloads n = 0 .. K - 1.

    Args:
        completions: C(n).
        seconds: T(n), s.
        prior: Belief before anything was observed.
        unit: What the prior expects of l'(0), jobs/s per job.
        known: What was seen, where the counts stand for a given curve as well; None: all of it.
    """
    prior = prior or Prior()
    known = known or Known(completions, seconds)
    cut = known.cut
    kept = slice(0, None if cut is None else cut + 1)
    largest = int(np.flatnonzero(known.seconds).max(initial=0))
    done, spent = binned(completions[kept]), binned(seconds[kept])
    seen = np.flatnonzero(spent)
    weight, share = _posterior(done[seen], spent[seen], seen, prior, unit)
    weight = _corrected(weight, share, done[seen], spent[seen], seen, prior.trust)
    return Fit(weight, float(done.sum()), largest, cut, known)


def _posterior(
    done: FloatArray, spent: FloatArray, seen: IndexArray, prior: Prior, unit: float
) -> tuple[FloatArray, FloatArray]:
    """(G,) weights of the mean over the grid, and the probability of each shape."""
    grid = shapes()
    total = done.sum() + prior.completions
    exposure = grid.value[:, seen] @ spent + prior.completions / unit
    log = prior.log_density + grid.log_value[:, seen] @ done - total * np.log(exposure)
    share = np.exp(log - log.max())
    share /= share.sum()
    return share * total / exposure, share


def _corrected(
    weight: FloatArray,
    share: FloatArray,
    done: FloatArray,
    spent: FloatArray,
    seen: IndexArray,
    trust: float,
) -> FloatArray:
    """The weights after some steps towards the counts."""
    if seen.size == 0:
        return weight
    grid = shapes()
    value = grid.value[:, seen]
    # Every shape that bends within what was seen keeps a little of the prior's mass and of the
    # rate at the highest level, or it could never come in. Others would only extrapolate.
    bends = grid.knee <= centres()[seen[-1]]
    few = _LEAST * bends / max(int(bends.sum()), 1)
    share = (1.0 - _LEAST) * share + few
    start = np.maximum(weight, few * (weight @ value[:, -1]) / value[:, -1])
    exposure = value @ spent + trust * share / np.maximum(start, 1e-300)
    weight = start
    for _ in range(_STEPS):
        weight = (weight * (value @ (done / (weight @ value))) + trust * share) / exposure
    return weight
