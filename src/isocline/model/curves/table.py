"""A measured curve: points (N, rate), made concave, cut at their peak, and smoothed.

Real measurements dip (noise) and fall again at high load (preemption, memory pressure). A point
below the line between its neighbours is dropped, for an average of its neighbours' workloads would
do better; points past the peak are dropped, for a router never needs to send more than the peak
holds. What was dropped is kept in `dropped` and said by every verb that loads the table, with how
far the curve runs above.

Between the points lies a concave quadratic spline (Schumaker, SIAM J. Numer. Anal. 20(4), 1983), so
that l' is continuous and strictly decreasing; straight lines would make l' a staircase, and with it
the best split ambiguous. l'' exists but at the knots, where it jumps. l' reaches 0 at the last
point, and the rate stays there.

**How near.** The curve runs through the points that are kept, the corners of the concave hull.
Where there are points between two corners, the hull is straight there by measurement, and the
spline keeps to within NEAR of it. Schumaker's own slopes do not: on points of one line, after which
the rate must stay, they give one parabola, whose l(1) is nearly twice the line's.

Between two corners with no point in between nothing was measured, and the spline bends as evenly as
the corners admit. Hyperbolic, exponential and knee curves that are measured at each doubling of N
come out to 1.5 % (a knee of sharpness 6 to 5 %), and at each fourfold N to 8 % (13 %). Held to 1 %
of the hull there, too, they come out to 2.3 to 3.8 % (8 %) and 11 to 14 % (18 %), with an l' that
is a staircase.
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
# Most that the curve runs above the hull, over it, where points lie between the hull's corners. The
# first job's marginal rate is off by as much, and the curve turns within this share of a piece's
# length: less would serve nobody, as rates are measured to a few per cent.
NEAR = 0.01


@final
@dataclass(frozen=True)
class TableCurve(Curve):
    """Measured points [(N, rate), ...]; N in jobs, at least one point with N > 0 and rate > 0."""

    type: ClassVar[str] = "table"
    points: Points

    def __post_init__(self) -> None:
        require_fields(self, "table curve")
        _check(self.points)
        _require_bends(self)

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
        return _spline(self.kept, self.dropped)

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


def _require_bends(curve: TableCurve) -> None:
    """Raise CurveError where points are so far apart that rounding leaves no strict bend."""
    with np.errstate(all="ignore"):
        knots = curve.knots
        # Two knots follow from each point, the last of them at the point.
        bends = (np.diff(knots[:, 2]) < 0.0) & np.isfinite(knots[1:]).all(axis=1)
    if not bends.all():
        n, rate = curve.kept[min(int(np.argmin(bends)) // 2, len(curve.kept) - 1)]
        raise CurveError(
            f"table curve: point [{n:g}, {rate:g}] is too close to its neighbours, too far from "
            "the others or too large for a curve in double precision; leave it out"
        ).within("points", curve.points.index((n, rate)))


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


def _spline(kept: Points, dropped: Points) -> FloatArray:
    """Knots (N, rate, marginal) of a C1 concave quadratic spline through the points kept."""
    x, r = np.array(((0.0, 0.0), *kept)).T
    width = np.diff(x)
    chord = np.diff(r) / width
    # Pieces count from 1 here, the end of each included; past the peak there is none.
    measured = np.bincount(np.searchsorted(x, [n for n, _ in dropped]), minlength=x.size)
    end = _slopes(r, width, chord, measured[1 : x.size] > 0)
    # One inner knot per interval, placed where the marginal rate equals the chord: then the two
    # parabolas meet both ends, and chord lies strictly between the end slopes, so l' decreases.
    at = (chord - end[1:]) / (end[:-1] - end[1:])
    inner_x = x[:-1] + at * width
    inner_r = r[:-1] + at * width * (end[:-1] + chord) / 2.0
    knots = np.column_stack((np.r_[x, inner_x], np.r_[r, inner_r], np.r_[end, chord]))
    return np.asarray(knots[np.lexsort((-knots[:, 2], knots[:, 0]))])


def _slopes(
    r: FloatArray, width: FloatArray, chord: FloatArray, measured: npt.NDArray[np.bool_]
) -> FloatArray:
    """(K + 1,) marginal rates at the corners; 0 at the peak.

    Schumaker's, but at most so large that the curve keeps near the chord where that was measured.
    With a the slope at the left corner less the chord and b the chord less the slope at the right,
    the curve is above the chord by at most width a b / (2 (a + b)), where its slope is the chord's,
    and by at most a for each job since the left corner. One of the two is held to NEAR of the hull;
    b is known first, so this goes from the peak to the left.

    Args:
        r: (K + 1,) rates at the corners, jobs/s.
        width: (K,) jobs, of the pieces.
        chord: (K,) jobs/s per job, their mean slopes.
        measured: (K,) whether a point lies between a piece's corners.
    """
    end = np.zeros(r.size)
    end[1:-1] = (width[:-1] * chord[1:] + width[1:] * chord[:-1]) / (width[:-1] + width[1:])
    for i in range(chord.size - 1, -1, -1):
        b = chord[i] - end[i + 1]
        if i == 0:
            end[0] = chord[0] + b  # the first piece is one parabola
        if measured[i]:
            allowed = NEAR * r[i]  # at the left corner, where the hull is lowest
            excess = 0.5 * width[i] * b - allowed
            most = allowed * b / excess if excess > 0.0 else np.inf
            end[i] = min(end[i], chord[i] + max(most, NEAR * chord[i]))
    return end
