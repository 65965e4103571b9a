"""Tasks that are not bound to a server: all that hold the data see them until one is free."""

from typing import Any

from numba import int64, uint32

from isocline.compiled import inlined, inlined_as
from isocline.draws import below
from isocline.policies.scheduling.contract import ANY_LOCAL, NOBODY, ROUTE, ClusterView
from isocline.policies.scheduling.desk import IDLE, SERVING


@inlined_as(ROUTE)
def seen_by_all_local(local: Any, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """No queue: the lists of all local servers."""
    return ANY_LOCAL


@inlined
def anyone_idle_local(local: Any, view: ClusterView, rng: Any) -> int:
    """A random idle server among the local ones, or NOBODY. Draws: one if there are several."""
    idle = 0
    last = NOBODY
    for i in range(local.size):
        if view.desk[uint32(local[i]), SERVING] == IDLE:
            idle += 1
            last = int64(local[i])
    if idle < 2:
        return last
    skip = below(rng, idle)
    for i in range(local.size):
        if view.desk[uint32(local[i]), SERVING] == IDLE:
            if skip == 0:
                return int64(local[i])  # type: ignore[no-any-return]
            skip -= 1
    return last  # never: one of the idle was found above
