"""Contract of scheduling policies, for all callers: the simulator, and the live dispatcher.

A policy answers four questions, each with a compiled function of fixed signature:

    route(local, view, now, rng) -> queue     where an arriving task goes; `local` are the servers
                                              that hold its data. ANY_LOCAL: it is not bound, but
                                              seen by all of them until one takes it.
    call(local, queue, view, now, rng) -> server
                                              which idle server to offer work, now that a task has
                                              come to `queue`; or NOBODY. Asked again until it says
                                              NOBODY or the server takes nothing. With the queue
                                              TIMER: now that `due` has come.
    pick(server, view, now, rng) -> queue     from which queue or list an idle server takes the
                                              first task; NOTHING if from none, NOBODY if no other
                                              idle server would take any now, either.
    due(view, now) -> time                    when, if nothing happens before, a server may want
                                              what it does not want now; inf for never.

and with one that keeps up to date what these four read:

    changed(queue, view)                      the length of a queue is another now.

They read `view`, whose arrays the caller keeps up to date, and write only what is the policy's own:
`longest`, `memory` and `winner`. Time and randomness are arguments. `pick` is asked only of a
server that starts at once what it names.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, final

import numpy as np
import numpy.typing as npt
from numba import types

from isocline.compiled import array_of, inlined_as, record_of
from isocline.policies.routing.contract import require_one_of
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
    """What a policy sees: M servers in S racks, Q queues or lists.

    Queue m < M is server m's own. Queue M, if there is one, is common to all; the list of rack r is
    M + 1 + r; a policy may number further ones as it likes.
    """

    # (Q, COLUMNS) int32, or (Q, COLUMNS_WITH_RACKS) where `racks` > 1: servers and queues, by the
    # columns of `state.columns`, which say who writes each.
    desk: IntArray
    # (M,) int32, the number of each server's rack. Read-only.
    rack: IntArray
    # S if the rack rate is another than the remote one, else 1.
    racks: int
    # (3,) float64, tasks/s of one server, or per slot on the slotted clock: LOCAL, RACK, REMOTE.
    # Constant in the simulator; the dispatcher writes it when it has measured other rates.
    rate: FloatArray
    # (O,) float64, as `SchedulingPolicy.option` gives it, each in a unit of its own. Written by the
    # caller, together with `rate`; a recorder of decisions keeps them behind the policy's own.
    option: FloatArray
    # Servers that run nothing. Written by the caller's kernel; not kept on the slotted clock.
    idle: IdleServers
    # Queues in order of length. Written by the policy's `changed`; the caller adds room for keys.
    # Its arrays have no entries if the policy does not keep it.
    longest: LongestQueues
    # Tasks in the system. Written by the caller's kernel.
    tasks: Tasks
    # Which tasks stand in each queue or list, in order. Written by the caller's kernel; has no
    # queues if neither policy nor simulation asks which task it is.
    lists: Lists
    # (N,) float64, what the policy remembers, in units of its own. Begins as
    # `SchedulingPolicy.memory`, and is written by the policy; where servers are added the
    # dispatcher copies the facts that `SchedulingPolicy.remembers` counts.
    memory: FloatArray
    # (W,) int32, the policy's tournament, if it has one: see `state.least_workload`. Written by the
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
# (2,) uint64, the state of the policy's own stream (see `isocline.draws`). Each draw advances it.
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


@inlined_as(DUE)
def never(view: ClusterView, now: float) -> float:  # noqa: ARG001
    """For policies that never wait for time to pass."""
    return np.inf


@inlined_as(CHANGED)
def nothing_kept(queue: int, view: ClusterView) -> None:
    """For policies that need no more than the lengths themselves."""


@final
@dataclass(frozen=True, eq=False)
class ClusterSetting:
    """What is known when a policy is set up: no arrival rates, as in the paper."""

    rack: IntArray  # (M,) int32, the number of each server's rack
    racks: int  # S, or 1 if racks make no difference to the rates
    rate: FloatArray  # (3,) float64, tasks/s or per slot: LOCAL, RACK, REMOTE
    shuffled: bool = False  # `local` comes in random order, so that its first least is a random one
    slotted: bool = False  # all servers are offered work at once, at the beginning of each slot

    @property
    def size(self) -> int:
        """M."""
        return self.rack.size


Count = Literal["all", "waiting"]


class SchedulingPolicy(ABC):
    """One policy with its options, which are the fields of the (frozen, data) class."""

    name: ClassVar[str]
    binds: ClassVar[bool] = True
    """Whether `route` names a queue; else it says ANY_LOCAL."""
    waits: ClassVar[bool] = False
    """Whether `due` is ever finite."""
    by_data: ClassVar[bool] = False
    """Which task is taken matters to the policy, so levels always are those of its data."""
    remembers: ClassVar[int] = 0
    """Facts of each server with which `memory` begins, server by server, that cannot be had again;
    who comes to have more servers keeps those of the servers there were."""

    @abstractmethod
    def rules(self, setting: ClusterSetting) -> Rules:
        """The compiled functions."""

    def option(self, setting: ClusterSetting) -> FloatArray:  # noqa: ARG002
        """(O,) float64, options as numbers."""
        return np.zeros(0)

    def queues(self, setting: ClusterSetting) -> int:
        """Q."""
        return setting.size

    def grade(self, setting: ClusterSetting) -> npt.NDArray[np.int8]:
        """(Q,) int8, the level at which tasks of a queue are served, or BY_QUEUE."""
        return np.full(self.queues(setting), BY_QUEUE, np.int8)

    def keeps_longest(self, setting: ClusterSetting) -> bool:  # noqa: ARG002
        """Whether `longest` is there."""
        return False

    def memory(self, setting: ClusterSetting) -> FloatArray:  # noqa: ARG002
        """(N,) float64, what the policy remembers, at the start."""
        return np.zeros(0)

    def winner(self, setting: ClusterSetting) -> IntArray:  # noqa: ARG002
        """(W,) int32, its tournament, at the start."""
        return np.zeros(0, np.int32)

    @property
    def counts_service(self) -> bool:
        """Whether the length of a queue counts its tasks that are being served."""
        return True

    @property
    def reading(self) -> str:
        """How queues are counted and which thresholds hold, in words."""
        return ""


class CountingPolicy(SchedulingPolicy):
    """A policy with the option `count`: queue lengths of all tasks, or only of those that wait."""

    count: str

    def __post_init__(self) -> None:
        require_one_of(self.name, "count", self.count, ("all", "waiting"))

    @property
    def counts_service(self) -> bool:
        return self.count == "all"

    @property
    def reading(self) -> str:
        counted = "tasks in service included" if self.counts_service else "waiting tasks only"
        return f"queue lengths: {counted}"
