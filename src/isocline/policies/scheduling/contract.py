"""Contract of scheduling policies, for all callers: the simulator, and the live scheduler.

A policy answers four questions, each with a compiled function of fixed signature:

    route(local, view, now, rng) -> queue     the queue of an arriving task; `local` are the servers
                                              that hold its data. ANY_LOCAL: the task is not bound,
                                              but in the lists of all of them until one takes it.
    call(local, queue, view, now, rng) -> server
                                              the idle server to offer a task to, now that one has
                                              joined `queue`; or NOBODY. Called again until it
                                              returns NOBODY or the server takes nothing. With the
                                              queue TIMER: now that `due` has come.
    pick(server, view, now, rng) -> queue     the queue or list whose first task an idle server
                                              takes; NOTHING for none, NOBODY if no other idle
                                              server would take any now, either.
    due(view, now) -> time                    the time at which, if nothing happens before, a server
                                              may take a task that it does not take now; inf for
                                              never.

and a fifth keeps up to date what these four read:

    changed(queue, view)                      the length of a queue has changed.

They read `view`, whose arrays the caller keeps up to date, and write only the policy's own arrays:
`longest`, `memory` and `winner`. Time and randomness are arguments. `pick` is called only for a
server that starts at once the task that it takes.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import inlined_as
from isocline.policies.routing.contract import require_one_of
from isocline.policies.scheduling.state.view import (
    ANY_LOCAL,
    BY_QUEUE,
    CALL,
    CHANGED,
    DUE,
    LOCAL,
    LOCAL_SERVERS,
    NOBODY,
    NOTHING,
    PICK,
    RACK,
    REMOTE,
    ROUTE,
    TIMER,
    VIEW,
    ClusterSetting,
    ClusterView,
    FloatArray,
    IntArray,
    Rules,
)

# All that a policy needs, the view included.
__all__ = [
    "ANY_LOCAL",
    "BY_QUEUE",
    "CALL",
    "CHANGED",
    "DUE",
    "LOCAL",
    "LOCAL_SERVERS",
    "NOBODY",
    "NOTHING",
    "PICK",
    "RACK",
    "REMOTE",
    "ROUTE",
    "TIMER",
    "VIEW",
    "ClusterSetting",
    "ClusterView",
    "Count",
    "CountingPolicy",
    "FloatArray",
    "IntArray",
    "Rules",
    "SchedulingPolicy",
    "keep_nothing",
    "never",
]


@inlined_as(DUE)
def never(view: ClusterView, now: float) -> float:  # noqa: ARG001
    """`due` of policies that never wait for time to pass."""
    return np.inf


@inlined_as(CHANGED)
def keep_nothing(queue: int, view: ClusterView) -> None:
    """`changed` of policies that need no more than the lengths themselves."""


Count = Literal["all", "waiting"]


class SchedulingPolicy(ABC):
    """One policy with its options, which are the fields of the (frozen, data) class."""

    name: ClassVar[str]
    binds: ClassVar[bool] = True
    """Whether `route` names a queue; else it returns ANY_LOCAL."""
    waits: ClassVar[bool] = False
    """Whether `due` is ever finite."""
    by_data: ClassVar[bool] = False
    """Whether levels are always those of the task's data, as it matters which task is taken."""
    remembers: ClassVar[int] = 0
    """Number of facts of each server with which `memory` begins, server by server, that cannot be
    computed again; a caller that adds servers copies those of the present ones."""

    relieves: ClassVar[bool] = False
    """Whether the live scheduler may start on an idle server a task that `pick` leaves to another,
    once that one's task has lasted much longer than expected (`Rules.relief`). Not if tasks are to
    stay where their data is, or if `due` says for how long."""

    @abstractmethod
    def rules(self, setting: ClusterSetting) -> Rules:
        """The compiled functions."""

    def option(self, setting: ClusterSetting) -> FloatArray:  # noqa: ARG002
        """(O,) float64, options as numbers."""
        return np.zeros(0)

    def queues(self, setting: ClusterSetting) -> int:
        """Number Q of queues or lists."""
        return setting.size

    def queue_levels(self, setting: ClusterSetting) -> npt.NDArray[np.int8]:
        """(Q,) int8, locality level of the tasks of each queue, or BY_QUEUE."""
        return np.full(self.queues(setting), BY_QUEUE, np.int8)

    def keeps_longest(self, setting: ClusterSetting) -> bool:  # noqa: ARG002
        """Whether the policy reads `view.longest`."""
        return False

    def memory(self, setting: ClusterSetting) -> FloatArray:  # noqa: ARG002
        """(N,) float64, initial memory of the policy."""
        return np.zeros(0)

    def winner(self, setting: ClusterSetting) -> IntArray:  # noqa: ARG002
        """(W,) int32, initial tournament of the policy, if it has one."""
        return np.zeros(0, np.int32)

    @property
    def counts_service(self) -> bool:
        """Whether the length of a queue counts its tasks that are being served."""
        return True

    @property
    def reading(self) -> str:
        """Counting rule of queue lengths, and thresholds, in words."""
        return ""


class CountingPolicy(SchedulingPolicy, ABC):
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
