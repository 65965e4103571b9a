"""A frontend's candidates: its edges, as the array of numbers that policies take.

They are consecutive, so any slice of 0 .. E - 1 will do. But an array of E numbers is too large for
the cache when E is in the millions, and then writing ten numbers down is quicker than reading them:
a third of the time of a whole event at a million backends.
"""

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import inlinable
from isocline.simulate.common.kernels.counters import System

IntArray = npt.NDArray[np.int32]

# Half a million numbers are 2 MB, a usual second-level cache; writing more than 64 of them down
# would cost more than a cache miss.
MOST_STORED, MOST_WRITTEN = 1 << 19, 64


def scratch(first: npt.NDArray[np.int64]) -> IntArray:
    """`System.numbers`, (n,) int32, for the `first`, (F + 1,) int64, of a System."""
    edges, degree = int(first[-1]), int(np.diff(first).max())
    large = edges > MOST_STORED and degree <= MOST_WRITTEN
    return np.arange(degree if large else edges, dtype=np.int32)


@inlinable
def at(system: System, low: int, high: int) -> int:
    """Where in `system.numbers` the edges low .. high - 1 stand, until the next call.

    Writes the first high - low of `system.numbers`, if that has no room for all edges.
    """
    if system.numbers.size == system.first[system.first.size - 1]:
        return low
    for i in range(high - low):
        system.numbers[i] = low + i
    return 0
