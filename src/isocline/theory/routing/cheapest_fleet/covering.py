"""Covering program within a box of counts: its linear relaxation, and bounds by multipliers.

For multipliers u >= 0 of the rows, no fleet in the box costs less than

    sum_i u_i need_i + sum_k min of (price_k - sum_i u_i a_ik) n_k, at_least_k <= n_k <= at_most_k,

which is computed here from the rows; the linear solver only proposes the multipliers.

A row in which machines are lost has worth_k min(n_k, lost_k) on its right: a concave function of
n_k, of which the chord over the box takes the place. Over a wide box that says little. But let s
machines be lost, whichever they are: then all but the s that are worth most are worth the need. As
g(v) = v / (need + s v) is concave and g(v) / v falls, with m the least of these s worths the others
have g(v) >= v g(m) / m each, which comes to need / (need + s m) or more, and the s machines have
g(m) or more each, so that

    sum_k worth_k / (need + s worth_k) n_k >= 1

for every fleet of whole machines, without a box (`Row.spare`).
"""

import ctypes
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError
from isocline.theory.routing.cheapest_fleet.requirements import Row

FloatArray = npt.NDArray[np.float64]

_DEAR = 100.0  # times the cost of a fleet, for a whole row
_NODES = 200  # of the integer program
_ROUNDING = 1e-9
_SOUND = 1e-12  # of a bound: more than what its sums round


@final
@dataclass(frozen=True, eq=False)
class Box:
    """Counts of each type from `least` to `most`, (K,) whole numbers; `most` may be inf."""

    least: FloatArray
    most: FloatArray

    def below(self, k: int, count: float) -> "Box":
        """The part with at most so many of type k."""
        most = self.most.copy()
        most[k] = count
        return Box(self.least, most)

    def above(self, k: int, count: float) -> "Box":
        """The part with at least so many of type k."""
        least = self.least.copy()
        least[k] = count
        return Box(least, self.most)

    def within(self, most: FloatArray) -> "Box":
        """The part that is at most `most`, too."""
        return Box(self.least, np.minimum(self.most, most))

    def left(self, counts: FloatArray, lost: FloatArray) -> FloatArray:
        """(K,) no fewer machines than are left of `counts` without `lost`: as the chord has it."""
        slope, offset = chord(self, lost)
        return counts - (slope * counts + offset)


class Relaxed(NamedTuple):
    """The least cost in a box, counts being broken numbers."""

    counts: FloatArray  # (K,)
    bound: float  # by the multipliers
    multipliers: FloatArray  # (rows,) >= 0


