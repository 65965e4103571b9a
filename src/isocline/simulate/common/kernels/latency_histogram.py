"""Latencies in a histogram with buckets of constant relative width, in O(1) per job.

The bits of a double are its exponent and its mantissa, so the upper ones are a bucket number: 256
buckets per factor of 2, each 0.3 % wide; a quantile interpolates within one. As in the HDR
histogram, but without a branch. The range is far wider than any system's times, in whatever unit
its rates are given, as only the buckets that are used are ever in the cache.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import int64

from isocline.compilation.compiled import inlinable

_SHIFT = 52 - 8  # keep 8 of the 52 bits of the mantissa
_LOWEST_EXPONENT = 1023 - 100  # 2^-100 s: 8e-31
_OCTAVES = 200  # up to 2^100 s: 1e30
BUCKETS = _OCTAVES << 8
_FIRST = _LOWEST_EXPONENT << 8


@inlinable
def record(histogram: Any, latency: float) -> None:
    """Count one latency, s; what lies outside the range goes to its end.

    `histogram`, (BUCKETS,) int32, is made by the engine; one entry grows by 1.
    """
    bucket = (np.float64(latency).view(np.int64) >> int64(_SHIFT)) - int64(_FIRST)
    histogram[min(max(bucket, 0), BUCKETS - 1)] += 1


def emptied(histogram: npt.NDArray[np.int32]) -> tuple[int, npt.NDArray[np.int32]]:
    """The first bucket that is not empty, and the counts from there; sets them back to 0.

    `histogram`, (BUCKETS,) int32, has the latencies since it was last emptied.
    """
    first, last = _used(histogram)
    counts = histogram[first:last].copy()
    histogram[first:last] = 0
    return first, counts


def _used(histogram: npt.NDArray[np.integer]) -> tuple[int, int]:
    """The first bucket that is not empty, and the one after the last; (0, 0) if all are.

    Bytes are searched from either end at the speed of memory, ten times as fast as by `nonzero`.
    """
    used = (histogram != 0).tobytes()
    return max(used.find(1), 0), used.rfind(1) + 1


def _edges(first: int, last: int) -> npt.NDArray[np.float64]:
    """The latencies at which the buckets `first` to `last - 1` begin, s."""
    bits = (np.arange(first, last, dtype=np.int64) + _FIRST) << _SHIFT
    return bits.view(np.float64)


def share_above(histogram: npt.NDArray[np.integer], limit: float, first: int = 0) -> float:
    """The share of the latencies above `limit`, s, linear within a bucket; nan if there are none.

    So of latencies that all are within 0.4 % of `limit` a part is counted. `histogram` begins with
    bucket `first`; what it leaves out is empty.
    """
    total = int(histogram.sum())
    if total == 0:
        return float("nan")
    edges = _edges(first, first + histogram.size + 1)
    return 1.0 - float(np.interp(limit, edges, _below(histogram))) / total


def quantiles(
    histogram: npt.NDArray[np.integer], q: npt.ArrayLike, first: int = 0
) -> npt.NDArray[np.float64]:
    """The q-quantiles, s, linear within a bucket; `histogram` as of `share_above`.

    nan where nothing was recorded, or where the quantile lies outside the range.
    """
    low, high = _used(histogram)
    if low == high:
        return np.full(np.shape(q), np.nan)
    below = _below(histogram[low:high])
    total = int(below[-1])
    rank = np.asarray(q, dtype=np.float64) * total
    found = np.interp(rank, below, _edges(first + low, first + high + 1))
    under = int(histogram[0]) if first == 0 else 0
    over = int(histogram[-1]) if first + histogram.size == BUCKETS else 0
    outside = (rank <= under) & (under > 0) | (rank > total - over)
    return np.asarray(np.where(outside, np.nan, found))


def _below(histogram: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Counts below each edge of the buckets."""
    return np.concatenate(([0], np.cumsum(histogram))).astype(np.float64)
