"""A grid of knee shapes, tabulated: what a service curve can look like, up to its speed.

A shape is s(N) = N / (1 + (N/knee)^sharpness)^(1/sharpness), the knee curve with s'(0) = 1. Every
service curve here is a sum of shapes with non-negative weights, so it is concave and increasing
whatever the weights; and as sharpness grows a shape tends to min(N, knee), of which all concave
increasing functions on the integers with l(0) = 0 are such sums, so no curve is out of reach.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.model.curves import KneeCurve

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Knees a quarter of an octave apart: the best of two neighbours is within 1 % of any shape between.
KNEES = 2.0 ** np.arange(-1.0, 13.01, 0.25)
# From the hyperbolic curve to one that no measurement tells from a station of parallel servers.
SHARPNESSES = np.array([1.0, 1.4, 2.0, 2.8, 4.0, 6.0, 10.0, 32.0])
# Workloads are counted one by one up to EXACT; beyond, in bins 4 % wide, within which a rate
# differs from that at the bin's centre by at most 2 %, and on average by nothing.
EXACT, WIDTH, LARGEST = 64, 1.04, 1 << 20


class Shapes(NamedTuple):
    """G shapes at the centres of J bins of workloads."""

    knee: FloatArray  # (G,) jobs
    sharpness: FloatArray  # (G,)
    value: FloatArray  # (G, J) s, in jobs
    log_value: FloatArray  # (G, J)


@cache
def first_levels() -> IndexArray:
    """(J,) the smallest workload of each bin; the first bin is that of 1 job."""
    steps = np.arange(np.log(LARGEST / EXACT) / np.log(WIDTH))
    beyond = np.unique(np.ceil((EXACT + 1) * WIDTH**steps).astype(np.int64))
    return np.concatenate((np.arange(1, EXACT + 1), beyond))


@cache
def centres() -> FloatArray:
    """(J,) the workload that stands for each bin."""
    first = first_levels()
    last = np.append(first[1:] - 1, LARGEST)
    return np.asarray((first + last) / 2.0)


@cache
def shapes() -> Shapes:
    """The grid."""
    knee, sharpness = (axis.ravel() for axis in np.meshgrid(KNEES, SHARPNESSES, indexing="ij"))
    value = np.array(
        [KneeCurve(k, k, p).rate(centres()) for k, p in zip(knee, sharpness, strict=True)]
    )
    return Shapes(knee, sharpness, value, np.log(value))


def binned(per_level: FloatArray) -> FloatArray:
    """(j,) sums over the bins that (K,) values at the workloads 0 .. K - 1 reach; not over 0."""
    first = first_levels()
    reached = first[: np.searchsorted(first, per_level.size)]
    return np.add.reduceat(per_level, reached) if reached.size else np.zeros(0)
