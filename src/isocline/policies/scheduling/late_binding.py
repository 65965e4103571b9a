"""Late binding: a task is seen by all its local servers, and the first that is free takes it.

Ours, not the near-data paper's, which binds a task to one queue as it arrives. A free server takes
the oldest task that it sees. If it sees none it may help: it takes the oldest task of the server
that sees most, v tasks, if that gains time in expectation,

    v / alpha  >  (1 / gamma) / (1 - rho),

with racks first of the server of its rack that sees most, with beta for gamma. On the left is the
longest wait among the v. On the right is what the remote start costs: its own duration, and what
the helper's own tasks are delayed by it, for in M/G/1 a unit of work more delays the others by
rho / (1 - rho) of a unit, rho being the helper's local load. So it needs no threshold to be set and
no arrival rates: each server measures rho as the share of time in which it has run local tasks,
forgetting over `memory_time` mean local service times, and leaves helping to those with less: the
paper's helpers (Lemma 3), found as they serve. At even load nobody helps in vain; with a hot spot,
as v grows, every server does. Of two random idle servers the one with less local load is called.

A task with one local server only has no other that could relieve it. There each unit of work taken
away relieves those behind as a unit more delays them elsewhere, and the left side is divided by
1 - rho, too, with the rho of the server it is taken from: among equals what counts is v, and from
an overloaded one every help is worth it. On the slotted clock, where services take a slot or two
and all wait for whole slots, help within the rack follows the paper's own rule, v + 1 > alpha/beta.

How long a service has run already counts for nothing, as if it were exponential. The live scheduler
adds that (`dispatch.core.relief`): where it lasts on, others start what waits behind it.

Held against the paper's policy with its threshold alpha / gamma on 768 systems, which
`benchmarks/late_binding.py` makes: 8 and 100 servers, 1 to 3 replicas, slowdown 2 and 4, even and
hot, with racks and without, loads 0.3 to 0.95, three laws of service in continuous time, and the
slotted clock with alpha = 1. Its mean is higher beyond the 95 % interval in 11: in 8 with one
replica and racks in continuous time, by up to 7 % (100 servers, slowdown 2, load 0.5 and below: it
helps within the rack too late), and in 3 on the slotted clock, by up to 4 % +- 3 %. In continuous
time with two replicas or more it is higher in none, and lower by a fifth in the median; on the
slotted clock by up to 4 % in the median. Draws: two per call, one per tie.
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
from isocline.policies.scheduling.state.columns import LENGTH, WAITING
from isocline.policies.scheduling.state.common_queue import any_local, random_idle_local
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
# alpha / gamma. The fourth is how long loads are remembered, s or slots.
MEMORY = 3
# The fifth is 1 where a service takes hardly more than a slot.
SLOTTED = 4


@inlined_as(CALL)
def local_or_helper(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """An idle local server, else an idle one that may find it worth helping, near ones first."""
    server = random_idle_local(local, view, rng)
    return server if server != NOBODY else idle_helper(local, view, rng)


@inlined
def is_worth(view: ClusterView, most: int, slowdown: float, spare: float) -> bool:
    """Whether a start that takes `slowdown` times as long as a local one gains time."""
    task = uint32(oldest(view.tasks, view.lists, most))
    if view.tasks.fact[task, HIGH] - view.tasks.fact[task, LOW] == 1:
        slowdown *= max(1.0 - load_of(view, most), LEAST_SPARE)
    return float(view.columns[uint32(most), LENGTH]) * spare > slowdown


@inlined
def is_worth_near(view: ClusterView, most: int, spare: float) -> bool:
    """The same within the rack; by the paper's own rule where all wait for whole slots."""
    slowdown = float(view.option[RACK])
    if view.option[SLOTTED] > 0.0:
        return float(view.columns[uint32(most), LENGTH]) + 1.0 > slowdown
    return is_worth(view, most, slowdown, spare)


@inlined
def worth_helping(view: ClusterView, server: int, spare: float, rng: Any) -> int:
    """The list that the server is to take from although it is not its own, or NOTHING."""
    if view.racks > 1:
        group = 1 + int64(view.rack[uint32(server)])
        if top_key(view.columns, view.longest, group) > 0:
            most = any_longest(view.columns, view.longest, group, rng)
            if is_worth_near(view, most, spare):
                return most
    if top_key(view.columns, view.longest, 0) > 0:
        most = any_longest(view.columns, view.longest, 0, rng)
        if is_worth(view, most, view.option[REMOTE], spare):
            return most
    return NOTHING


@inlined_as(PICK)
def own_else_worth(server: int, view: ClusterView, now: float, rng: Any) -> int:
    """Its own list, else one that is worth helping."""
    load = note_load(view, server, now, view.option[MEMORY])
    found = server
    if view.columns[uint32(server), WAITING] == 0:
        found = worth_helping(view, server, 1.0 - load, rng)
    view.memory[uint32(FACTS * server + FOUND)] = 1.0 if found != NOTHING else 0.0
    return found


@final
@dataclass(frozen=True)
class LateBinding(SchedulingPolicy):
    """`memory_time` in mean local service times, 1 / alpha: 20 to 100 change means by 4 %."""

    name: ClassVar[str] = "late_binding"
    binds: ClassVar[bool] = False
    by_data: ClassVar[bool] = True
    relieves: ClassVar[bool] = True
    remembers: ClassVar[int] = FACTS
    memory_time: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.memory_time < math.inf:
            raise PolicyError(f"late_binding:memory_time={self.memory_time:g}: give a time above 0")

    def rules(self, setting: ClusterSetting) -> Rules:  # noqa: ARG002
        return Rules(any_local, local_or_helper, own_else_worth, never, keep_longest)

    def option(self, setting: ClusterSetting) -> FloatArray:
        local, rack, remote = setting.rate
        memory = self.memory_time / local
        slotted = setting.slotted and local >= 0.5  # with longer services as in continuous time
        return np.array([0.0, local / rack, local / remote, memory, float(slotted)])

    def memory(self, setting: ClusterSetting) -> FloatArray:
        return all_busy(setting.size, self.memory_time / float(setting.rate[LOCAL]))

    def keeps_longest(self, setting: ClusterSetting) -> bool:  # noqa: ARG002
        return True

    @property
    def reading(self) -> str:
        return f"local loads remembered over {self.memory_time:g} mean local service times"
