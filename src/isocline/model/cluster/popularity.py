"""A finite number of chunks, each placed once, that tasks ask for again and again."""

import math

import numpy as np

from isocline.errors import UsageError
from isocline.model.cluster.explicit import ExplicitTasks, FloatArray
from isocline.model.cluster.placement import Placement


def zipf_weights(chunks: int, exponent: float) -> FloatArray:
    """(chunks,) popularities, summing to 1: the i-th chunk's is proportional to i^-exponent.

    Raises:
        UsageError: There is no chunk, or the exponent is negative or not finite.
    """
    if chunks < 1:
        raise UsageError(f"chunks is {chunks}; give a whole number of at least 1")
    if not (math.isfinite(exponent) and exponent >= 0):
        raise UsageError(f"zipf exponent is {exponent:g}; give a finite number, 0 or more")
    weights: FloatArray = np.arange(1, chunks + 1, dtype=np.float64) ** -exponent
    return weights / float(weights.sum())


def popular_tasks(
    placement: Placement, servers: int, rate: float, weights: FloatArray, seed: int = 0
) -> ExplicitTasks:
    """Tasks for chunks placed on M servers, `rate` in all, in proportion to `weights` > 0, (n,).

    Chunks on the same set of servers are one type, as the near-data paper has it (Section 2).
    """
    rows = placement.draw(np.random.default_rng((seed, weights.size)), weights.size)
    return ExplicitTasks.from_rows(servers, rows, rate * weights / weights.sum())
