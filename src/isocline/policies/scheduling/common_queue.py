"""The queue or list that is common to all servers: number M."""

from typing import Any

from numba import uint32

from isocline.compiled import inlined
from isocline.policies.scheduling.contract import NOBODY, ClusterView
from isocline.policies.scheduling.desk import WAITING
from isocline.policies.scheduling.members import anyone, how_many


@inlined
def common(view: ClusterView) -> int:
    """Its number."""
    return int(view.rack.size)


@inlined
def waits_in_common(view: ClusterView) -> bool:
    """Whether a task waits in it."""
    return view.desk[uint32(view.rack.size), WAITING] > 0  # type: ignore[no-any-return]


@inlined
def anyone_idle(view: ClusterView, rng: Any) -> int:
    """A random idle server, or NOBODY. Draws: one if there is any."""
    return anyone(view.idle, 0, rng) if how_many(view.idle, 0) > 0 else NOBODY
