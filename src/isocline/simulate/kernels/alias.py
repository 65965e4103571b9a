"""Draws from a fixed discrete distribution in O(1): the alias method.

M. D. Vose, IEEE Trans. Software Eng. 17(9), 1991. One 64-bit draw gives both the column (its upper
40 bits) and the coin (its lower 24), so a probability is right to 2^-24 of a column.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int64, types, uint64

from isocline.compiled import array_of, compiled, kernel, record_of
from isocline.draws import bits
from isocline.errors import UsageError

COIN_BITS = 24
LARGEST = 1 << COIN_BITS  # columns: (2^40 - 1) * n must stay below 2^64


class Alias(NamedTuple):
    """n columns; column i gives i if the coin falls below its threshold, else its other."""

    threshold: npt.NDArray[np.uint32]  # (n,) in units of 2^-24
    other: npt.NDArray[np.int32]  # (n,)


ALIAS = record_of(Alias, array_of(types.uint32), array_of(types.int32))


def alias(weights: npt.NDArray[np.float64]) -> Alias:
    """The table for probabilities proportional to `weights` (n,), >= 0, not all 0."""
    if weights.size > LARGEST:
        raise UsageError(f"{weights.size} frontends and backends; at most {LARGEST} are simulated")
    share = weights * (weights.size / weights.sum())
    other = np.arange(weights.size, dtype=np.int32)
    threshold = np.ones(weights.size)
    _fill(share, threshold, other)
    return Alias(np.round(threshold * LARGEST).astype(np.uint32), other)


@compiled
def _fill(share: Any, threshold: Any, other: Any) -> None:
    """Pair every column below the mean with one above it, which gives up what it lends."""
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


@kernel
def draw(table: Alias, rng: Any) -> int:
    """One column."""
    x = bits(rng)
    column = int64(((x >> uint64(COIN_BITS)) * uint64(table.threshold.size)) >> uint64(40))
    if x & uint64(LARGEST - 1) >= table.threshold[column]:
        return table.other[column]  # type: ignore[no-any-return]
    return column  # type: ignore[no-any-return]
