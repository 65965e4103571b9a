"""Join an idle queue: to a random idle backend, and to any random one when none is idle.

Y. Lu et al., Performance Evaluation 68(11), 2011. A backend of several servers is idle while one
of them is. Draws: one. Memory: none.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from isocline.model.curves import Curve, ServersCurve
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.policies.routing.picks import least, rules


@final
@dataclass(frozen=True)
class Jiq(RoutingPolicy):
    """Score 0 for an idle backend and 1 for a busy one; ties at random do the rest."""

    name: ClassVar[str] = "jiq"
    choose = least

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return np.array([(workloads >= _places(c)).astype(np.float64) for c in setting.curves])

    def option(self) -> FloatArray:
        return rules(self.name, "random")


def _places(curve: Curve) -> int:
    return curve.count if isinstance(curve, ServersCurve) else 1
