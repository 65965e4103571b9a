"""Random local server, which alone runs the task: the choice of no scheduler at all.

Draws: one per task.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from numba import int64, uint32

from isocline.compilation.compiled import inlined_as
from isocline.policies.scheduling.contract import (
    ROUTE,
    ClusterSetting,
    ClusterView,
    Rules,
    SchedulingPolicy,
    keep_nothing,
    never,
)
from isocline.policies.scheduling.jsq_local_only import own_queue, own_server
from isocline.randomness.draws import below


@inlined_as(ROUTE)
def random_local_server(local: Any, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """One of the local servers, all alike."""
    return int64(local[uint32(below(rng, local.size))])  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class RandomLocal(SchedulingPolicy):
    """No options."""

    name: ClassVar[str] = "random_local"

    def rules(self, setting: ClusterSetting) -> Rules:  # noqa: ARG002
        return Rules(random_local_server, own_server, own_queue, never, keep_nothing)
