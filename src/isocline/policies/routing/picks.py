"""Picks among scored candidates: the least of all, or the least of a sample.

k scores and m picks are k + m pieces of code. `view.option[0]` is the tie rule: 0 takes the first
in the order of the candidates, 1 draws uniformly among the tied.
"""

from typing import Any

import numpy as np
from numba import uint32

from isocline.compilation.compiled import kernel, value_as
from isocline.errors import PolicyError
from isocline.model.curves import ServersCurve
from isocline.policies.routing.contract import CHOOSE, FloatArray, Setting, View, require_one_of
from isocline.randomness.draws import below

TIES = ("random", "first")


@kernel
def score(view: View, edge: int) -> float:
    """The table's entry for the backend at the end of an edge, at its workload."""
    # Unsigned, for a signed index makes numba check for one counted from the end: half the time.
    backend = uint32(view.backend[uint32(edge)])
    workload = uint32(min(view.workload[backend], view.table.shape[1] - 1))
    return view.table[uint32(view.row[backend]), workload]  # type: ignore[no-any-return]


@value_as(CHOOSE)
def least(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The candidate with the least score. Draws: one if there is a tie to break."""
    best = candidates[0]
    lowest = np.inf
    tied = 0
    for i in range(candidates.size):
        value = score(view, candidates[i])
        if value < lowest:
            lowest = value
            best = candidates[i]
            tied = 1
        elif value == lowest:
            tied += 1
    if tied < 2 or view.option[0] == 0.0:
        return best  # type: ignore[no-any-return]
    skip = below(rng, tied)
    for i in range(candidates.size):
        if score(view, candidates[i]) == lowest:
            if skip == 0:
                return candidates[i]  # type: ignore[no-any-return]
            skip -= 1
    return best  # type: ignore[no-any-return]  # only if a score is NaN


def tie_rule(policy: str, ties: str) -> FloatArray:
    """The option array of policies that use `least`."""
    require_one_of(policy, "ties", ties, TIES)
    return np.array([float(ties == "random")])


def counted_jobs(policy: str, count: str, setting: Setting, workloads: FloatArray) -> FloatArray:
    """(R, K) the jobs that count: all of them, or only those waiting for one of the servers."""
    require_one_of(policy, "count", count, ("all", "waiting"))
    if count == "all":
        return np.tile(workloads, (len(setting.curves), 1))
    rows = []
    for curve in setting.curves:
        if not isinstance(curve, ServersCurve):
            raise PolicyError(
                f"{policy}:count=waiting: a {curve.type} curve serves all its jobs at once; "
                "waiting jobs exist only with servers curves"
            )
        rows.append(np.maximum(workloads - curve.count, 0.0))
    return np.array(rows)
