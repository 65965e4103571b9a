"""Files whose times overlap: with the same requests, as rotated logs may, or of several routers.

Where two files are of the same time, those of one router have the same requests, and those of two
have others: by chance few agree in their times, origin, backend and end. So requests of the later
file count as doubles if nearly all that the shorter has of that time are in the other, too.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Share that agrees of one log; with few requests chance may do that.
_SAME, _LEAST = 0.95, 20
# Share of the shorter file's time that is the other's, too, of two routers; rotation leaves less.
_TOGETHER = 0.1


class Overlap(NamedTuple):
    """Two files that have requests of the same time."""

    one: int
    other: int  # a later file
    doubled: IndexArray  # (D,) numbers of requests of the other that the one has; none of routers


def overlaps(requests: FloatArray, end: FloatArray, first: Sequence[int]) -> list[Overlap]:
    """Find the pairs of files that overlap in time.

    Args:
        requests: (N, C) fields of each request, file after file.
        end: (N,) s, when each ended.
        first: (L,) number of each file's first request.
    """
    files = np.split(np.arange(end.size), first[1:])
    spans = [(float(end[it].min()), float(end[it].max())) if it.size else None for it in files]
    found = []
    for (i, one), (j, other) in combinations(enumerate(spans), 2):
        if one is None or other is None:
            continue
        low, high = max(one[0], other[0]), min(one[1], other[1])
        if low > high:
            continue
        there = [files[f][(end[files[f]] >= low) & (end[files[f]] <= high)] for f in (i, j)]
        doubled, fewest = _doubled(requests, *there), min(it.size for it in there)
        if fewest >= _LEAST and doubled.size >= _SAME * fewest:
            found.append(Overlap(i, j, doubled))
        elif high - low >= _TOGETHER * min(one[1] - one[0], other[1] - other[0]):
            found.append(Overlap(i, j, np.zeros(0, np.int64)))
    return found


def _doubled(requests: FloatArray, one: IndexArray, other: IndexArray) -> IndexArray:
    """Numbers of the other's requests that have a twin of their own among the one's."""
    both = np.concatenate((one, other))
    _, kind = np.unique(requests[both], axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    there = np.bincount(kind[: one.size], minlength=int(kind.max(initial=-1)) + 1)
    own = kind[one.size :]
    order = np.argsort(own, kind="stable")
    _, start, count = np.unique(own[order], return_index=True, return_counts=True)
    place = np.arange(own.size) - np.repeat(start, count)
    return np.asarray(other[order[place < there[own[order]]]])
