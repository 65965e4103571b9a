"""A policy of one's own: of two random backends, the one where a job adds more.

isocline simulate examples/mixed_fleet.yaml --policy examples.my_policy:two_by_price --policy gmsr
"""

from isocline.draws import below


def two_by_price(candidates, view, now, rng):
    """Least price 1 / l'(N), which is what `view.table` holds, of a sample of two."""
    one = candidates[below(rng, candidates.size)]
    other = candidates[below(rng, candidates.size)]
    a, b = view.backend[one], view.backend[other]
    if view.table[view.row[b], view.workload[b]] < view.table[view.row[a], view.workload[a]]:
        return other
    return one
