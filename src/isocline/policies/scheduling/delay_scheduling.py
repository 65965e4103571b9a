"""Delay scheduling: a task waits a while for a local server before it accepts another.

M. Zaharia et al., EuroSys 2010; Hadoop's fair scheduler and Spark's `spark.locality.wait`. Here the
wait is each task's own: a task may start on any of its local servers at once, in its racks after
one wait, anywhere after another (without racks, anywhere after the first). An idle server takes its
oldest local task, else the oldest task that accepts it. Draws: one per call.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import int64, uint32

from isocline.compilation.compiled import inlined, inlined_as
from isocline.errors import PolicyError
from isocline.policies.scheduling.contract import (
    CALL,
    DUE,
    LOCAL,
    NOBODY,
    NOTHING,
    PICK,
    TIMER,
    ClusterSetting,
    ClusterView,
    FloatArray,
    Rules,
    SchedulingPolicy,
    keep_nothing,
)
from isocline.policies.scheduling.state.columns import WAITING
from isocline.policies.scheduling.state.common_queue import (
    any_local,
    common,
    random_idle,
    random_idle_local,
    waits_in_common,
)
from isocline.policies.scheduling.state.idle_servers import member_count, random_member
from isocline.policies.scheduling.state.tasks import BORN, HIGH, LOW, NONE, oldest, pop
from isocline.randomness.draws import below

# Options: s or slots until a task accepts its racks, and until it accepts any server.
IN_RACK, ANYWHERE = 0, 1


@inlined
def accepted_from(view: ClusterView, queue: int, wait: float) -> float:
    """When the oldest task of a list has waited so long; inf if there is none."""
    task = oldest(view.tasks, view.lists, queue)
    return np.inf if task == NONE else view.tasks.time[uint32(task), BORN] + wait


@inlined
def unoffered(view: ClusterView) -> int:
    """The list, the last one, of tasks whose racks have not yet been asked."""
    return int64(view.columns.shape[0] - 1)  # type: ignore[no-any-return]


@inlined
def idle_in_racks(view: ClusterView, task: int, rng: Any) -> int:
    """An idle server in one of the racks of a task's data, or NOBODY."""
    low, high = view.tasks.fact[uint32(task), LOW], view.tasks.fact[uint32(task), HIGH]
    start = below(rng, high - low)
    for i in range(high - low):
        at = low + (start + i) % (high - low)
        group = 1 + int64(view.rack[uint32(view.tasks.holders[uint32(at)])])
        if member_count(view.idle, group) > 0:
            return random_member(view.idle, group, rng)
    return NOBODY


@inlined_as(CALL)
def local_or_patient(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:
    """An idle local server for a new task; an idle one for a task that has waited long enough."""
    if queue != TIMER:
        # The new task stands last in its lists: if others wait there, no local server is idle.
        return random_idle_local(local, view, rng)
    if accepted_from(view, common(view), view.option[ANYWHERE]) <= now:
        return random_idle(view, rng)
    if view.racks > 1:
        while accepted_from(view, unoffered(view), view.option[IN_RACK]) <= now:
            task = pop(view.tasks, view.lists, unoffered(view))
            server = idle_in_racks(view, task, rng)
            if server != NOBODY:
                return server
    return NOBODY


@inlined_as(PICK)
def own_else_patient(server: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """Its own list, else that of its rack, else that of all."""
    if view.columns[uint32(server), WAITING] > 0:
        return server
    if not waits_in_common(view):
        return NOBODY
    if view.racks > 1:
        rack: int = common(view) + 1 + int64(view.rack[uint32(server)])
        if accepted_from(view, rack, view.option[IN_RACK]) <= now:
            return rack
    if accepted_from(view, common(view), view.option[ANYWHERE]) <= now:
        return common(view)
    return NOTHING


@inlined_as(DUE)
def patience_ends(view: ClusterView, now: float) -> float:  # noqa: ARG001
    """When a task that waits next accepts what it did not, if a server is idle then."""
    if member_count(view.idle, 0) == 0:
        return np.inf
    due = accepted_from(view, common(view), view.option[ANYWHERE])
    if view.racks > 1:
        due = min(due, accepted_from(view, unoffered(view), view.option[IN_RACK]))
    return due


@final
@dataclass(frozen=True)
class DelayScheduling(SchedulingPolicy):
    """`wait` in mean local service times, 1 / alpha, from each level to the next."""

    name: ClassVar[str] = "delay_scheduling"
    binds: ClassVar[bool] = False
    waits: ClassVar[bool] = True
    by_data: ClassVar[bool] = True
    wait: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.wait < math.inf:
            raise PolicyError(f"delay_scheduling:wait={self.wait:g}: give a time of 0 or more")

    def rules(self, setting: ClusterSetting) -> Rules:  # noqa: ARG002
        return Rules(any_local, local_or_patient, own_else_patient, patience_ends, keep_nothing)

    def queues(self, setting: ClusterSetting) -> int:
        racks = setting.racks
        return setting.size + 1 + (racks + 1 if racks > 1 else 0)

    def option(self, setting: ClusterSetting) -> FloatArray:
        wait = self.wait / float(setting.rate[LOCAL])
        return np.array([wait, 2 * wait if setting.racks > 1 else wait])

    @property
    def reading(self) -> str:
        return f"a task waits {self.wait:g} mean local service times before each worse level"
