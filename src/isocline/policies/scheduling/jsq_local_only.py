"""Join the shortest local queue, and nothing else: no server ever fetches data.

Near-data paper, Section 2.1, without its remote half. Stable only while no set of servers is
overloaded by the tasks that are local to it alone. Draws: one per tie.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from numba import uint32

from isocline.inlining import inlined_as
from isocline.policies.scheduling.contract import (
    CALL,
    NOBODY,
    NOTHING,
    PICK,
    ClusterSetting,
    ClusterView,
    Rules,
    SchedulingPolicy,
    never,
    nothing_kept,
    require_count,
)
from isocline.policies.scheduling.desk import IDLE, SERVING, WAITING
from isocline.policies.scheduling.shortest import shortest_route


@inlined_as(CALL)
def own_server(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The queue's server, if it is idle."""
    return queue if view.desk[uint32(queue), SERVING] == IDLE else NOBODY


@inlined_as(PICK)
def own_queue(server: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """Its own queue."""
    return server if view.desk[uint32(server), WAITING] > 0 else NOTHING


@final
@dataclass(frozen=True)
class JsqLocalOnly(SchedulingPolicy):
    """`count=waiting` leaves out the task in service."""

    name: ClassVar[str] = "jsq_local_only"
    count: str = "all"

    def __post_init__(self) -> None:
        require_count(self.name, self.count)

    def rules(self, setting: ClusterSetting) -> Rules:
        return Rules(shortest_route(setting), own_server, own_queue, never, nothing_kept)

    @property
    def counts_service(self) -> bool:
        return self.count == "all"

    @property
    def reading(self) -> str:
        counted = "tasks in service included" if self.counts_service else "waiting tasks only"
        return f"queue lengths: {counted}"
