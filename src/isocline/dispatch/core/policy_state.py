"""Arrays that a policy sees: one compiled call for each event, and growth on demand.

Servers have columns 0 .. M - 1, tasks numbers that are reused. A requeued task gets a new number:
list entries under the old one are dropped when they come to the head. A waiting task takes about
200 bytes with three holders, the caller's number for it included.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, final

import numba
import numpy as np
import numpy.typing as npt

from isocline.dispatch.core import allocation
from isocline.dispatch.core.kernels import state as kernel_state
from isocline.dispatch.core.kernels import step
from isocline.dispatch.core.kernels.state import (
    FACTS_OF_START,
    FUNCTION,
    MOST_HOLDERS,
    WANTED_FACTS,
)
from isocline.draws import Stream
from isocline.errors import PolicyError
from isocline.policies.own_code import CANNOT_COMPILE, blame
from isocline.policies.scheduling.contract import ClusterSetting, SchedulingPolicy
from isocline.policies.scheduling.own_rules import functions_of, option_of
from isocline.policies.scheduling.state.columns import (
    IDLE,
    LEVEL,
    SERVING,
    WAITING,
)
from isocline.policies.scheduling.state.fair_share import FairShare
from isocline.policies.scheduling.state.longest_queue import is_full, with_more_keys
from isocline.policies.scheduling.state.tasks import (
    FIRST_TASKS,
    FREE,
    FULL,
    HIGH,
    JOB,
    LEFT,
    LOW,
    NONE,
    WAITS,
)
from isocline.policies.scheduling.state.transitions import REASONS, WRONG_TIME, YES

IndexArray = npt.NDArray[np.int64]


class Started(NamedTuple):
    """Start of a task at a server."""

    server: int
    number: int
    level: int
    queue: int
    row: int  # of its job
    function: int


@final
class PolicyState:
    """State of one policy on M servers, at first all idle."""

    def __init__(
        self,
        setting: ClusterSetting,
        policy: SchedulingPolicy,
        rng: Stream,
        *,
        has_racks: bool = False,
    ):
        """Initialise; with `has_racks` racks make a difference, even if there is only one."""
        self.has_racks = has_racks
        self.policy = policy
        self.setting = setting
        self.names = [NONE] * FIRST_TASKS  # the caller's number of each task
        self.rng = rng
        self.view = allocation.empty_view(setting, policy)
        self.book = allocation.empty_state(setting, policy)
        self.floor = allocation.empty_kernel_state(setting)
        self._given = self.floor.given.data  # memoryviews: four times as fast as the arrays
        self._starts = self.floor.starts.data
        self._wanted = self.floor.wanted.data
        self._desk = self.view.desk.data
        self._step, self._due = self._compiled()

    # Events

    def comes(
        self,
        name: int,
        row: int,
        function: int,
        serial: int,
        born: float,
        holders: Sequence[int],
        now: float,
        how: int = kernel_state.SUBMIT,
    ) -> int:
        """Admit a task; returns its number."""
        self.describe(name, holders, row, function, serial)
        self.event(how, 0, 0, now, born)
        return self.given()

    def describe(
        self, name: int, holders: Sequence[int], row: int, function: int, serial: int
    ) -> None:
        """Describe the task of the next event, at which it gets a number."""
        if len(holders) > MOST_HOLDERS:
            turned = [holders[(serial + i) % len(holders)] for i in range(len(holders))]
            turned.sort(key=lambda server: not self.is_idle(server))
            holders = turned[:MOST_HOLDERS]
        self.widen(len(holders))
        given = self._given
        given[0], given[1], given[2], given[3] = row, function, serial, len(holders)
        for i, server in enumerate(holders, 4):
            given[i] = server
        self.names[self._next()] = name

    def given(self) -> int:
        """Number that the described task got."""
        return self._given[0]

    def event(
        self, what: int, server: int = 0, task: int = 0, now: float = 0.0, born: float = 0.0
    ) -> None:
        """Run any event of `kernels.step`; `started` has the resulting starts."""
        try:
            status = self._step(
                self.book, self.view, self.floor, what, server, task, born, now, self.rng
            )
        except Exception as error:
            self._blame(error)
            raise
        if status != YES:
            if status != kernel_state.ROOM:
                raise PolicyError(f"policy {self.policy.name}: {REASONS[status]}")
            self._make_room()

    def started(self) -> list[Started]:
        """Tasks that servers take at the last event."""
        count = self._starts[0]
        if not count:
            return []
        each = FACTS_OF_START
        flat = self._starts[1 : 1 + each * count].tolist()
        return [Started(*flat[i : i + each]) for i in range(0, len(flat), each)]

    def wanted(self) -> list[tuple[int, int]]:
        """Fetches to begin after the last event: server, and task."""
        flat = self._wanted[1 : 1 + WANTED_FACTS * self._wanted[0]].tolist()
        return list(zip(flat[::2], flat[1::2], strict=True))

    def due(self, now: float) -> float:
        """Next time at which the policy is to be called if nothing happens before, s."""
        if not self.policy.waits:
            return np.inf
        try:
            due: float = self._due(self.book, self.view, now)
        except Exception as error:
            self._blame(error)
            raise
        if math.isnan(due):
            raise PolicyError(f"policy {self.policy.name}: {REASONS[WRONG_TIME]}")
        return due

    def _blame(self, error: Exception) -> None:
        """Raise PolicyError in place of an error of one of a user's functions."""
        blame(self.policy.name, functions_of(self.book.rules), error)

    def set_moved(self, numbers: IndexArray, up: Sequence[int]) -> None:
        """Set the tasks of WITHDRAWN or COMES_AGAIN, and where those without data are local."""
        self.floor = self.floor._replace(moved=np.append(0, numbers), up=np.array(up, np.int64))

    def moved(self) -> int:
        """Number of these tasks that were requeued."""
        return int(self.floor.moved[0])

    # Observable state

    @property
    def width(self) -> int:
        """Holders of each task that the arrays have space for."""
        return int(self.view.tasks.holders.size // self.view.tasks.fact.shape[0])

    def waiting(self, queue: int) -> int:
        """Number of tasks that wait in a queue or list."""
        return self._desk[queue, WAITING]

    def idle(self) -> list[int]:
        """Servers that are up and run nothing, in no order."""
        first, count = self.view.idle.part[0]
        return self.view.idle.order[first : first + count].tolist()  # type: ignore[no-any-return]

    def idles(self) -> bool:
        """Whether any server is idle."""
        return bool(self.view.idle.part[0, 1])

    def is_idle(self, server: int) -> bool:
        """Whether a server is up and runs nothing."""
        return self._desk[server, SERVING] == IDLE

    def level(self, server: int) -> int:
        """Locality level at which a server runs its task."""
        return self._desk[server, LEVEL]

    def waits(self, number: int) -> bool:
        """Whether a task has not started."""
        return bool(self.view.tasks.fact[number, WAITS])

    def facts(self, number: int) -> tuple[list[int], int, int]:
        """Local servers, job and function of a task."""
        fact = self.view.tasks.fact[number]
        local = self.view.tasks.holders[fact[LOW] : fact[HIGH]]
        return local.tolist(), int(fact[JOB]), int(fact[FUNCTION])

    def described(self, number: int) -> tuple[int, list[int], int, int, int]:
        """Arguments of `describe` for a task."""
        return self.names[number], *self.facts(number), self.time(number)[0]

    def comes_no_more(self, number: int) -> None:
        """Mark the data of a task as no longer being fetched."""
        fact = self.view.tasks.fact[number]
        if fact[WAITS] == kernel_state.COMING:
            fact[WAITS] = 1

    def set_holders(self, number: int, holders: Sequence[int]) -> None:
        """Replace the holders of the data of a running task."""
        holders = holders[:MOST_HOLDERS]
        self.widen(len(holders))
        fact = self.view.tasks.fact[number]
        fact[HIGH] = fact[LOW] + len(holders)
        self.view.tasks.holders[fact[LOW] : fact[HIGH]] = holders

    def time(self, number: int) -> tuple[int, float]:
        """Serial number of a task, and its time of submission, s."""
        born, serial = self.view.tasks.time[number]
        return int(serial), float(born)

    # Settings

    def set_rates(self, rate: npt.NDArray[np.float64]) -> None:
        """Replace the policy's rates, tasks/s at each level."""
        self.setting = replace(self.setting, rate=rate)
        self.view.rate[:] = rate
        self.view.option[:] = option_of(self.policy, self.setting)
        self.event(kernel_state.RATES)

    def set_fetching(self, most: int, services: float) -> None:
        """Set the fetches of a server at a time, and their length in services."""
        self.floor.fetching[:] = most, services

    def set_cost(self, function: int, seconds: float) -> None:
        """Set the service time of a function."""
        while function >= self.floor.cost.size:
            self.floor = self.floor._replace(cost=np.tile(self.floor.cost, 2))
        self.floor.cost[function] = seconds

    def set_jobs(self, jobs: int) -> None:
        """Make space for so many jobs."""
        turns = self.book.turns
        more = jobs - turns.served.size
        self.book = self.book._replace(
            turns=FairShare(
                np.append(turns.served, np.zeros(more)),
                np.append(turns.weight, np.ones(more)),
                np.append(turns.waiting, np.zeros(more, np.int64)),
            )
        )
        self.strike_off()

    # Allocation

    def widen(self, holders: int) -> None:
        """Make space for so many holders of each task, as far as they count."""
        holders = min(holders, MOST_HOLDERS)
        if holders > self.width:
            self.view = self.view._replace(tasks=allocation.widened(self.view.tasks, holders))

    def _next(self) -> int:
        """Next free task number."""
        lists = self.view.lists
        return int(self.view.tasks.fact[lists.mark[LEFT] - 1, FREE])

    def _compiled(self) -> tuple[Any, Any]:
        """Compiled kernels for these types; looked up anew at each call, they would cost 130 us."""
        of: Any = numba.typeof
        i, f = numba.types.int64, numba.types.float64
        book, view, floor, rng = of(self.book), of(self.view), of(self.floor), of(self.rng)
        kernel: Any = step.step
        due: Any = step.next_due
        try:
            return (
                kernel.compile((book, view, floor, i, i, i, f, f, rng)),
                due.compile((book, view, f)) if self.policy.waits else None,
            )
        except CANNOT_COMPILE as error:
            self._blame(error)
            raise

    def _make_room(self) -> None:
        lists, longest = self.view.lists, self.view.longest
        if longest.order.size and is_full(longest):
            self.view = self.view._replace(longest=with_more_keys(longest))
        no_number = lists.mark[LEFT] == 0
        if no_number or lists.mark[FULL]:
            self.strike_off()
        tasks, lists = self.view.tasks, self.view.lists
        if no_number and lists.mark[LEFT] <= tasks.fact.shape[0] // 4:
            self.view = self.view._replace(tasks=allocation.doubled(tasks, lists, self.width))
            self.names += [NONE] * len(self.names)

    def strike_off(self) -> None:
        """Drop list entries of tasks that do not wait there."""
        jobs = self.book.turns.served.size
        self.view = allocation.relisted(self.view, jobs if jobs > 1 else 0, self.policy.binds)
