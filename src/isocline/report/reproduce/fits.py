"""Fits of slopes with intervals, such as of a spread against the scale."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics.intervals import interval

FloatArray = npt.NDArray[np.float64]

BATCHES = 10  # of replications; nine degrees of freedom widen intervals by 15 %


class Line(NamedTuple):
    """Least-squares line."""

    slope: float
    intercept: float
    r_squared: float


def line(x: FloatArray, y: FloatArray) -> Line:
    """Fit a line to (x, y), each (n,), n >= 3, y not constant."""
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - (slope * x + intercept)
    share = float(np.sum(rest**2) / np.sum((y - y.mean()) ** 2))
    return Line(float(slope), float(intercept), 1.0 - share)


def batched(values: FloatArray) -> FloatArray:
    """Means over batches of replications: (R, ...) to (BATCHES, ...); R a multiple of BATCHES."""
    parts: FloatArray = values.reshape(BATCHES, -1, *values.shape[1:]).mean(axis=1)
    return parts


def exponent(scales: FloatArray, values: FloatArray) -> Estimate:
    """Exponent a of value ~ scale^a: by a log-log line per batch, with the interval over batches.

    Args:
        scales: (S,) scales, at least 3.
        values: (BATCHES, S) positive values.
    """
    slopes = np.polyfit(np.log(scales), np.log(values).T, 1)[0]
    return interval(slopes)
