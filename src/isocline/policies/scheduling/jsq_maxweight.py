"""Join the shortest queue with MaxWeight: the first throughput-optimal near-data policy.

W. Wang, K. Zhu, L. Ying, J. Tan, L. Zhang, SIGMETRICS Perform. Eval. Rev. 40(4), 2013; as the
near-data paper describes it (Section 1.2): M local queues and one common queue for tasks that are
to run remotely. A task joins the shortest of its local queues and the common one; an idle server m
takes from the queue with the greater weight, alpha Q_m or gamma Q_(M+1). Heavy-traffic optimal only
if all traffic is local to overloaded servers. Local queues win ties against the common one; queues
of which no task waits are passed over. Draws: one per tie of local queues, one per call.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt
from numba import uint32

from isocline.compilation.compiled import inlined_as
from isocline.policies.scheduling.contract import (
    BY_QUEUE,
    CALL,
    LOCAL,
    NOBODY,
    NOTHING,
    PICK,
    REMOTE,
    ROUTE,
    ClusterSetting,
    ClusterView,
    CountingPolicy,
    Rules,
    keep_nothing,
    never,
)
from isocline.policies.scheduling.state.columns import IDLE, LENGTH, SERVING, WAITING
from isocline.policies.scheduling.state.common_queue import common, random_idle, waits_in_common
from isocline.policies.scheduling.state.shortest_queue import random_shortest


@inlined_as(ROUTE)
def shortest_or_common(local: Any, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The shortest local queue, or the common one if it is shorter still."""
    best = random_shortest(local, view, rng)
    rest = common(view)
    return rest if view.columns[uint32(rest), LENGTH] < view.columns[uint32(best), LENGTH] else best


@inlined_as(CALL)
def own_or_random_idle(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The queue's server if it is idle; of the common queue, a random idle one."""
    if queue < common(view):
        return queue if view.columns[uint32(queue), SERVING] == IDLE else NOBODY
    return random_idle(view, rng) if waits_in_common(view) else NOBODY


@inlined_as(PICK)
def greater_weight(server: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """Its own queue or the common one."""
    own = uint32(server)
    rest = common(view)
    if not waits_in_common(view):
        return server if view.columns[own, WAITING] > 0 else NOTHING
    near = view.rate[LOCAL] * view.columns[own, LENGTH]
    far = view.rate[REMOTE] * view.columns[uint32(rest), LENGTH]
    return server if view.columns[own, WAITING] > 0 and near >= far else rest


@final
@dataclass(frozen=True)
class JsqMaxweight(CountingPolicy):
    """`count=waiting` leaves out tasks in service."""

    name: ClassVar[str] = "jsq_maxweight"
    relieves: ClassVar[bool] = True
    count: str = "all"

    def rules(self, setting: ClusterSetting) -> Rules:  # noqa: ARG002
        return Rules(shortest_or_common, own_or_random_idle, greater_weight, never, keep_nothing)

    def queues(self, setting: ClusterSetting) -> int:
        return setting.size + 1

    def queue_levels(self, setting: ClusterSetting) -> npt.NDArray[np.int8]:
        queue_levels = np.full(self.queues(setting), BY_QUEUE, np.int8)
        queue_levels[-1] = REMOTE
        return queue_levels
