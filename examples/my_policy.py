"""A policy of one's own: of all backends, the one where a job adds least; of equals, the fastest.

isocline simulate examples/mixed_fleet.yaml --load 0.8 \
    --policy jsq --policy examples.my_policy:least_price
"""

import numpy as np

from isocline.policies.routing.picks import score


def least_price(candidates, view, now, rng):
    """Least price 1 / l'(N), which is what `view.table` holds; of equals, the largest capacity."""
    best = candidates[0]
    lowest, capacity = np.inf, 0.0
    for edge in candidates:
        price, size = score(view, edge), view.parameter[edge, 0]
        if price < lowest or (price == lowest and size > capacity):
            best, lowest, capacity = edge, price, size
    return best
