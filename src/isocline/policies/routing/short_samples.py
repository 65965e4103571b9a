"""Least of two or three sampled candidates by any score, without a branch on what was drawn.

`power_of_d.least_of_sample` is for any size: it keeps the sample sorted in memory, and branches on
each comparison. Of two or three the order is a matter of two comparisons that are added. The draws
are the same, and so is the candidate. No policy uses it yet.
"""

from typing import Any

import numpy as np
from numba import uint32

from isocline.compilation.compiled import inlinable, value_as
from isocline.policies.routing.contract import CHOOSE, View
from isocline.policies.routing.picks import cost
from isocline.policies.routing.power_of_d import least_of_sample
from isocline.randomness.draws import below


@value_as(CHOOSE)
def least_of_short_sample(candidates: Any, view: View, now: float, rng: Any) -> int:
    """As `power_of_d.least_of_sample`, which it calls unless it draws 2 or 3 without replacement.

    Under ties=first, and with fewer candidates than the sample, it calls that, too. `view.memory`
    stays as it is.
    """
    n = candidates.size
    d = int(view.option[2])
    if d < 2 or d > 3 or n < d or view.option[0] == 0.0 or view.option[3] == 1.0:
        return least_of_sample(candidates, view, now, rng)
    a = below(rng, n)
    b = below(rng, n - 1)
    b += b >= a  # step over the first
    best, lowest = _better(view, candidates[uint32(a)], candidates[0], np.inf)
    best, lowest = _better(view, candidates[uint32(b)], best, lowest)
    if d == 3:
        c = below(rng, n - 2)
        c += c >= min(a, b)
        c += c >= max(a, b)
        best, lowest = _better(view, candidates[uint32(c)], best, lowest)
    return best  # type: ignore[no-any-return]


@inlinable
def _better(view: View, edge: Any, best: Any, lowest: Any) -> tuple[Any, Any]:
    """The better of an edge and the best so far, and its cost."""
    value = cost(view, edge)
    less = value < lowest
    return edge if less else best, value if less else lowest
