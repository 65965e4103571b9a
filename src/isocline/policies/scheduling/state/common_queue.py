"""Tasks that are not bound to a server: the queue or list common to all servers, number M."""

from typing import Any

from numba import int64, uint32

from isocline.compilation.compiled import inlined, inlined_as
from isocline.policies.scheduling.state.columns import IDLE, SERVING, WAITING
from isocline.policies.scheduling.state.idle_servers import member_count, random_member
from isocline.policies.scheduling.state.view import ANY_LOCAL, NOBODY, ROUTE, ClusterView
from isocline.randomness.draws import below


@inlined
def common(view: ClusterView) -> int:
    """Return the number of the common queue or list."""
    return int(view.rack.size)


@inlined
def waits_in_common(view: ClusterView) -> bool:
    """Whether a task waits in the common queue.

    Reads WAITING of row M of `view.columns`.
    """
    return view.columns[uint32(view.rack.size), WAITING] > 0  # type: ignore[no-any-return]


@inlined
def random_idle(view: ClusterView, rng: Any) -> int:
    """Return a random idle server, or NOBODY. Draws: one if there is any.

    Reads `view.idle`; `rng`, (2,) uint64, is advanced by the draw.
    """
    return random_member(view.idle, 0, rng) if member_count(view.idle, 0) > 0 else NOBODY


@inlined_as(ROUTE)
def any_local(local: Any, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """Put the task into the lists of all its local servers.

    Reads none of its arrays.
    """
    return ANY_LOCAL


@inlined
def random_idle_local(local: Any, view: ClusterView, rng: Any) -> int:
    """Return a random idle local server, or NOBODY. Draws: one if there are several.

    `local`, (k,) int32, are the task's local servers; reads SERVING of their rows of
    `view.columns`. `rng`, (2,) uint64, is advanced by the draw.
    """
    idle = 0
    last = NOBODY
    for i in range(local.size):
        if view.columns[uint32(local[i]), SERVING] == IDLE:
            idle += 1
            last = int64(local[i])
    if idle < 2:
        return last
    skip = below(rng, idle)
    for i in range(local.size):
        if view.columns[uint32(local[i]), SERVING] == IDLE:
            if skip == 0:
                return int64(local[i])  # type: ignore[no-any-return]
            skip -= 1
    return last  # never: one of the idle was found above