@final
class Covering:
    """Rows so far, and prices (K,)."""

    def __init__(self, prices: FloatArray) -> None:
        self.prices = prices
        self.rows: list[Row] = []
        self._stacked = _Stacked(
            np.zeros((0, prices.size)), np.zeros(0), np.zeros((0, prices.size))
        )

    def add(self, row: Row) -> None:
        """Add a row, which is scaled to a need of 1 where it has one."""
        scale = 1.0 / row.need if row.need > 0.0 else 1.0
        self.rows.append(row._replace(worth=row.worth * scale, need=row.need * scale))

    def _all(self) -> "_Stacked":
        known = self._stacked
        if len(known.needs) < len(self.rows):
            more = _stacked(self.rows[len(known.needs) :])
            self._stacked = known = _Stacked(*map(np.concatenate, zip(known, more, strict=True)))
        return known

    def relaxed(self, box: Box, enough: float) -> Relaxed:
        """Solve the linear relaxation in a box.

        A part of all rows may be left out, at a price that no fleet worth finding has: so the
        bound of a box whose fleets all miss a row is at least `enough`, and proves it.

        Args:
            box: Counts.
            enough: Cost of a fleet that is known, above 0.
        """
        from scipy.optimize import linprog  # noqa: PLC0415 - slow to import

        if not self.rows:
            cost = float(self.prices @ box.least)
            return Relaxed(box.least, cost, np.zeros(0))
        matrix, needs = self._all().within(box)
        goal = np.append(self.prices, _DEAR * enough)
        with_gap = np.column_stack((matrix, np.ones(needs.size)))
        bounds: Any = np.vstack((np.column_stack((box.least, box.most)), [0.0, np.inf]))
        found: Any = linprog(goal, -with_gap, -needs, bounds=bounds, method="highs-ds")
        if found.x is None:
            raise NumericalError(f"covering program: {found.message}; please report it")
        multipliers = np.maximum(-found.ineqlin.marginals, 0.0)
        counts = np.clip(found.x[:-1], box.least, box.most)
        bound = bound_in(self.prices, matrix, needs, box, multipliers)
        return Relaxed(counts, bound, multipliers)

    def whole(self, box: Box, gap: float) -> FloatArray | None:
        """Whole counts (K,) in a box that satisfy all rows at little cost; None if none are found.

        A proposal of HiGHS, within `gap` of its own bound; it proves nothing here. Types of which
        machines are lost are taken to have these.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415

        worth, needs, lost = self._all()
        needs = needs + (worth * lost).sum(axis=1)
        with _silenced():
            found: Any = milp(
                self.prices,
                integrality=np.ones(self.prices.size, np.int64),
                bounds=Bounds(box.least, box.most),
                constraints=LinearConstraint(worth, needs * (1.0 + 1e-9)),
                options={"mip_rel_gap": gap, "node_limit": _NODES},
            )
        if found.x is None:
            return None
        counts: FloatArray = np.round(found.x)
        return counts

    def short(self, counts: FloatArray) -> FloatArray:
        """(m, rows) what whole counts (m, K) miss of each row, 0 where they satisfy it."""
        if not self.rows:
            return np.zeros((counts.shape[0], 0))
        worth, needs, lost = self._all()
        have = np.empty((counts.shape[0], needs.size))
        kinds, of = np.unique(lost, axis=0, return_inverse=True)
        for number, gone in enumerate(kinds):
            these = of.ravel() == number
            have[:, these] = (counts - np.minimum(counts, gone)) @ worth[these].T
        missing = needs - have
        return np.where(missing > _ROUNDING * np.maximum(np.abs(needs), 1.0), missing, 0.0)


class _Stacked(NamedTuple):
    """Rows as arrays, those of spare machines without a loss."""

    worth: FloatArray  # (rows, K)
    needs: FloatArray  # (rows,)
    lost: FloatArray  # (rows, K)

    def within(self, box: Box) -> tuple[FloatArray, FloatArray]:
        """(rows, K) and (rows,): the rows as they hold in a box, matrix . n >= needs."""
        slope, offset = chord(box, self.lost)
        return self.worth * (1.0 - slope), self.needs + (self.worth * offset).sum(axis=1)


def _stacked(rows: Sequence[Row]) -> _Stacked:
    return _Stacked(
        np.array([_worth(row) for row in rows]),
        np.array([1.0 if row.spare else row.need for row in rows]),
        np.array([row.lost for row in rows]),
    )


def _worth(row: Row) -> FloatArray:
    """(K,) worths; of spare machines as the module derives them, which needs a need above 0."""
    return row.worth / (row.need + row.spare * row.worth) if row.spare else row.worth


def chord(box: Box, lost: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slope and offset, shapes of `lost`, of the chord of min(n, lost) over a box."""
    low, high = np.minimum(box.least, lost), np.minimum(box.most, lost)
    width = box.most - box.least
    slope = (high - low) / np.where(width > 0.0, width, np.inf)
    return slope, low - slope * box.least


def rows_in(rows: Sequence[Row], box: Box) -> tuple[FloatArray, FloatArray]:
    """(rows, K) and (rows,): the rows as they hold in a box, matrix . n >= needs."""
    return _stacked(rows).within(box)


def bound_in(
    prices: FloatArray, matrix: FloatArray, needs: FloatArray, box: Box, multipliers: FloatArray
) -> float:
    """Cost that no counts in a box go below, by any multipliers (rows,) >= 0.

    Where a type may be had without end, multipliers that pay more for it than its price prove
    nothing, and are scaled down.
    """
    paid = multipliers @ matrix
    endless = np.isinf(box.most) & (paid > prices)
    if endless.any():
        factor = float((prices[endless] / paid[endless]).min())
        multipliers, paid = multipliers * factor, paid * factor
    left = prices - paid
    counts = np.where(left < 0.0, np.where(np.isinf(box.most), 0.0, box.most), box.least)
    terms = [*(multipliers * needs).tolist(), *(left * counts).tolist()]
    return math.fsum(terms) - _SOUND * math.fsum(map(abs, terms))


@contextmanager
def _silenced() -> Iterator[None]:
    """Discard what C code prints: one of HiGHS's heuristics does so, whatever its options say."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no stdout
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    try:
        yield
    finally:
        if os.name == "posix":
            ctypes.CDLL(None).fflush(None)  # while what C has buffered is discarded
        os.dup2(kept, 1)
        os.close(kept)
