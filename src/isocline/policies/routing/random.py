"""Random: every compatible backend is equally likely. Draws: one. Memory: none."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

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
from isocline.randomness.draws import below


@value_as(CHOOSE)
def choose_any(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """One candidate, uniformly."""
    return candidates[below(rng, candidates.size)]  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class Random(RoutingPolicy):
    """Uniform over the compatible backends."""

    name: ClassVar[str] = "random"
    choose = choose_any

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def shares(self, setting: Setting) -> FloatArray:
        return even_shares(setting.graph)
