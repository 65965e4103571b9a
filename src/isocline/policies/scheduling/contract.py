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
    "never",
    "nothing_kept",
]


@inlined_as(DUE)
def never(view: ClusterView, now: float) -> float:  # noqa: ARG001
    """For policies that never wait for time to pass."""
    return np.inf


@inlined_as(CHANGED)
def nothing_kept(queue: int, view: ClusterView) -> None:
    """For policies that need no more than the lengths themselves."""


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
    a caller that adds servers keeps those of the servers there were."""

    relieves: ClassVar[bool] = False
    """Whether the live scheduler may start at an idle server what `pick` leaves to another, once
    that one's task has lasted much longer than expected (`Rules.relief`). Not if tasks are to stay
    where their data is, or if `due` says how long they do."""

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
