"""Length of the warm-up to discard: MSER-5.

K. P. White, Simulation 69(6), 1997: of the means of batches of five observations discard the first
d that make the standard error of the rest least. If that d lies in the second half, the run is too
short to say.

By chance it lies there in 1 to 8 of 100 runs that keep their level, the more the slower the number
in the system forgets. So a run is refused only if its halves do not clearly agree.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.run_settings import BATCH
from isocline.simulate.common.statistics import student_t

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


# Halves whose means differ, with a confidence of 95 %, by less than this share of the level agree.
# Of 4000 simulated runs that began 90 % below their level, 691 had an MSER-5 in the second half; 16
# of these were let through, and one was off by more than this.
AGREEING = 0.1


def warm_up(number: FloatArray) -> int | None:
    """Observations to discard of R >= 2 replications, (R, n), of the number in the system.

    A multiple of 5; None if the run is too short.
    """
    series = number.mean(axis=0)
    found = mser5(series)
    if found is not None:
        return found
    skip = _best_of_first_half(_in_batches(series).mean(axis=1))
    return skip if _halves_agree(number[:, skip:]) else None


def settled(total: FloatArray, count: IndexArray) -> int:
    """Observations, a multiple of 5, to discard of n means `total` / `count`, both (n,).

    By MSER-5 among the first half: a mean is taken of what is left, whatever it is. 0 where five
    observations together have no count.
    """
    counts = _in_batches(count).sum(axis=1)
    if not counts.size or counts.min() == 0:
        return 0
    return _best_of_first_half(_in_batches(total).sum(axis=1) / counts)


def mser5(series: FloatArray) -> int | None:
    """Observations of `series` (n,) to discard, a multiple of 5; None if the run is too short."""
    batches = _in_batches(series).mean(axis=1)
    # The last quarter is no candidate: the variance of a handful of points is small by chance.
    best = _best(batches, 3 * batches.size // 4)
    return None if best > batches.size // 2 else best * BATCH


def _in_batches(series: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The whole batches of a series, (n // 5, 5)."""
    return series[: series.size // BATCH * BATCH].reshape(-1, BATCH)


def _best_of_first_half(batches: FloatArray) -> int:
    """Observations to discard where no more than half may be."""
    return _best(batches, batches.size // 2 + 1) * BATCH


def _best(batches: FloatArray, candidates: int) -> int:
    """The d < `candidates` after which the mean of what is left has the least standard error."""
    n = batches.size
    return int(np.argmin([float(np.var(batches[d:])) / (n - d) for d in range(candidates)]))


def _halves_agree(number: FloatArray) -> bool:
    first, second = (half.mean(axis=1) for half in np.array_split(number, 2, axis=1))
    rise = second - first
    count = rise.size
    half_width = student_t.quantile(0.975, count - 1) * float(rise.std(ddof=1)) / np.sqrt(count)
    return bool(abs(rise.mean()) + half_width <= AGREEING * number.mean())
