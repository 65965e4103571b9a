"""Priced help: late binding, and help where the time saved exceeds the time lost.

Ours, not the near-data paper's. As with `late_binding` a task is seen by all its local servers, and
a free server takes the oldest task that it sees. If it sees none it may help, its rack first. In
units of a local service, a start on server m that takes s times as long as a local one, in place of
a wait for server n, gains time in expectation if

    (v + b) / (1 - rho_n)  >  s + rho_m s^2 / (1 - rho_m),

rho being local loads. On the left is what one task less before server n saves: in M/M/1 with v
waiting and b = 1 in service, each task there, and all that come before it is idle again, waits for
one service less. On the right is what the start costs: its own time, and by how much it delays
those that come to m meanwhile, lambda E[S^2] / 2 / (1 - rho_m) in M/G/1. Both are differences of
the relative value of a single server, so that the rule is one step of policy iteration from help
to nobody (Howard), and like it has no number to be tuned. A task that k servers see counts as 1 / k
of a task before each of them, and is as dear as before the server where it is least so.

Loads are measured: see `state.local_load`. Between a server and its like the factors 1 - rho on
both sides cancel in part, and what is left, (v + 1) > s (1 - rho) + rho s^2, depends on it little.
An idle local server with the least load is given a task before others.

On the slotted clock, s^2 is s^2 (1 - gamma), as a slot's arrivals wait for whole slots only.

Not for a batch that only drains: a server without a pause has a load of 1, at which help seems
worth anything. `benchmarks/fresh_near_data.py` finds it worse than `local_first` in none of 82
systems drawn at random, and than `late_binding` in 10, by up to 11 %; better than that in 33.

How long a service has run already counts for nothing, as if it were exponential. The live scheduler
adds that (`dispatch.core.relief`): where it lasts on, others start what waits behind it.

Draws: two per call, one per tie.
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
    LOCAL,
    NOBODY,
    NOTHING,
    PICK,
    RACK,
    REMOTE,
    ClusterSetting,
    ClusterView,
    FloatArray,
    Rules,
    SchedulingPolicy,
    never,
)
from isocline.policies.scheduling.local_first import keep_longest
from isocline.policies.scheduling.state.columns import IDLE, LENGTH, SERVING, WAITING
from isocline.policies.scheduling.state.common_queue import any_local
from isocline.policies.scheduling.state.local_load import (
    FACTS,
    FOUND,
    LEAST_SPARE,
    all_busy,
    idle_helper,
    load_of,
    note_load,
)
from isocline.policies.scheduling.state.longest_queue import any_longest, top_key
from isocline.policies.scheduling.state.tasks import HIGH, LOW, oldest

# Options BASE, RACK and REMOTE are as of local_first: what keys count from, alpha / beta and
# alpha / gamma. Then how long loads are remembered, s or slots, and E[S^2] / 2 in units of a local
# service, of tasks of the rack and of others.
MEMORY, RACK_SQUARE, REMOTE_SQUARE = 3, 4, 5


@inlined
def least_loaded_idle(local: Any, view: ClusterView) -> int:
    """The idle one of these servers with the least local load, or NOBODY."""
    least = NOBODY
    for i in range(local.size):
        server = int64(local[i])
        if view.columns[uint32(server), SERVING] != IDLE:
            continue
        if least == NOBODY or load_of(view, server) < load_of(view, least):
            least = server
    return least


@inlined_as(CALL)
def local_or_helper(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """An idle local server, else an idle one that may find it worth helping, near ones first."""
    server = least_loaded_idle(local, view)
    return server if server != NOBODY else idle_helper(local, view, rng)


@inlined
def saved(view: ClusterView, queue: int) -> float:
    """Time that a start of the oldest task of a list saves, in local services."""
    task = uint32(oldest(view.tasks, view.lists, queue))
    low, high = view.tasks.fact[task, LOW], view.tasks.fact[task, HIGH]
    least = np.inf
    for i in range(low, high):
        server = int64(view.tasks.holders[uint32(i)])
        before = float(view.columns[uint32(server), LENGTH]) / (high - low)
        if view.columns[uint32(server), SERVING] != IDLE:
            before += 1.0
        least = min(least, before / max(1.0 - load_of(view, server), LEAST_SPARE))
    return least


@inlined
def lost(load: float, slowdown: float, square: float) -> float:
    """Time that a start costs which takes `slowdown` local services, in local services."""
    return slowdown + load * square / max(1.0 - load, LEAST_SPARE)


@inlined
def worth_helping(view: ClusterView, server: int, load: float, rng: Any) -> int:
    """The list that the server is to take from although it is not its own, or NOTHING."""
    option = view.option
    if view.racks > 1:
        group = 1 + int64(view.rack[uint32(server)])
        if top_key(view.columns, view.longest, group) > 0:
            most = any_longest(view.columns, view.longest, group, rng)
            if saved(view, most) > lost(load, option[RACK], option[RACK_SQUARE]):
                return most
    if top_key(view.columns, view.longest, 0) > 0:
        most = any_longest(view.columns, view.longest, 0, rng)
        if saved(view, most) > lost(load, option[REMOTE], option[REMOTE_SQUARE]):
            return most
    return NOTHING


@inlined_as(PICK)
def own_else_worth(server: int, view: ClusterView, now: float, rng: Any) -> int:
    """Its own list, else one that is worth helping."""
    load = note_load(view, server, now, view.option[MEMORY])
    found = server
    if view.columns[uint32(server), WAITING] == 0:
        found = worth_helping(view, server, load, rng)
    view.memory[uint32(FACTS * server + FOUND)] = 1.0 if found != NOTHING else 0.0
    return found


@final
@dataclass(frozen=True)
class PricedHelp(SchedulingPolicy):
    """`memory_time` in mean local service times, 1 / alpha, after which loads are forgotten."""

    name: ClassVar[str] = "priced_help"
    binds: ClassVar[bool] = False
    by_data: ClassVar[bool] = True
    relieves: ClassVar[bool] = True
    remembers: ClassVar[int] = FACTS
    memory_time: float = 1000.0

    def __post_init__(self) -> None:
        if not 1 <= self.memory_time < math.inf:
            raise PolicyError(f"{self.name}:memory_time={self.memory_time:g}: give 1 or more")

    def rules(self, setting: ClusterSetting) -> Rules:  # noqa: ARG002
        return Rules(any_local, local_or_helper, own_else_worth, never, keep_longest)

    def option(self, setting: ClusterSetting) -> FloatArray:
        local, rack, remote = setting.rate
        near, far = local / rack, local / remote
        rest = 1.0 - np.array([rack, remote]) if setting.slotted else np.ones(2)
        square = np.square([near, far]) * rest
        return np.array([0.0, near, far, self.memory_time / local, *square])

    def memory(self, setting: ClusterSetting) -> FloatArray:
        return all_busy(setting.size, 1.0 / float(setting.rate[LOCAL]))

    def keeps_longest(self, setting: ClusterSetting) -> bool:  # noqa: ARG002
        return True

    @property
    def reading(self) -> str:
        return f"local loads remembered over {self.memory_time:g} mean local service times"
