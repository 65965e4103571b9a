"""Service curves as numbers that compiled kernels read."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.flow.price_kinds import EXPONENTIAL, HYPERBOLIC, KNEE, SERVERS, TABLE
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    ServersCurve,
    TableCurve,
)
from isocline.model.curves.own import knots_of

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


class Shapes(NamedTuple):
    """I curves as numbers.

    Made by `of`, and read-only.
    """

    # (I,) int64, a code of `price_kinds`.
    kind: IndexArray
    # (I, 3) float64: peak, jobs/s; level when empty, s^(-1/2); the kind's own number, which is the
    # sharpness of a knee, and 0 for others.
    row: FloatArray
    # (I + 1,) int64, the knots of curve i are knots[first_knot[i] : first_knot[i + 1]].
    first_knot: IndexArray
    # (K, 3) float64, `table` only: workload, jobs; rate, jobs/s; marginal rate, 1/s.
    knots: FloatArray

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> Self:
        """The shapes of curves that are not pools.

        Raises:
            UsageError: A curve is of a kind that has no price here.
        """
        kind = np.empty(len(curves), dtype=np.int64)
        row = np.empty((len(curves), 3))
        knots: list[FloatArray] = []
        first_knot = np.zeros(len(curves) + 1, dtype=np.int64)
        for b, curve in enumerate(curves):
            match curve:
                case HyperbolicCurve(peak, half):
                    kind[b], row[b] = HYPERBOLIC, (peak, peak / half, 0.0)
                case ExponentialCurve(peak, scale):
                    kind[b], row[b] = EXPONENTIAL, (peak, peak / scale, 0.0)
                case KneeCurve(peak, knee, sharpness):
                    kind[b], row[b] = KNEE, (peak, peak / knee, sharpness)
                case ServersCurve(each, _):
                    kind[b], row[b] = SERVERS, (curve.supremum, each, 0.0)
                case _:
                    spline = _spline(b, curve)
                    kind[b], row[b] = TABLE, (curve.supremum, spline[0, 2], 0.0)
                    knots.append(spline)
                    first_knot[b + 1] = spline.shape[0]
        row[:, 1] = np.sqrt(row[:, 1])  # level of the price 1/l'(0)
        np.cumsum(first_knot, out=first_knot)
        return cls(kind, row, first_knot, np.vstack(knots) if knots else np.empty((0, 3)))


def _spline(b: int, curve: Curve) -> FloatArray:
    """(K, 3) the knots of a table, or of a user's own curve."""
    if isinstance(curve, TableCurve):
        return curve.knots
    if not curve.strictly_concave:
        raise UsageError(
            f"sink {b}: a {curve.type} curve says that it is not strictly concave, so one more job "
            "has no one price 1/l'(N) there; give a strictly concave curve (docs/own.md), or "
            "solve with a price function of your own (isocline.flow.Prices.custom)"
        )
    return _own_knots(curve)


@lru_cache(maxsize=1024)
def _own_knots(curve: Curve) -> FloatArray:
    return knots_of(curve)


def curve_parts(curve: Curve) -> tuple[Curve, ...]:
    """The curve itself, or the members of a pool, and of pools in it."""
    members: tuple[Curve, ...] = getattr(curve, "members", ())
    return tuple(part for member in members for part in curve_parts(member)) or (curve,)
