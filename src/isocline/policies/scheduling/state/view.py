"""The view of the state that a policy reads, and the types of the functions by which it answers.

The signatures belong to `contract`, which says what each function is asked.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt
from numba import types

from isocline.compilation.compiled import array_of, record_of
from isocline.policies.scheduling.state.idle_servers import MEMBERS, IdleServers
from isocline.policies.scheduling.state.longest_queue import ORDER, LongestQueues
from isocline.policies.scheduling.state.tasks import LISTS, TASKS, Lists, Tasks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

NOTHING, NOBODY = -1, -2
ANY_LOCAL = -2
TIMER = -1
LOCAL, RACK, REMOTE = 0, 1, 2  # levels
BY_QUEUE = -1  # in place of a level: by whether the queue is the server's own, or of its rack


class ClusterView(NamedTuple):
    """View of a policy: M servers in S racks, Q queues or lists.

    Queue m < M is server m's own. Queue M, if there is one, is common to all; the list of rack r is
    M + 1 + r; a policy may number further ones as it likes.
    """

    # (Q, COLUMNS) int32, or (Q, COLUMNS_WITH_RACKS) where `racks` > 1: servers and queues, by the
    # columns of `columns`, which say who writes each.
    columns: IntArray
    # (M,) int32, the number of each server's rack. Read-only.
    rack: IntArray
    # S if the rack rate is another than the remote one, else 1.
    racks: int
    # (3,) float64, tasks/s of one server, or per slot on the slotted clock: LOCAL, RACK, REMOTE.
    # Constant in the simulator; the live core writes the rates that it has measured.
    rate: FloatArray
    # (O,) float64, as `SchedulingPolicy.option` gives it, each in a unit of its own. Written by the
    # caller, together with `rate`; a recorder of decisions keeps them behind the policy's own.
    option: FloatArray
    # Servers that run nothing. Written by the caller's kernel; not kept on the slotted clock.
    idle: IdleServers
    # Queues in order of length. Written by the policy's `changed`; the caller adds space for keys.
    # Its arrays have no entries if the policy does not keep it.
    longest: LongestQueues
    # Tasks in the system. Written by the caller's kernel.
    tasks: Tasks
    # Tasks of each queue or list, in order. Written by the caller's kernel; has no
    # queues if neither policy nor simulation needs the tasks themselves.
    lists: Lists
    # (N,) float64, the policy's memory, in units of its own. Begins as
    # `SchedulingPolicy.memory`, and is written by the policy; where servers are added the
    # live core copies the facts that `SchedulingPolicy.remembers` counts.
    memory: FloatArray
    # (W,) int32, the policy's tournament, if it has one: see `least_workload`. Written by the
    # policy alone; begins as `SchedulingPolicy.winner`.
    winner: IntArray


VIEW = record_of(
    ClusterView,
    array_of(types.int32, 2),
    array_of(types.int32),
    types.int64,
    array_of(types.float64),
    array_of(types.float64),
    MEMBERS,
    ORDER,
    TASKS,
    LISTS,
    array_of(types.float64),
    array_of(types.int32),
)
# (k,) int32, the servers that hold the data of one task: a slice of `Tasks.holders`. Read-only.
LOCAL_SERVERS = array_of(types.int32)
# (2,) uint64, the state of the policy's own stream (see `isocline.randomness.draws`). Each draw
# advances it.
_RNG = array_of(types.uint64)
ROUTE = types.int64(LOCAL_SERVERS, VIEW, types.float64, _RNG)
CALL = types.int64(LOCAL_SERVERS, types.int64, VIEW, types.float64, _RNG)
PICK = types.int64(types.int64, VIEW, types.float64, _RNG)
DUE = types.float64(VIEW, types.float64)
CHANGED = types.void(types.int64, VIEW)


class Rules(NamedTuple):
    """The compiled functions of a policy."""

    route: Any
    call: Any
    pick: Any
    due: Any
    changed: Any


@final
@dataclass(frozen=True, eq=False)
class ClusterSetting:
    """Facts known when a policy is set up: no arrival rates, as in the paper."""

    rack: IntArray  # (M,) int32, the number of each server's rack
    racks: int  # S, or 1 if racks make no difference to the rates
    rate: FloatArray  # (3,) float64, tasks/s or per slot: LOCAL, RACK, REMOTE
    shuffled: bool = False  # `local` comes in random order, so that its first least is a random one
    slotted: bool = False  # all servers are offered work at once, at the beginning of each slot

    @property
    def size(self) -> int:
        """M."""
        return self.rack.size
