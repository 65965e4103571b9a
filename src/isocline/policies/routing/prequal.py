"""Prequal: of some backends probed, the one with the least latency among those that are not hot.

B. Wydrowski, R. Kleinberg, S. M. Rumble and A. Archer, *Load is not what you should balance:
Introducing Prequal*, NSDI 2024, Section 4 (hot-cold lexicographic selection). A backend is hot if
it has more requests in flight than a quantile of the probed ones; of the cold ones the least
latency is taken, and the fewest requests in flight only where all are hot, which cannot be where
probes are fresh: the one with the fewest is cold.

Kinder to it than its paper: probes are fresh, and the latency that a backend reports, there the
median of recent ones at as many requests in flight, is the true mean of its curve. Draws: one per
probe unless all are probed, one per tie. Memory: room to keep a sample apart.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
)
from isocline.policies.routing.least_expected_latency import LeastExpectedLatency
from isocline.policies.routing.picks import challenge, cost
from isocline.policies.routing.power_of_d import LARGEST_SAMPLE, next_distinct

PROBES, QUANTILE = 2, 3  # options; 0 and 1 are those of `picks`


@value_as(CHOOSE)
def coldest_quick(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The least latency among the probed that are cold."""
    probed = view.memory[0]
    count = min(int(view.option[PROBES]), candidates.size)
    for i in range(count):
        if count == candidates.size:
            probed[i] = i
        else:
            next_distinct(probed, i, candidates.size, rng)
    # Hot: at least this many of the probed have fewer requests in flight.
    below_hot = max(view.option[QUANTILE] * count, 1.0)
    best = candidates[int(probed[0])]
    lowest, tied = np.inf, 0
    for i in range(count):
        edge = candidates[int(probed[i])]
        jobs = view.workload[view.backend[edge]]
        fewer = 0
        for other in range(count):
            fewer += view.workload[view.backend[candidates[int(probed[other])]]] < jobs
        if fewer < below_hot:
            value = cost(view, edge)
            taken, tied = challenge(value, lowest, tied, rng)
            if taken:
                best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class Prequal(RoutingPolicy):
    """Least latency among `probes` backends up to the `quantile` of requests in flight."""

    name: ClassVar[str] = "prequal"
    choose = coldest_quick
    shares_kernel: ClassVar[bool] = True
    probes: int = 16  # the size of a client's pool of probes
    quantile: float = 0.84  # 2^(-1/4), the paper's

    def __post_init__(self) -> None:
        if not 1 <= self.probes <= LARGEST_SAMPLE:
            raise PolicyError(
                f"prequal:probes={self.probes}: probes is a whole number from 1 to {LARGEST_SAMPLE}"
            )
        if not 0 <= self.quantile <= 1:
            raise PolicyError(f"prequal:quantile={self.quantile:g}: quantile is from 0 to 1")

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return LeastExpectedLatency().table(setting, workloads)

    def memory(self, setting: Setting) -> FloatArray:  # noqa: ARG002
        return np.zeros((1, LARGEST_SAMPLE))

    def option(self) -> FloatArray:
        return np.append(LeastExpectedLatency().option(), [self.probes, self.quantile])
