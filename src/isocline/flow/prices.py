"""The price function of every sink, as arrays that compiled kernels read.

A price p_b(a) is continuous and strictly increasing in the inflow a on [0, capacity). Kernels keep
prices as *levels*: w = p^(-1/2), which falls as the inflow rises. A hyperbolic curve's inflow is
then linear in its level, a = peak (1 - w/w0), and the other curves are nearly so: Newton's method
needs one step, or a few. Linear prices use the level u = -p instead, for the same reason.

`inflow` and `level` in `flow/levels.py` are the two directions of the map; a new kind of price is
a code here and a branch in each of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numba
import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.flow.levels import (
    CUSTOM,
    EXPONENTIAL,
    HYPERBOLIC,
    KNEE,
    LINEAR,
    SERVERS,
    TABLE,
)
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

CUSTOM_SIGNATURE = "float64(float64[::1], float64)"
PriceFunction = Callable[[FloatArray, float], float]


def _no_price(_parameters: FloatArray, _inflow: float) -> float:
    return np.nan


# Kernels take the function as a first-class value, so that they are compiled once for all prices.
_NO_FUNCTION = numba.cfunc(CUSTOM_SIGNATURE, cache=True)(_no_price)


class Prices(NamedTuple):
    """Prices of T sinks; made by `of_curves`, `linear` or `custom`."""

    kind: IndexArray  # (T,) a code above
    row: FloatArray  # (T, 3) capacity; level at inflow 0; the kind's own number
    first_knot: IndexArray  # (T + 1,) the knots of sink b are knots[first_knot[b]:first_knot[b+1]]
    knots: FloatArray  # (K, 3) workload, rate, marginal rate: `table` only
    parameters: FloatArray  # (T, P) what the user's function reads: `custom` only
    function: Any  # the user's p(parameters[b], a) as a numba function value

    @property
    def sinks(self) -> int:
        """T."""
        return self.kind.size

    @property
    def capacity(self) -> FloatArray:
        """(T,) least upper bounds of the inflows; inf where there is none."""
        return self.row[:, 0]

    @classmethod
    def of_curves(cls, curves: Sequence[Curve]) -> Self:
        """Price 1/l'(N) at l(N) = a: the time one more job costs (GMSR paper, Lemma 3).

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
        table = np.vstack(knots) if knots else np.empty((0, 3))
        return cls(kind, row, first_knot, table, np.empty((len(curves), 0)), _NO_FUNCTION)

    @classmethod
    def linear(cls, weight: npt.ArrayLike) -> Self:
        """Price a / weight on [0, inf): balanced load (near-data paper, Lemma 2).

        Raises:
            UsageError: A weight is not a finite number above 0.
        """
        weight = np.atleast_1d(np.asarray(weight, dtype=np.float64))
        _require_positive("weight", weight)
        size = weight.size
        row = np.column_stack((np.full(size, np.inf), np.zeros(size), weight))
        return cls(
            np.full(size, LINEAR, dtype=np.int64),
            row,
            np.zeros(size + 1, dtype=np.int64),
            np.empty((0, 3)),
            np.empty((size, 0)),
            _NO_FUNCTION,
        )

    @classmethod
    def custom(
        cls, function: PriceFunction, capacity: npt.ArrayLike, parameters: npt.ArrayLike
    ) -> Self:
        """Any price p(parameters[b], a) >= 0 that increases strictly in a on [0, capacity[b]).

        Args:
            function: What numba can compile as float64(float64[::1], float64): a plain function
                or one compiled by `isocline.compiled`.
            capacity: (T,) least upper bounds of the inflows; inf is allowed.
            parameters: (T, P) one row for each sink.

        Raises:
            UsageError: A capacity is not above 0, or the price is NaN, negative or not increasing
                between an empty and a half-full sink.
        """
        capacity = np.atleast_1d(np.asarray(capacity, dtype=np.float64))
        parameters = np.ascontiguousarray(parameters, dtype=np.float64).reshape(capacity.size, -1)
        _require_positive("capacity", capacity, infinite=True)
        plain = getattr(function, "py_func", function)
        for b in range(capacity.size):
            half = capacity[b] / 2 if np.isfinite(capacity[b]) else 1.0
            low, high = plain(parameters[b], 0.0), plain(parameters[b], half)
            if not 0 <= low < high:
                raise UsageError(
                    f"sink {b}: price is {low} at inflow 0 and {high} at {half}; "
                    "it must be >= 0 and increase strictly"
                )
        level = np.array([plain(p, 0.0) for p in parameters])
        with np.errstate(divide="ignore"):
            level = level**-0.5
        row = np.column_stack((capacity, level, np.zeros_like(level)))
        return cls(
            np.full(capacity.size, CUSTOM, dtype=np.int64),
            row,
            np.zeros(capacity.size + 1, dtype=np.int64),
            np.empty((0, 3)),
            parameters,
            numba.cfunc(CUSTOM_SIGNATURE, error_model="numpy")(plain),
        )

    @property
    def is_linear(self) -> bool:
        """Whether levels are u = -p; else they are w = p^(-1/2)."""
        return bool((self.kind == LINEAR).all())

    def price_of_level(self, level: FloatArray) -> FloatArray:
        """Prices of levels, of any shape."""
        if self.is_linear:
            return -level
        with np.errstate(divide="ignore"):
            return np.asarray(level**-2.0)


def _require_positive(name: str, values: FloatArray, *, infinite: bool = False) -> None:
    good = (values > 0) & (np.isfinite(values) | infinite)
    if not good.all():
        at = int(np.argmin(good))
        raise UsageError(f"sink {at}: {name} is {values[at]}; give a number above 0")
