"""Length of the warm-up to discard: MSER-5.

K. P. White, Simulation 69(6), 1997: of the means of batches of five observations discard the first
d that make the standard error of the rest least. If that d lies in the second half, the run is too
short to say.
"""

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.batches import BATCH

FloatArray = npt.NDArray[np.float64]


def mser5(series: FloatArray) -> int | None:
    """Observations of `series` (n,) to discard, a multiple of 5; None if the run is too short."""
    batches = series[: series.size // BATCH * BATCH].reshape(-1, BATCH).mean(axis=1)
    n = batches.size
    # The last quarter is no candidate: the variance of a handful of points is small by chance.
    errors = [float(np.var(batches[d:])) / (n - d) for d in range(3 * n // 4)]
    best = int(np.argmin(errors))
    return None if best > n // 2 else best * BATCH
