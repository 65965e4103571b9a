"""Exponential draws without a logarithm: the ziggurat.

G. Marsaglia, W. W. Tsang, J. Stat. Software 5(8), 2000: the area under e^-x in 256 layers of equal
area, of which all but 1 % of the draws need one table entry. Layer, position and, where needed, a
second draw come from bits that no other use shares.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import uint64

from isocline.compilation.compiled import inlinable
from isocline.randomness.draws import step, unit

LAYERS = 256
# Where the tail begins, so that 255 rectangles of equal area reach from there to the top, and that
# area, which is also the lowest layer's with its tail: (TAIL + 1) e^-TAIL. A test checks both.
TAIL = 7.69711747013104972
AREA = 0.0039496598225815571993


def _edges() -> npt.NDArray[np.float64]:
    """(257,) right edges of the layers, from the lowest (wider than TAIL, as the tail is in it)."""
    x = [AREA * math.exp(TAIL), TAIL]
    for _ in range(LAYERS - 2):
        x.append(-math.log(AREA / x[-1] + math.exp(-x[-1])))
    return np.array([*x, 0.0])


EDGE = _edges()
HEIGHT = np.exp(-EDGE)


@inlinable
def exponential(s0: Any, s1: Any) -> tuple[Any, Any, float]:
    """The next state of a stream (see `draws.step`), and a number with mean 1."""
    shift = 0.0
    while True:
        s0, s1, random_bits = step(s0, s1)
        layer = random_bits & uint64(LAYERS - 1)  # `unit` leaves these 8 bits out
        x = unit(random_bits) * EDGE[layer]
        if x < EDGE[layer + uint64(1)]:
            return s0, s1, shift + x
        if layer == uint64(0):
            shift += TAIL  # beyond it the law starts afresh
            continue
        s0, s1, random_bits = step(s0, s1)
        low = HEIGHT[layer]
        if low + unit(random_bits) * (HEIGHT[layer + uint64(1)] - low) < math.exp(-x):
            return s0, s1, shift + x
