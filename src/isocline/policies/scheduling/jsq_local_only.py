"""Join the shortest local queue, and nothing else: no server ever fetches data.

Near-data paper, Section 2.1, without its remote half. Stable only while no set of servers is
overloaded by the tasks that are local to it alone. Draws: one per tie.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from numba import uint32

from isocline.compilation.compiled import inlined_as
from isocline.policies.scheduling.contract import (
    CALL,
    NOBODY,
    NOTHING,
    PICK,
    ClusterSetting,
    ClusterView,
    CountingPolicy,
    Rules,
    keep_nothing,
    never,
)
from isocline.policies.scheduling.state.columns import IDLE, SERVING, WAITING
from isocline.policies.scheduling.state.shortest_queue import shortest_route


@inlined_as(CALL)
def own_server(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The queue's server, if it is idle."""
    return queue if view.columns[uint32(queue), SERVING] == IDLE else NOBODY


@inlined_as(PICK)
def own_queue(server: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """Its own queue."""
    return server if view.columns[uint32(server), WAITING] > 0 else NOTHING


@final
@dataclass(frozen=True)
class JsqLocalOnly(CountingPolicy):
    """`count=waiting` leaves out the task in service."""

    name: ClassVar[str] = "jsq_local_only"
    count: str = "all"

    def rules(self, setting: ClusterSetting) -> Rules:
        return Rules(shortest_route(setting), own_server, own_queue, never, keep_nothing)
