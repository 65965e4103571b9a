"""Greatest Marginal Service Rate: to the backend whose rate grows most with one more job.

GMSR paper, Section 4, Eq. (2): argmax l'_b(N_b) at the workload before the job joins. Knows no
arrival rates and needs no word from other frontends, and yet the fluid limit converges to the
central optimum (Theorem 2). Draws: one per tie. Memory: none.

With `d` it looks at a sample of d backends only, as `power_of_d` does, where the workloads of all
are too many to ask for. Draws: d. Memory: room to keep a sample apart.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    FloatArray,
    RoutingPolicy,
    Setting,
    observe_nothing,
    require_one_of,
)
from isocline.policies.routing.picks import least, rules
from isocline.policies.routing.power_of_d import (
    LARGEST_SAMPLE,
    least_of_sample,
    least_of_short_sample,
)


@final
@dataclass(frozen=True)
class Gmsr(RoutingPolicy):
    """Least price 1 / l'(N), of `d` backends drawn (0: of all).

    `gradient=difference` takes l(N + 1) - l(N) in place of l'(N).
    """

    name: ClassVar[str] = "gmsr"
    choose = least
    gradient: str = "derivative"
    ties: str = "random"
    d: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.d <= LARGEST_SAMPLE:
            raise PolicyError(
                f"gmsr:d={self.d}: d is a whole number from 1 to {LARGEST_SAMPLE}, or 0 for all"
            )

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        require_one_of(self.name, "gradient", self.gradient, ("derivative", "difference"))
        derivative = self.gradient == "derivative"
        gains = [
            c.marginal(workloads) if derivative else c.difference(workloads) for c in setting.curves
        ]
        # Past the peak of a table one more job adds nothing, and far out too little for a double.
        with np.errstate(divide="ignore", over="ignore"):
            return 1.0 / np.array(gains)

    def option(self) -> FloatArray:
        own = rules(self.name, self.ties, prices=True)
        return np.append(own, [self.d, 0.0]) if self.d else own

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((1, LARGEST_SAMPLE)) if self.d else super().memory(setting)

    @property
    def sample(self) -> int:
        return self.d if self.ties == "random" else 0

    def functions(self) -> tuple[Any, Any]:
        sampled = least_of_short_sample if self.d in (2, 3) else least_of_sample
        return (sampled if self.d else least), observe_nothing
