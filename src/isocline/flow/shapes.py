"""Service curves as numbers that compiled kernels read."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.flow.kinds import EXPONENTIAL, HYPERBOLIC, KNEE, SERVERS, TABLE
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    ServersCurve,
    TableCurve,
)

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


class Shapes(NamedTuple):
    """I curves as numbers."""

    kind: IndexArray  # (I,)
    row: FloatArray  # (I, 3) peak; level when empty; the kind's own number
    first_knot: IndexArray  # (I + 1,) the knots of curve i are knots[first_knot[i]:first_knot[i+1]]
    knots: FloatArray  # (K, 3) workload, rate, marginal rate: `table` only

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
                case TableCurve():
                    kind[b], row[b] = TABLE, (curve.supremum, curve.knots[0, 2], 0.0)
                    knots.append(curve.knots)
                    first_knot[b + 1] = curve.knots.shape[0]
                case ServersCurve(each, _):
                    kind[b], row[b] = SERVERS, (curve.supremum, each, 0.0)
                case _:
                    raise UsageError(f"sink {b}: no price for {curve}; use Prices.custom")
        row[:, 1] = np.sqrt(row[:, 1])  # level of the price 1/l'(0)
        np.cumsum(first_knot, out=first_knot)
        return cls(kind, row, first_knot, np.vstack(knots) if knots else np.empty((0, 3)))


def curve_parts(curve: Curve) -> tuple[Curve, ...]:
    """The curve itself, or the members of a pool, and of pools in it."""
    members: tuple[Curve, ...] = getattr(curve, "members", ())
    return tuple(part for member in members for part in curve_parts(member)) or (curve,)
