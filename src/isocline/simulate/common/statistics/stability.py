"""Stability: whether there is a steady state to report, from the trend of the number of jobs."""

from enum import Enum

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.statistics import student_t

FloatArray = npt.NDArray[np.float64]


class Trend(Enum):
    """Findings from the quarters of a run."""

    STEADY = "no growth beyond chance"
    SETTLING = "still rising, ever more slowly: the run is too short"
    GROWING = "rising at a constant rate: unstable"


# One-sided, so that of 1000 steady runs one is called rising.
LEVEL = 0.999
# A rise below this share is within the bias that a reported interval hides anyway.
NEGLIGIBLE = 0.1
# Linear growth has equal increments between quarters; growth like the square root of time, the
# most that a stable system near its capacity shows, has increments in the ratio 0.81.
LINEAR = 0.9


def trend(series: FloatArray) -> Trend:
    """Judge (R, n) block means of R >= 2 replications of the number of jobs."""
    quarters = np.stack([q.mean(axis=1) for q in np.array_split(series, 4, axis=1)], axis=1)
    rise = quarters[:, 3] - quarters[:, 1]
    count = rise.size
    level = float(quarters[:, 1].mean())
    error = float(rise.std(ddof=1)) / np.sqrt(count)
    significant = rise.mean() > student_t.quantile(LEVEL, count - 1) * error
    if not significant or rise.mean() <= NEGLIGIBLE * level:
        return Trend.STEADY
    early, late = (float((quarters[:, i + 1] - quarters[:, i]).mean()) for i in (1, 2))
    return Trend.GROWING if late >= LINEAR * early and rise.mean() > level / 2 else Trend.SETTLING
