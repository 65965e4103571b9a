"""Model affinity: the fewest jobs among the backends that hold the model, else among all.

As routers for LoRA adapters do it: the Gateway API inference extension's LoRA affinity filter
prefers endpoints at which an adapter is active, then those with room for it
(kubernetes-sigs/gateway-api-inference-extension). Blind to speed, and to what a load costs.

Where jobs ask for no models: fewest jobs. Draws: one per tie. Memory: none.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.policies.routing.contract import (
    CHOOSE,
    LOAD,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.policies.routing.picks import challenge


@value_as(CHOOSE)
def fewest_at_holders(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """Of the candidates that hold the model, or of all, the one with the fewest jobs."""
    held = False
    if view.work.shape[0] > 0:
        for edge in candidates:
            held = held or view.work[edge, LOAD] == 0.0
    best, lowest, tied = candidates[0], np.inf, 0
    for edge in candidates:
        if held and view.work[edge, LOAD] > 0.0:
            continue
        value = float(view.workload[view.backend[edge]])
        taken, tied = challenge(value, lowest, tied, rng)
        if taken:
            best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class ModelAffinity(RoutingPolicy):
    """Fewest jobs among the backends that hold the job's model, else among all."""

    name: ClassVar[str] = "model_affinity"
    choose = fewest_at_holders
    shares_kernel: ClassVar[bool] = True

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)
