"""The service curve of measured points, and how far it can be relied on.

1. Cut. A rate beyond the highest one that is lower by FALL, and by more than its error, is past the
   peak: a router never needs to send more than the peak holds. Such points are left out.
2. Fit. `isocline.learn.fit` takes each point as the Poisson count that has its relative error. Its
   family of curves has no corners, so that with very many completions it keeps a bias of a few per
   cent.
3. Residuals. The logarithm of measured over fitted rate, linear in ln N between the points, is
   added, each point's shrunk by MISFIT^2 / (MISFIT^2 + error^2): the best linear estimate where the
   fit is off by MISFIT and the measurement by its error. Points that are sure are met, and points
   that are noisy leave the fit as it is. Of exact rates at each doubling of N the others then
   predict hyperbolic, exponential and knee curves to 0.2 to 3 %, a station of parallel servers to
   11 % (the table of the points alone: 3 to 16 %, and 19 %).
4. Table. The least concave curve above, at 1, 2, 3, 4, 6, 8, 12, ... jobs up to the last point
   kept. It is not extrapolated.

The 95 % interval is that of `isocline.learn.known`, of all points, those past the peak included; it
rests on counts and concavity, not on the fit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import checked
from isocline.errors import CurveError, UsageError
from isocline.learn.fit import fit
from isocline.learn.known import MISFIT, Interval, Known
from isocline.learn.peak import FALL, LEAST_COMPLETIONS
from isocline.measurements.points import MeasuredPoint, pooled
from isocline.model.curves import TableCurve
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

# Standard deviations by which the rates beyond a peak are lower. Fewer than the learner asks, which
# looks all the time and forgets what it cuts: here it is one look, and what is cut is shown.
_SURE = 2.0
# A curve that grows by more than this over the last doubling of N has no peak yet.
_RISING = 1.05
# Each slope of the table is lower by this than the one before, so that no point is on the line of
# its neighbours and is dropped by who reads the table; over 20 points the rates fall by 0.2 %.
_BEND = 1e-4
# Growth, relative, below which the table ends: the digits written would not show it.
_FLAT = 1e-4
_DIGITS = 6
_NEAR_END = 1.1  # no workload of the table is as near to the last as this
_UNLIKE = 1e9  # ratio of rates from which one of them is wrong
_MOST_HELD_OUT = 200  # each costs a fit


class HeldOut(NamedTuple):
    """A measured point, and the rate that the others predict for it."""

    point: MeasuredPoint
    predicted: float

    @property
    def error(self) -> float:
        """Relative: 0.1 is 10 % too high."""
        return self.predicted / self.point.rate - 1.0


class CutPoint(NamedTuple):
    """A measured point past the peak, with the reason why it is left out."""

    point: MeasuredPoint
    reason: str


class Peak(NamedTuple):
    """The workload from which on the curve no longer rises, and its rate there."""

    workload: float
    rate: float


@final
@dataclass(frozen=True, eq=False)
class MeasuredCurve(Record):
    """A service curve, the points it was fitted to, and how well they predict each other."""

    picture: ClassVar[str] = "plots.measured:measured_plot"
    words: ClassVar[str] = "tables.measured:measured_report"
    name: str
    unit: str  # of the rates, per second
    points: tuple[MeasuredPoint, ...]  # all of them, those at one workload as one, by workload
    cut: tuple[CutPoint, ...]
    curve: TableCurve
    peak: Peak | None  # None: the curve still rises at the last point
    held_out: tuple[HeldOut, ...]  # each kept point that has kept ones on both sides
    mean_work: float | None = None  # of a job, in `unit`; None: unknown, or the unit is jobs

    @property
    def kept(self) -> tuple[MeasuredPoint, ...]:
        """The points that the curve was fitted to."""
        return self.points[: len(self.points) - len(self.cut)]

    @cached_property
    def _known(self) -> tuple[Known, float]:
        scale = max(point.rate for point in self.points)
        return Known(*_counts(self.points, scale)), scale

    def bounds(self, workload: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """(low, high) of the rate, 95 % each by itself, around the curve's own; high may be inf."""
        known, scale = self._known
        low, high = known.bounds(workload)
        rate = self.curve.rate(workload)
        return np.minimum(low * scale, rate), np.maximum(high * scale, rate)

    def interval(self, workload: float) -> Interval:
        """95 % interval of the rate at a workload; high is None where nothing is known."""
        low, high = (float(end) for end in self.bounds(workload))
        return Interval(low, high if math.isfinite(high) else None)

    def within(self, share: float) -> int:
        """The held-out points that are predicted to this share of their rate."""
        return sum(abs(held.error) <= share for held in self.held_out)

    def entry(self) -> dict[str, Any]:
        """The key `curve` of a backend in a system file."""
        return {
            "type": self.curve.type,
            "points": [[int(n) if n == int(n) else n, rate] for n, rate in self.curve.points],
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each point, by workload."""
        low, high = self.bounds([point.workload for point in self.points])
        predicted = {held.point: held for held in self.held_out}
        reasons = {cut.point: cut.reason for cut in self.cut}
        return [
            {
                "workload": point.workload,
                "rate": point.rate,
                # Of counts, too: read again they alone would not say it.
                "standard_error": point.spread * point.rate if point.counted else None,
                "completions": point.completions or None,
                "seconds": point.seconds or None,
                "curve": float(self.curve.rate(point.workload)),
                "low": float(low[i]),
                "high": float(high[i]) if math.isfinite(high[i]) else None,
                "predicted": (held := predicted.get(point)) and held.predicted,
                "prediction_error": held and held.error,
                "cut": reasons.get(point),
                "source": point.source,
            }
            for i, point in enumerate(self.points)
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "measured-curve",
            "name": self.name,
            "unit": f"{self.unit}/s",
            "mean_work": self.mean_work,
            "curve": self.entry(),
            "peak": self.peak and self.peak._asdict(),
            "points": self.rows(),
            "held_out": {
                "points": len(self.held_out),
                "within_10_percent": self.within(0.1),
                "largest_error": max((abs(one.error) for one in self.held_out), default=None),
            },
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each point."""
        return data_frame(self.rows())


@checked()
def measured_curve(
    points: Sequence[MeasuredPoint],
    unit: str = "jobs",
    name: str = "measured",
    *,
    mean_work: float | None = None,
) -> MeasuredCurve:
    """Fit a service curve to measured points.

    Args:
        points: In any order; those at one workload are averaged.
        unit: Of their rates, per second: "jobs", or a unit of work such as "tokens".
        name: Of the backend.
        mean_work: Of a job, in `unit`, where that is known and not jobs.

    Raises:
        UsageError: There are no points, their rates differ beyond belief, or they are so far apart
            that double precision has no curve through them.
    """
    if not points:
        raise UsageError(f"{name}: no points; give at least one workload with its rate")
    together = pooled(points)
    slow, fast = (ends(together, key=lambda point: point.rate) for ends in (min, max))
    if fast.rate > _UNLIKE * slow.rate:
        raise UsageError(
            f"{name}: rates of one backend do not range from {slow.rate:.3g} ({slow.source}) to "
            f"{fast.rate:.3g} ({fast.source}); leave out what is wrong"
        )
    kept, cut = _split(together, unit)
    try:
        curve = _curve(kept)
        inner = range(1, len(kept) - 1)
        if len(inner) > _MOST_HELD_OUT:
            chosen = np.linspace(1, len(kept) - 2, _MOST_HELD_OUT).round()
            inner = sorted(set(chosen.astype(int).tolist()))  # type: ignore[assignment]
        held_out = tuple(
            HeldOut(kept[i], float(_curve(kept[:i] + kept[i + 1 :]).rate(kept[i].workload)))
            for i in inner
        )
    except CurveError as error:
        raise UsageError(f"{name}: no curve can be made of these points: {error}") from error
    end, top = curve.points[-1]
    # Of the last point and not of the table, which ends where the curve no longer grows.
    half = float(curve.rate(kept[-1].workload / 2.0))
    rising = not cut and (len(kept) == 1 or top > _RISING * half)
    return MeasuredCurve(
        name=name,
        unit=unit,
        points=together,
        cut=cut,
        curve=curve,
        peak=None if rising else Peak(end, top),
        held_out=held_out,
        mean_work=mean_work,
    )


Points = tuple[MeasuredPoint, ...]


def _split(points: Points, unit: str) -> tuple[Points, tuple[CutPoint, ...]]:
    """The points up to the peak, and those past it."""
    sure = [i for i, point in enumerate(points) if point.weight >= LEAST_COMPLETIONS]
    if not sure:
        return points, ()
    at = max(sure, key=lambda i: points[i].rate)
    top, beyond = points[at], points[at + 1 :]
    if not beyond:
        return points, ()
    weight = sum(point.weight for point in beyond)
    rest = weight / sum(point.weight / point.rate for point in beyond)
    deviation = math.hypot(top.rate * top.spread, rest * weight**-0.5)
    if rest >= FALL * top.rate or top.rate - rest < _SURE * deviation:
        return points, ()
    cut = tuple(CutPoint(point, _reason(point, top, unit)) for point in beyond)
    return points[: at + 1], cut


def _reason(point: MeasuredPoint, top: MeasuredPoint, unit: str) -> str:
    peak = f"{top.rate:.4g} {unit}/s at N = {top.workload:.4g}"
    fall = 1.0 - point.rate / top.rate
    return f"past the peak of {peak}: {100.0 * fall:.2g} % lower"


def _curve(points: Points) -> TableCurve:
    """The curve up to the last of the points, which are ascending in workload."""
    scale = max(point.rate for point in points)
    speed = max(point.rate / scale / point.workload for point in points)
    base = fit(*_counts(points, scale), unit=speed)
    n = np.array([point.workload for point in points])
    rate = np.array([point.rate / scale for point in points])
    spread = np.array([point.spread for point in points])
    share = MISFIT**2 / (MISFIT**2 + spread**2)
    residual = share * np.log(rate / base.rate(n))
    at = _workloads(float(n[-1]))
    corrected = base.rate(at) * np.exp(np.interp(np.log(at), np.log(n), residual))
    return _bent(at, scale * corrected)


def _workloads(end: float) -> FloatArray:
    """1, 2, 3, 4, 6, 8, 12, ... up to `end`, and that."""
    powers = 2.0 ** np.arange(max(math.ceil(math.log2(end)), 0) + 1)
    steps = np.sort(np.append(powers, 1.5 * powers[1:]))
    return np.append(steps[steps * _NEAR_END < end], end)


def _bent(at: FloatArray, rate: FloatArray) -> TableCurve:
    """The least concave curve above the points, as a table of points that are all on it."""
    hull = np.array(((0.0, 0.0), *TableCurve(_pairs(at, rate)).kept))
    above = np.interp(at, *hull.T)
    slope = np.diff(above, prepend=0.0) / np.diff(at, prepend=0.0)
    points: list[tuple[float, float]] = []
    before, height, steepest = 0.0, 0.0, math.inf
    for n, one in zip(at.tolist(), slope.tolist(), strict=True):
        steepest = min(one, steepest * (1.0 - _BEND))
        more = steepest * (n - before)
        if more <= _FLAT * height:
            break
        before, height = n, height + more
        points.append((float(f"{n:.{_DIGITS}g}"), float(f"{height:.{_DIGITS}g}")))
    return TableCurve(TableCurve(tuple(points)).kept)


def _pairs(at: FloatArray, rate: FloatArray) -> tuple[tuple[float, float], ...]:
    return tuple(zip(at.tolist(), rate.tolist(), strict=True))


def _counts(points: Points, scale: float) -> tuple[FloatArray, FloatArray]:
    """(K,) completions and (K,) seconds at the workloads 0 .. K - 1, of rates over `scale`.

    A point between two whole workloads counts as time at both, so that the mean is its own; its
    completions are shared as the rates of its neighbours are.
    """
    size = math.floor(points[-1].workload) + 2
    done, spent = np.zeros(size), np.zeros(size)
    n = np.log([point.workload for point in points])
    rate = np.log([point.rate for point in points])
    # d ln l / d ln N, between 0 and 1 of a concave increasing curve; 1 if one point says nothing.
    power = np.clip(np.gradient(rate, n), 0.0, 1.0) if len(points) > 1 else np.ones(1)
    for point, exponent in zip(points, power.tolist(), strict=True):
        level = math.floor(point.workload)
        above = point.workload - level
        seconds = point.weight / (point.rate / scale)
        low = (1.0 - above) * level**exponent if level else 0.0
        high = above * (level + 1) ** exponent
        share = high / (low + high)
        done[level] += (1.0 - share) * point.weight
        done[level + 1] += share * point.weight
        spent[level] += (1.0 - above) * seconds
        spent[level + 1] += above * seconds
    return done, spent
