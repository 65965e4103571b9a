"""Curves at a level w = l'(N)^(1/2): the workload, the rate, and how fast both change.

With v = w/w0, w0 the level of an empty backend, and x = peak/w0^2 the curve's own measure of jobs:

    hyperbolic   N = x (1/v - 1)             l = peak (1 - v)
    exponential  N = -2 x ln v               l = peak (1 - v^2), up to N = 600 x: see `_DEEP`
    knee         N = x (v^-r - 1)^(1/p)      l = peak (1 - v^r)^(1/p),   r = 2p/(p+1), likewise
    table        along the parabolas of the spline
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner
from isocline.flow.price_kinds import EXPONENTIAL, HYPERBOLIC, KNEE

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Past the last point of a table one more job adds nothing, and l' = 0 would not tell how many there
# are. So from this share of the last chord on, which is in the last parabola, l' is taken to fall
# like N^-2; rates stay as they are. (A share of l'(0) would be among the points of a table whose
# first and last chords are far apart.)
_TAIL = 1e-8

# Likewise an exponential curve from so many times its scale on: its price, e^(N / scale), would be
# beyond all doubles soon, while jobs pile up at a backend that is overloaded for long. And a knee
# from the same price on, which is at 7.3 times the knee for a sharpness of 300.
_DEEP = 600.0
_DEEP_LEVEL = math.exp(-0.5 * _DEEP)


class CurveParts(NamedTuple):
    """I parts of T sinks.

    Made by `Prices`; no kernel writes to it.
    """

    # (T + 1,) int64, the parts of sink b are first[b] .. first[b + 1].
    first: IndexArray
    # (I,) int64, a code of `price_kinds`.
    kind: IndexArray
    # (I, 3) float64: peak, jobs/s; level when empty, s^(-1/2); the kind's own number.
    row: FloatArray
    # (I + 1,) int64, the knots of part i are knots[first_knot[i] : first_knot[i + 1]].
    first_knot: IndexArray
    # (K, 3) float64, `table` only: workload, jobs; rate, jobs/s; marginal rate, 1/s.
    knots: FloatArray
    # (T,) float64, jobs before the step.
    start: FloatArray
    # 1/s, one over the length of the step; 0 where there is none.
    pace: float


@inner
def _table_piece(parts: CurveParts, i: int, value: float, column: int) -> int:
    """The knot left of a value, in a column of a table part that rises, or falls if it is 2."""
    low, high = parts.first_knot[i], parts.first_knot[i + 1] - 1
    while high - low > 1:
        middle = (low + high) // 2
        at = parts.knots[middle, column]
        if at >= value if column == 2 else at <= value:
            low = middle
        else:
            high = middle
    return int(low)


@inner
def _table_tail(parts: CurveParts, i: int) -> float:
    """Marginal rate of a table part from which on it is taken to fall like N^-2, 1/s."""
    return float(_TAIL * parts.knots[parts.first_knot[i + 1] - 2, 2])


@inner
def _deep_knee(x: float, own: float) -> float:
    """Workload of a knee at `_DEEP_LEVEL`, jobs."""
    return float(x * math.exp(_DEEP / (own + 1.0)))


@compiled
def part_at(parts: CurveParts, i: int, w: float) -> tuple[float, float, float]:  # noqa: PLR0911
    """Workload and rate of one part at a level, and how fast the workload falls with the level.

    Reads `parts`; w and the level are in s^(-1/2).
    """
    peak, empty, own = parts.row[i, 0], parts.row[i, 1], parts.row[i, 2]
    if w >= empty:
        return 0.0, 0.0, 0.0
    kind = parts.kind[i]
    v, x = w / empty, peak / (empty * empty)
    if kind == HYPERBOLIC:
        return x * (1.0 - v) / v, peak * (1.0 - v), x / (v * w)
    if kind == EXPONENTIAL:
        if v < _DEEP_LEVEL:
            n = x * _DEEP * _DEEP_LEVEL / v
            return n, peak, n / w
        return -2.0 * x * math.log(v), peak * (1.0 - v * v), 2.0 * x / w
    if kind == KNEE:
        if v < _DEEP_LEVEL:
            n = _deep_knee(x, own) * _DEEP_LEVEL / v
            return n, peak, n / w
        r = 2.0 * own / (own + 1.0)
        log = -r * math.log(v)
        over = math.expm1(log)
        n = x * over ** (1.0 / own)
        return n, peak * (-math.expm1(-log)) ** (1.0 / own), n * r * (over + 1.0) / (own * over * w)
    m = w * w
    low = _table_piece(parts, i, m, 2)
    left, right = parts.knots[low], parts.knots[low + 1]
    bend = (left[2] - right[2]) / (right[0] - left[0])
    rate = right[1] - (m - right[2]) * (m + right[2]) / (2.0 * bend)
    if left[2] - m < m - right[2]:  # from the nearer end, to keep small differences
        rate = left[1] + (left[2] - m) * (left[2] + m) / (2.0 * bend)
    tail = _table_tail(parts, i)
    if m >= tail:
        return left[0] + (left[2] - m) / bend, rate, 2.0 * w / bend
    n = parts.knots[parts.first_knot[i + 1] - 1, 0] * math.sqrt(tail) / w
    return n, rate, n / w


@compiled
def part_level(parts: CurveParts, i: int, n: float) -> float:  # noqa: PLR0911
    """The level of one part at a workload.

    Reads `parts`; n is in jobs, the level in s^(-1/2).
    """
    peak, empty, own = parts.row[i, 0], parts.row[i, 1], parts.row[i, 2]
    if n <= 0.0:
        return float(empty)
    kind, x = parts.kind[i], peak / (empty * empty)
    if kind == HYPERBOLIC:
        return float(empty * x / (n + x))
    if kind == EXPONENTIAL:
        if n > _DEEP * x:
            return float(empty * _DEEP_LEVEL * _DEEP * x / n)
        return float(empty * math.exp(-0.5 * n / x))
    if kind == KNEE:
        if n > x and n > _deep_knee(x, own):
            return float(empty * _DEEP_LEVEL * _deep_knee(x, own) / n)
        return float(empty * (1.0 + (n / x) ** own) ** (-0.5 - 0.5 / own))
    end = parts.knots[parts.first_knot[i + 1] - 1, 0]
    tail = _table_tail(parts, i)
    marginal = 0.0
    if n < end:
        low = _table_piece(parts, i, n, 0)
        left, right = parts.knots[low], parts.knots[low + 1]
        marginal = left[2] + (right[2] - left[2]) * (n - left[0]) / (right[0] - left[0])
    if marginal >= tail:
        return math.sqrt(marginal)
    return float(min(end / n, 1.0) * math.sqrt(tail))


@compiled
def part_rate(parts: CurveParts, i: int, n: float) -> float:
    """The rate of one part at a workload.

    Reads `parts`; n is in jobs, the rate in jobs/s.
    """
    peak, empty, own = parts.row[i, 0], parts.row[i, 1], parts.row[i, 2]
    kind, x = parts.kind[i], peak / (empty * empty)
    if n <= 0.0:
        return 0.0
    if kind == HYPERBOLIC:
        return float(peak * n / (n + x))
    if kind == EXPONENTIAL:
        return float(-peak * math.expm1(-n / x))
    if kind == KNEE:
        q = n / x
        small = min(q, 1.0)  # of q and 1 / q, as one of two powers is beyond all doubles
        return float(peak * small * (1.0 + (small / max(q, 1.0)) ** own) ** (-1.0 / own))
    if n >= parts.knots[parts.first_knot[i + 1] - 1, 0]:
        return float(peak)
    low = _table_piece(parts, i, n, 0)
    left, right = parts.knots[low], parts.knots[low + 1]
    more = n - left[0]
    bend = (left[2] - right[2]) / (right[0] - left[0])
    return float(left[1] + more * (left[2] - 0.5 * bend * more))
