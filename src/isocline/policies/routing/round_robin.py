"""Round robin: each frontend goes round its backends in turn, from where it stopped.

Draws: none. Memory: one counter per frontend, kept at its first edge.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    even_shares,
    no_table,
)


@value_as(CHOOSE)
def choose_next(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """The candidate after the last one."""
    turn = int(view.memory[candidates[0], 0]) % candidates.size
    view.memory[candidates[0], 0] = turn + 1.0
    return candidates[turn]  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class RoundRobin(RoutingPolicy):
    """In turn, whatever the workloads."""

    name: ClassVar[str] = "round_robin"
    choose = choose_next

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, 1))

    def shares(self, setting: Setting) -> FloatArray:
        return even_shares(setting.graph)
