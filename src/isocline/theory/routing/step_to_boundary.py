"""Length of a step of an interior-point method: short of where a value would be 0."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_SHARE = 0.9  # of the way to where a flow, a slack or the room at a backend would be 0


def longest_step(value: FloatArray, change: FloatArray) -> float:
    """The longest step after which all values, above 0 now, are above 0; inf if none falls."""
    worst = float(np.min(change / value, initial=0.0))
    return _SHARE / -worst if worst < 0.0 else np.inf
