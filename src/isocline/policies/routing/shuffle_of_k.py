"""Shuffle sharding: each model has k backends by a hash, and goes to the one with the fewest jobs.

C. MacCarthaigh, *Workload isolation using shuffle-sharding*, Amazon Builders' Library. The k are
the first of the model's order of all backends by rendezvous hashing (Thaler and Ravishankar, 1998),
so that one that leaves moves no other model.

Where jobs ask for no model, each draws k backends: power of k choices. Draws: one per tie, and one
for a job without model. Memory: none.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import uint64

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.policies.routing.bounded_hash import mixed
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.policies.routing.picks import challenge
from isocline.policies.routing.rendezvous import key_of_model


@value_as(CHOOSE)
def fewest_of_shard(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """Of the first k candidates in the order of the model, the one with the fewest jobs."""
    key = key_of_model(view, rng)
    best, fewest, tied = candidates[0], np.inf, 0
    above, is_first = uint64(0), True
    for _ in range(min(int(view.option[0]), candidates.size)):
        # The greatest hash below the last one.
        found, greatest = candidates[0], uint64(0)
        for edge in candidates:
            value = mixed(key ^ mixed(view.backend[edge]))
            if value >= greatest and (is_first or value < above):
                found, greatest = edge, value
        above, is_first = greatest, False
        jobs = float(view.workload[view.backend[found]])
        taken, tied = challenge(jobs, fewest, tied, rng)
        if taken:
            best, fewest = found, jobs
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class ShuffleOfK(RoutingPolicy):
    """Fewest jobs among the `k` backends of the job's model."""

    name: ClassVar[str] = "shuffle_of_k"
    choose = fewest_of_shard
    reads_tokens: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True
    k: int = 4

    def __post_init__(self) -> None:
        if self.k < 1:
            raise PolicyError(f"shuffle_of_k:k={self.k}: k is a whole number, 1 or more")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def option(self) -> FloatArray:
        return np.array([float(self.k)])
