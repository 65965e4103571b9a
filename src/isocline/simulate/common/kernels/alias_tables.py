"""Draws from a fixed discrete distribution in O(1): the alias method.

M. D. Vose, IEEE Trans. Software Eng. 17(9), 1991. 40 random bits times n give the column (what is
above 2^40) and the coin (what is below): a probability is right to n 2^-40 of a column.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int64, uint64

from isocline.compilation.compiled import inlinable
from isocline.compilation.interpretable import compiled, interpreted_if_small
from isocline.errors import UsageError

BITS = 40
LARGEST = 1 << (64 - BITS)  # columns: (2^40 - 1) * n must stay below 2^64


class Alias(NamedTuple):
    """Column i gives i if the coin falls below its threshold, else its other.

    The arrays are empty if all weights are equal: nothing is read, and so no cache is missed.

    All is made by `alias`, and read-only.
    """

    columns: int  # n; a uint64
    threshold: npt.NDArray[np.uint64]  # (n,) uint64, probability in units of 2^-40
    other: npt.NDArray[np.int32]  # (n,) int32, a column


def alias(weights: npt.NDArray[np.float64]) -> Alias:
    """The table for probabilities proportional to `weights`, (n,) float64, >= 0, not all 0."""
    if weights.size > LARGEST:
        raise UsageError(f"{weights.size} frontends and backends; at most {LARGEST} are simulated")
    columns: Any = np.uint64(weights.size)  # an int would be signed to numba
    if np.ptp(weights) == 0:
        return Alias(columns, np.empty(0, np.uint64), np.empty(0, np.int32))
    share = weights * (weights.size / weights.sum())
    other = np.arange(weights.size, dtype=np.int32)
    threshold = np.ones(weights.size)
    interpreted_if_small(weights.size, lambda: _fill(share, threshold, other))
    return Alias(columns, np.round(threshold * 2.0**BITS).astype(np.uint64), other)


@compiled
def _fill(share: Any, threshold: Any, other: Any) -> None:
    """Pair every column below the mean with one above it, which gives up what it lends.

    Args:
        share: (n,) float64, probability in units of 1 / n, so with mean 1; used up.
        threshold: (n,) float64, all 1; written where a column gives up a part of itself.
        other: (n,) int32, each its own number; written there, too.
    """
    n = share.size
    stack = np.empty(n, np.int32)  # poor columns from the left end, rich ones from the right
    poor = 0
    rich = n
    for i in range(n):
        if share[i] < 1.0:
            stack[poor] = i
            poor += 1
        else:
            rich -= 1
            stack[rich] = i
    while poor > 0 and rich < n:
        poor -= 1
        small = stack[poor]
        large = stack[rich]
        threshold[small] = share[small]
        other[small] = large
        share[large] -= 1.0 - share[small]
        if share[large] < 1.0:
            rich += 1
            stack[poor] = large
            poor += 1


@inlinable
def column_of(table: Alias, random_bits: Any) -> int:
    """The column that 40 random bits select.

    Reads `table` only; `random_bits` is a uint64 below 2^40.
    """
    product = random_bits * table.columns
    column = int64(product >> uint64(BITS))
    if table.other.size and product & uint64((1 << BITS) - 1) >= table.threshold[column]:
        return int64(table.other[column])  # type: ignore[no-any-return]
    return column  # type: ignore[no-any-return]
