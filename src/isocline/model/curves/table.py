"""A measured curve: points (N, rate), made concave, cut at their peak, and smoothed.

Real measurements dip (noise) and fall again at high load (preemption, memory pressure). A point
below the line between its neighbours is dropped, for an average of its neighbours' workloads would
do better; points past the peak are dropped, for a router never needs to send more than the peak
holds. What was dropped is kept in `dropped` and said by every verb that loads the table.

Between the points lies a concave quadratic spline (Schumaker, SIAM J. Numer. Anal. 20(4), 1983), so
that l' is continuous and strictly decreasing; straight lines would make l' a staircase, and with it
the best split ambiguous. l' reaches 0 at the last point, and the rate stays there.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import require_fields
from isocline.errors import CurveError
from isocline.model.curves.base import Curve, FloatArray

Points = tuple[tuple[float, float], ...]

# Slopes this close (relative) are one line: a strict bend must survive rounding.
_BEND = 1e-9


@final
@dataclass(frozen=True)
class TableCurve(Curve):
    """Measured points [(N, rate), ...]; N in jobs, at least one point with N > 0 and rate > 0."""

    type: ClassVar[str] = "table"
    points: Points

    def __post_init__(self) -> None:
        require_fields(self, "table curve")
        _check(self.points)
        _require_bends(self.kept, self.points)

    @cached_property
    def kept(self) -> Points:
        """The measured points on the curve, after the origin, with increasing N and rate."""
        return _concave_envelope(self.points)

    @cached_property
    def dropped(self) -> Points:
        """The measured points above which the curve runs, or past its peak."""
        return tuple(point for point in sorted(self.points) if point not in (*self.kept, (0, 0)))

    @cached_property
    def knots(self) -> FloatArray:
        """(K, 3): N, rate and marginal rate at each knot of the spline; the last marginal is 0."""
        return _spline(np.array(((0.0, 0.0), *self.kept)))

    @property
    def supremum(self) -> float:
        return float(self.knots[-1, 1])

    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        x, r, g = self.knots.T
        n = np.minimum(np.asarray(workload, dtype=np.float64), x[-1])
        i = np.clip(np.searchsorted(x, n, side="right") - 1, 0, x.size - 2)
        step = n - x[i]
        bend = (g[i + 1] - g[i]) / (x[i + 1] - x[i])
        return np.asarray(r[i] + step * (g[i] + 0.5 * step * bend))

    def marginal(self, workload: npt.ArrayLike) -> FloatArray:
        x, _, g = self.knots.T
        return np.asarray(np.interp(np.asarray(workload, dtype=np.float64), x, g))

    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        x, r, g = self.knots.T
        a = np.asarray(rate, dtype=np.float64)
        i = np.clip(np.searchsorted(r, a, side="right") - 1, 0, x.size - 2)
        bend = (g[i + 1] - g[i]) / (x[i + 1] - x[i])
        more = np.maximum(a - r[i], 0.0)
        # The root of bend/2 s^2 + g s = more that does not cancel where the curve is nearly flat.
        root = g[i] + np.sqrt(np.maximum(g[i] ** 2 + 2.0 * bend * more, 0.0))
        return np.where(a < r[-1], x[i] + 2.0 * more / root, np.inf)

    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        x, _, g = self.knots.T
        return np.asarray(np.interp(np.asarray(marginal, dtype=np.float64), g[::-1], x[::-1]))

    def scaled(self, factor: float) -> Self:
        return self.__class__(tuple((n, rate * factor) for n, rate in self.points))

    def enlarged(self, factor: float) -> Self:
        return self.__class__(tuple((n * factor, rate * factor) for n, rate in self.points))

    def parameters(self) -> dict[str, Any]:
        return {"points": [list(point) for point in self.points]}


def _check(points: Points) -> None:
    seen: set[float] = set()
    for i, (n, rate) in enumerate(points):
        problem = None
        if not (np.isfinite(n) and np.isfinite(rate) and n >= 0 and rate >= 0):
            problem = f"point [{n:g}, {rate:g}] has a number that is not >= 0"
        elif n == 0 and rate != 0:
            problem = f"point [0, {rate:g}] serves without jobs; l(0) must be 0"
        elif n in seen:
            problem = f"workload {n:g} stands twice; average the measurements"
        if problem:
            raise CurveError(f"table curve: {problem}").within("points", i)
        seen.add(n)
    if not any(rate > 0 for _, rate in points):
        raise CurveError("table curve: no point with a rate above 0; give at least one")


def _require_bends(kept: Points, points: Points) -> None:
    """Raise CurveError where points are so far apart that rounding leaves no strict bend."""
    with np.errstate(all="ignore"):
        knots = _spline(np.array(((0.0, 0.0), *kept)))
        # Two knots follow from each point, the last of them at the point.
        bends = (np.diff(knots[:, 2]) < 0.0) & np.isfinite(knots[1:]).all(axis=1)
    if not bends.all():
        n, rate = kept[min(int(np.argmin(bends)) // 2, len(kept) - 1)]
        raise CurveError(
            f"table curve: point [{n:g}, {rate:g}] is too close to its neighbours, too far from "
            "the others or too large for a curve in double precision; leave it out"
        ).within("points", points.index((n, rate)))


def _concave_envelope(points: Points) -> Points:
    """Vertices of the least concave function above the points, after the origin, to its peak."""
    hull: list[tuple[float, float]] = [(0.0, 0.0)]
    for point in sorted(p for p in points if p[0] > 0):
        while len(hull) > 1 and _slope(hull[-1], point) >= (1 - _BEND) * _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    peak = max(range(1, len(hull)), key=lambda i: hull[i][1])
    return tuple(hull[1 : peak + 1])


def _slope(left: tuple[float, float], right: tuple[float, float]) -> float:
    return (right[1] - left[1]) / (right[0] - left[0])


def _spline(corners: FloatArray) -> FloatArray:
    """Knots (N, rate, marginal) of a C1 concave quadratic spline through concave corners."""
    x, r = corners.T
    width = np.diff(x)
    chord = np.diff(r) / width
    end = np.zeros(x.size)  # marginal rates at the corners; 0 at the peak
    end[1:-1] = (width[:-1] * chord[1:] + width[1:] * chord[:-1]) / (width[:-1] + width[1:])
    end[0] = 2.0 * chord[0] - end[1]  # the first piece is one parabola
    # One inner knot per interval, placed where the marginal rate equals the chord: then the two
    # parabolas meet both ends, and chord lies strictly between the end slopes, so l' decreases.
    at = (chord - end[1:]) / (end[:-1] - end[1:])
    inner_x = x[:-1] + at * width
    inner_r = r[:-1] + at * width * (end[:-1] + chord) / 2.0
    knots = np.column_stack((np.r_[x, inner_x], np.r_[r, inner_r], np.r_[end, chord]))
    return np.asarray(knots[np.lexsort((-knots[:, 2], knots[:, 0]))])
