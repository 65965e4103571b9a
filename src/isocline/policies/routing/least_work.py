"""Least work: the fewest queued and in-flight tokens over the throughput of the backend.

`least_load` of Shepherd Model Gateway (lightseekorg/smg, model_gateway/src/policies/least_load.rs,
August 2026): the time in which a backend would be done with what it has. The throughput is the
true capacity, which smg measures. Its second term, 0.15 s x k / (1 - k) with k the used share of
the memory for KV blocks, is left out: policies do not know of that memory here.

Where all jobs are alike: fewest jobs over capacity. Draws: one per tie. Memory: none.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.policies.routing.contract import (
    CHOOSE,
    HELD,
    OUTPUT,
    PROMPT,
    UNCACHED,
    UNREAD,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
    require_one_of,
)
from isocline.policies.routing.picks import challenge

JOIN, HOLDINGS = 0, 1  # options


@value_as(CHOOSE)
def soonest_done(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The candidate with the least work over throughput."""
    best, lowest, tied = candidates[0], np.inf, 0
    for edge in candidates:
        backend = view.backend[edge]
        there, own = float(view.workload[backend]), 1.0
        if view.work.shape[0] > 0:
            if view.option[HOLDINGS] == 1.0:
                there, own = view.tokens[backend, HELD], view.job[PROMPT] + view.job[OUTPUT]
            else:
                there, own = view.tokens[backend, UNREAD], view.work[edge, UNCACHED]
        value = (there + view.option[JOIN] * own) / view.parameter[edge, 0]
        taken, tied = challenge(value, lowest, tied, rng)
        if taken:
            best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class LeastWork(RoutingPolicy):
    """Least work there over capacity; `join` adds this job's, `count` is unread or held tokens."""

    name: ClassVar[str] = "least_work"
    choose = soonest_done
    reads_tokens: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True
    join: bool = False
    count: str = "unread"

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, 1) capacity of the backend, jobs/s."""
        return setting.capacities[setting.graph.sink][:, None].copy()

    def option(self) -> FloatArray:
        require_one_of(self.name, "count", self.count, ("unread", "held"))
        return np.array([float(self.join), float(self.count == "held")])
