"""Slopes with intervals: how a spread falls with the scale, how a time grows with a distance."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics.intervals import interval

FloatArray = npt.NDArray[np.float64]

BATCHES = 10  # of replications; nine degrees of freedom make an interval 15 % wider than many would


class Line(NamedTuple):
    """A least-squares line."""

    slope: float
    intercept: float
    r_squared: float


def line(x: FloatArray, y: FloatArray) -> Line:
    """The line through (x, y), each (n,), n >= 3, y not constant."""
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - (slope * x + intercept)
    share = float(np.sum(rest**2) / np.sum((y - y.mean()) ** 2))
    return Line(float(slope), float(intercept), 1.0 - share)


def batched(values: FloatArray) -> FloatArray:
    """Means over batches of replications: (R, ...) to (BATCHES, ...); R a multiple of BATCHES."""
    parts: FloatArray = values.reshape(BATCHES, -1, *values.shape[1:]).mean(axis=1)
    return parts


def exponent(scales: FloatArray, values: FloatArray) -> Estimate:
    """The a of value ~ scale^a: a log-log line for each batch, and the interval over batches.

    Args:
        scales: (S,) scales, at least 3.
        values: (BATCHES, S) positive values.
    """
    slopes = np.polyfit(np.log(scales), np.log(values).T, 1)[0]
    return interval(slopes)
