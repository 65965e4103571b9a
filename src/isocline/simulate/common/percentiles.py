"""Percentiles of times that were counted in histograms, one per batch of blocks."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from isocline.histogram import known_shares
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.kernels.latency_histogram import quantiles, share_above
from isocline.simulate.common.run_settings import BATCH
from isocline.simulate.common.statistics.intervals import interval

QUANTILES = (0.5, 0.95, 0.99)
# A p99 over fewer jobs a replication would rest on fewer than ten of them.
LEAST_FOR_PERCENTILES = 1000


class Timed(Protocol):
    """A replication whose jobs or tasks were timed."""

    @property
    def timed(self) -> npt.NDArray[np.int64]:
        """Number of timed jobs in each block, (n,)."""
        ...

    @property
    def latencies(self) -> tuple[tuple[int, npt.NDArray[np.int32]], ...]:
        """For each batch of blocks, the first bucket that is not empty, and counts from there."""
        ...


def percentiles(reps: Sequence[Timed], skip: int, whole: bool = False) -> list[Estimate | None]:
    """The QUANTILES after `skip` blocks, s; None where too few were timed, or outside the range.

    `whole`: times are whole numbers of slots. Up to 512 each has a bucket of its own.
    """
    if min(int(rep.timed[skip:].sum()) for rep in reps) < LEAST_FOR_PERCENTILES:
        return [None] * len(QUANTILES)
    first, counts = _histograms(reps, skip)
    rows = np.array([quantiles(row, QUANTILES, first) for row in counts])
    columns = (np.floor(rows) if whole else rows).T
    return [None if np.isnan(column).any() else interval(column) for column in columns]


def latency_curve(
    reps: Sequence[Timed], skip: int, whole: bool = False
) -> tuple[tuple[float, float], ...]:
    """Shares, and the latency in s that each share of all latencies after `skip` blocks is within.

    Of all replications together, `whole` as of `percentiles`; () where nothing was timed, and no
    further than latencies can tell a share from the next.
    """
    first, counts = _histograms(reps, skip)
    total = counts.sum(axis=0)
    shares = known_shares(int(total.sum()))
    times = quantiles(total, shares, first)
    known = zip(shares, (np.floor(times) if whole else times).tolist(), strict=True)
    return tuple((share, latency) for share, latency in known if not np.isnan(latency))


def shares_above(reps: Sequence[Timed], skip: int, limit: float) -> npt.NDArray[np.float64]:
    """(R,) the share of the latencies after `skip` blocks that are above `limit`, s."""
    first, counts = _histograms(reps, skip)
    return np.array([share_above(row, limit, first) for row in counts])


def _histograms(reps: Sequence[Timed], skip: int) -> tuple[int, npt.NDArray[np.int64]]:
    """The first bucket that is not empty in all, and (R, n) counts after `skip` blocks from there.

    Latencies are in one bucket of twenty or fewer.
    """
    parts = [[part for part in rep.latencies[skip // BATCH :] if part[1].size] for rep in reps]
    starts = [first for row in parts for first, _ in row]
    ends = [first + counts.size for row in parts for first, counts in row]
    start = min(starts, default=0)
    total = np.zeros((len(reps), max(ends, default=0) - start), np.int64)
    for row, of_rep in zip(total, parts, strict=True):
        for first, counts in of_rep:
            row[first - start : first - start + counts.size] += counts
    return start, total
