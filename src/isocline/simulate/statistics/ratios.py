"""The ratio of two means from paired replications."""

import numpy as np
import numpy.typing as npt

from isocline.simulate.results import Estimate
from isocline.simulate.statistics.intervals import interval

FloatArray = npt.NDArray[np.float64]


def ratio_interval(above: FloatArray, below: FloatArray) -> Estimate:
    """Mean of (R,) `above` over mean of (R,) `below` > 0, paired, with its 95 % interval.

    The classical ratio estimator (A. Law, Simulation Modeling and Analysis, 5th ed., Section 9.5):
    above - ratio * below has mean 0 over replications, and its spread is the ratio's.
    """
    ratio = float(np.mean(above) / np.mean(below))
    rest = interval((above - ratio * below) / np.mean(below))
    return Estimate(ratio, ratio + rest.low, ratio + rest.high)
