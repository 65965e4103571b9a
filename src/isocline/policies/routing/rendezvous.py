"""Rendezvous hashing: each model has one backend, the first in its order of all of them.

D. G. Thaler and C. V. Ravishankar, *Using Name-Based Mappings to Increase Hit Rates*, IEEE/ACM
Transactions on Networking 6, 1998. Weighted by capacity (`weighted`), as are shares: each model
finds the same backends in the same order, and one that leaves moves no other model.

Where jobs ask for no model each goes by lot, with chances as the weights. Draws: one for a job
without model. Memory: none.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import inlinable, value_as
from isocline.policies.routing.bounded_hash import mixed, place_in_order
from isocline.policies.routing.contract import (
    CHOOSE,
    MODEL,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.randomness.draws import bits


@inlinable
def key_of_model(view: View, rng: Any) -> Any:
    """Hash of the model that a job asks for; a random one if it asks for none."""
    if view.job.shape[0] > 0 and view.job[MODEL] >= 0.0:
        return mixed(int(view.job[MODEL]))
    return bits(rng)


@value_as(CHOOSE)
def first_by_hash(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The first candidate in the order of the model."""
    key = key_of_model(view, rng)
    best, longest = candidates[0], -1.0
    for edge in candidates:
        value = place_in_order(key, view.backend[edge], view.parameter[edge, 0])
        if value > longest:
            best, longest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class Rendezvous(RoutingPolicy):
    """The backend of the job's model, by a hash."""

    name: ClassVar[str] = "rendezvous"
    choose = first_by_hash
    reads_tokens: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True
    weighted: bool = True

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, 1) weight of the backend: its capacity, jobs/s, or 1."""
        weight = setting.capacities[setting.graph.sink]
        return (weight if self.weighted else np.ones_like(weight))[:, None].copy()
