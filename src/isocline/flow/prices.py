"""Price functions of all sinks, as arrays that compiled kernels read.

A price p_b(a) is continuous and strictly increasing in the inflow a on [0, capacity). Kernels keep
prices as *levels*: w = p^(-1/2), which falls as the inflow rises. A hyperbolic curve's inflow is
then linear in its level, a = peak (1 - w/w0), and the other curves are nearly so: Newton's method
needs one step, or a few. Linear prices use the level u = -p instead, for the same reason.

`inflow` and `level` in `flow/levels.py` are the two directions of the map; a new kind of price is
a code here and a branch in each of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import Callback, one_type
from isocline.errors import UsageError
from isocline.flow.curve_levels import CurveParts
from isocline.flow.curve_shapes import Shapes, curve_parts
from isocline.flow.price_kinds import COMPOSED, CUSTOM, EXPONENTIAL, LINEAR, MEAN
from isocline.flow.sink_levels import step_empty
from isocline.model.curves import Curve, HyperbolicCurve

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

CUSTOM_SIGNATURE = "float64(float64[::1], float64)"
PriceFunction = Callable[[FloatArray, float], float]


# Kernels take the function as a first-class value, so that they are compiled once for all prices.
def _nan(_parameters: FloatArray, _inflow: float) -> float:
    return np.nan


_NO_PRICE = Callback(_nan, CUSTOM_SIGNATURE, cached=True)

_NO_PARTS = CurveParts(
    np.zeros(1, np.int64),
    np.zeros(0, np.int64),
    np.empty((0, 3)),
    np.zeros(1, np.int64),
    np.empty((0, 3)),
    np.zeros(0),
    0.0,
)


def _concave_parts(curves: Sequence[Curve]) -> list[tuple[Curve, ...]]:
    for b, curve in enumerate(curves):
        if not curve.strictly_concave:
            raise UsageError(f"sink {b}: a {curve.type} curve is not strictly concave")
    return [curve_parts(curve) for curve in curves]


@one_type
class Prices(NamedTuple):
    """Prices of T sinks; made by `of_curves` and its like, `linear` or `custom`.

    No kernel writes to it. Rates are in jobs/s and prices in s, so that levels are in s^(-1/2);
    linear and custom prices may have any unit.
    """

    # (T,) int64, a code of `price_kinds`.
    kind: IndexArray
    # (T, 3) float64: capacity, inf where there is none; level at inflow 0; the kind's own number,
    # which is the sharpness of a knee, the weight of a linear price, and 0 for others.
    row: FloatArray
    # (T + 1,) int64, the knots of sink b are knots[first_knot[b] : first_knot[b + 1]].
    first_knot: IndexArray
    # (K, 3) float64, `table` only: workload, jobs; rate, jobs/s; marginal rate, 1/s.
    knots: FloatArray
    # (T, P) float64, what the user's function reads: `custom` only.
    parameters: FloatArray
    # The user's p(parameters[b], a) as a numba function value.
    function: Any
    # Of sinks that are `composed` or `mean`.
    parts: CurveParts

    @property
    def sinks(self) -> int:
        """T."""
        return self.kind.size

    @property
    def capacity(self) -> FloatArray:
        """(T,) least upper bounds of the inflows; inf where there is none."""
        return self.row[:, 0]

    @property
    def empty(self) -> FloatArray:
        """(T,) levels of empty sinks."""
        return self.row[:, 1]

    @classmethod
    def of_curves(cls, curves: Sequence[Curve]) -> Self:
        """Price 1/l'(N) at l(N) = a: the time one more job costs (GMSR paper, Lemma 3).

        Raises:
            UsageError: A curve is of a kind that has no price here.
        """
        members = [curve_parts(curve) for curve in curves]
        if all(len(parts) == 1 for parts in members):
            singles = Shapes.of([parts[0] for parts in members])
            return cls._made(singles.kind, singles.row, singles.first_knot, singles.knots)
        return cls._of_parts(COMPOSED, members, np.zeros(len(curves)), 0.0)

    @classmethod
    def of_latencies(cls, curves: Sequence[Curve]) -> Self:
        """Price N/l(N) at l(N) = a: the latency of a job (GMSR paper, Appendix A).

        Raises:
            UsageError: A curve is not strictly concave, or of a kind that has no price here.
        """
        members = _concave_parts(curves)
        prices = cls._of_parts(MEAN, members, np.zeros(len(curves)), 0.0)
        for b, parts in enumerate(members):
            if len(parts) == 1 and isinstance(parts[0], HyperbolicCurve):
                # (N + half)/peak = half/(peak (1 - q)), which is the price of an exponential curve.
                prices.kind[b] = EXPONENTIAL
        return prices

    @classmethod
    def of_curves_in_parts(cls, curves: Sequence[Curve]) -> Self:
        """`of_curves`, in a form that makes the prices of a step, too: see `after`.

        Raises:
            UsageError: A curve is not strictly concave, or of a kind that has no price here.
        """
        return cls._of_parts(COMPOSED, _concave_parts(curves), np.zeros(len(curves)), 0.0)

    def after(self, start: npt.ArrayLike, length: float) -> Self:
        """Price 1/l'(N) at N = start + length (a - l(N)): one implicit step of the fluid.

        A level flow with these prices is one step of the differential inclusion (GMSR paper,
        Eq. (3)), as every frontend sends to where the marginal rate is greatest after the step.
        From prices made by `of_curves_in_parts`.

        Args:
            start: (T,) jobs before the step, at least 0.
            length: s, above 0.
        """
        begun = np.array(start, dtype=np.float64)
        parts = self.parts._replace(start=begun, pace=1.0 / length)
        row = self.row.copy()
        row[:, 0], row[:, 1] = np.inf, step_empty(parts)
        return self._replace(row=row, parts=parts)

    def enlarged(self, factor: FloatArray) -> Self:
        """Prices of the curves c l(N / c), c > 0: at one price c times the inflow, and the jobs.

        From prices made by `of_curves`.

        Args:
            factor: (T,) c of each sink.
        """
        row, knots = self.row.copy(), self.knots.copy()
        row[:, 0] *= factor
        knots[:, :2] *= np.repeat(factor, np.diff(self.first_knot))[:, None]
        old = self.parts
        if old.kind.size:
            each = np.repeat(factor, np.diff(old.first))
            part_row, part_knots = old.row.copy(), old.knots.copy()
            part_row[:, 0] *= each
            part_knots[:, :2] *= np.repeat(each, np.diff(old.first_knot))[:, None]
            parts = old._replace(row=part_row, knots=part_knots)
        else:
            parts = old
        return self._replace(row=row, knots=knots, parts=parts)

    @classmethod
    def _of_parts(
        cls, kind: int, members: Sequence[Sequence[Curve]], start: FloatArray, pace: float
    ) -> Self:
        shapes = Shapes.of([part for parts in members for part in parts])
        first = np.cumsum([0, *map(len, members)], dtype=np.int64)
        parts = CurveParts(
            first, shapes.kind, shapes.row, shapes.first_knot, shapes.knots, start, pace
        )
        capacity = np.add.reduceat(shapes.row[:, 0], first[:-1])
        empty = np.maximum.reduceat(shapes.row[:, 1], first[:-1])
        row = np.column_stack((capacity, empty, np.zeros_like(empty)))
        size = len(members)
        return cls._made(np.full(size, kind, np.int64), row, parts=parts)

    @classmethod
    def _made(
        cls,
        kind: IndexArray,
        row: FloatArray,
        first_knot: IndexArray | None = None,
        knots: FloatArray | None = None,
        parameters: FloatArray | None = None,
        function: Any = None,
        parts: CurveParts | None = None,
    ) -> Self:
        """Prices in which all that is not given is empty."""
        size = kind.size
        return cls(
            kind,
            row,
            np.zeros(size + 1, dtype=np.int64) if first_knot is None else first_knot,
            np.empty((0, 3)) if knots is None else knots,
            np.empty((size, 0)) if parameters is None else parameters,
            _NO_PRICE if function is None else function,
            _NO_PARTS if parts is None else parts,
        )

    @classmethod
    def linear(cls, weight: npt.ArrayLike, offset: npt.ArrayLike = 0.0) -> Self:
        """Price offset + a / weight on [0, inf): balanced load (near-data paper, Lemma 2).

        Raises:
            UsageError: A weight is not a finite number above 0, or an offset not one of at least 0.
        """
        weight = np.atleast_1d(np.asarray(weight, dtype=np.float64))
        _require_positive("weight", weight)
        size = weight.size
        lowest = np.broadcast_to(np.asarray(offset, dtype=np.float64), size)
        if not (np.isfinite(lowest) & (lowest >= 0.0)).all():
            raise UsageError(f"linear prices: offset {lowest}; give finite numbers of at least 0")
        row = np.column_stack((np.full(size, np.inf), -lowest, weight))
        return cls._made(np.full(size, LINEAR, dtype=np.int64), row)

    @classmethod
    def custom(
        cls, function: PriceFunction, capacity: npt.ArrayLike, parameters: npt.ArrayLike
    ) -> Self:
        """Any price p(parameters[b], a) >= 0 that increases strictly in a on [0, capacity[b]).

        Args:
            function: What numba can compile as float64(float64[::1], float64): a plain function,
                one compiled by `isocline.compilation.compiled`, or a `Callback`, which is compiled
                once for all prices made of it.
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
        return cls._made(
            np.full(capacity.size, CUSTOM, dtype=np.int64),
            row,
            parameters=parameters,
            function=function
            if isinstance(function, Callback)
            else Callback(plain, CUSTOM_SIGNATURE, cached=False),
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
