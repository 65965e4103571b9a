"""Arrays that a policy sees, with one compiled call per event and growth on demand.

Servers have columns 0 .. M - 1; tasks have rows, which are reused. A requeued task gets a new row;
list entries of the old one are dropped when they reach the head. A waiting task takes about 200
bytes with three holders, including the caller's number for it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

import numba
import numpy as np
import numpy.typing as npt

from isocline.compilation.kept_arguments import KeptArguments
from isocline.dispatch.core import allocation
from isocline.dispatch.core.kernels import state as kernel_state
from isocline.dispatch.core.kernels import step
from isocline.dispatch.core.kernels.admission import drop_holder, unref_all
from isocline.dispatch.core.kernels.queues import drop_stale, first_waiting
from isocline.dispatch.core.kernels.state import (
    FETCH_FACTS,
    FUNCTION,
    MOST_HOLDERS,
    SERIAL,
    START_FACTS,
    KernelState,
)
from isocline.dispatch.core.unplaceable import TaskSpec
from isocline.policies.own_code import CANNOT_COMPILE, blame
from isocline.policies.scheduling.contract import (
    RACK,
    REMOTE,
    ClusterSetting,
    ClusterView,
    SchedulingPolicy,
)
from isocline.policies.scheduling.own_rules import functions_of, misused, option_of
from isocline.policies.scheduling.state.columns import IDLE, LENGTH, LEVEL, SERVING, WAITING
from isocline.policies.scheduling.state.fair_share import FairShare
from isocline.policies.scheduling.state.idle_servers import COUNT
from isocline.policies.scheduling.state.longest_queue import is_full, with_more_keys
from isocline.policies.scheduling.state.tasks import (
    BORN,
    ENTRIES,
    FIRST_TASKS,
    FULL,
    HIGH,
    JOB,
    LEFT,
    LOW,
    NONE,
    WAITS,
)
from isocline.policies.scheduling.state.transitions import WRONG_TIME, YES, SchedulerState
from isocline.randomness.draws import Stream

IndexArray = npt.NDArray[np.int64]


@final
class PolicyState:
    """State of one policy on M servers, all idle at first.

    Attributes:
        view: Arrays that the policy sees. Like the next two replaced by `_replace` alone.
        state: The policy's functions, and the fair shares of jobs.
        core: Arrays of the core's kernel besides.
        width: Number of holders per task for which the arrays have space.
    """

    def __init__(
        self,
        setting: ClusterSetting,
        policy: SchedulingPolicy,
        rng: Stream,
        *,
        has_racks: bool = False,
    ):
        """Initialise; with `has_racks`, racks count even if there is only one."""
        self.has_racks = has_racks
        self.policy = policy
        self.setting = setting
        self.task_of = [NONE] * FIRST_TASKS  # row -> the caller's number
        self.rng = rng
        self._kept: KeptArguments | None = None
        view = allocation.empty_view(setting, policy)
        self._kept_view = KeptArguments((view,))  # for the policy's functions
        self._replace(
            view,
            allocation.empty_state(setting, policy, self._kept_view.address),
            allocation.empty_kernel_state(setting),
        )
        self._kept = KeptArguments((self.state, self.view, self.core, rng))
        self._at = self._kept.address
        self._step, self._due = self._compiled(self._kept.type)

    def _replace(
        self,
        view: ClusterView | None = None,
        state: SchedulerState | None = None,
        core: KernelState | None = None,
    ) -> None:
        """Replace arrays, and note where the new ones are."""
        if view is not None:
            self.view = view
            self._kept_view.replace((view,))
            # memoryviews are four times as fast as arrays
            self._columns, self._fact = view.columns.data, view.tasks.fact.data
            self._idle = view.idle.part.data
            self._holders, self._time = view.tasks.holders.data, _floats(view.tasks.time)
            self.width = view.tasks.holders.size // view.tasks.fact.shape[0]
        if state is not None:
            self.state = state
            self._served = _floats(state.fair_share.served)
            self._weight = _floats(state.fair_share.weight)
        if core is not None:
            self.core = core
            self._described, self._cost = core.described.data, _floats(core.cost)
            self._starts, self._fetches = core.starts.data, core.fetches.data
            self._start_facts = core.starts[1:].reshape(-1, START_FACTS).data
            self._fetch_facts = core.fetches[1:].reshape(-1, FETCH_FACTS).data
        if self._kept is not None:
            self._kept.replace((self.state, self.view, self.core, self.rng))

    def warm_up(self) -> None:
        """Compile the rarely used kernels, before there are tasks.

        Compiling one later would stop every server meanwhile.
        """
        view, none = self.view, np.zeros(0, np.int64)
        allocation.relisted(view, 1, self.policy.binds)
        drop_holder(view.tasks, none, 0)
        unref_all(view.tasks, view.lists, none)
        first_waiting(view.tasks, view.lists, 0)
        if view.longest.order.size:
            is_full(view.longest)

    # Events

    def admit(
        self, spec: TaskSpec, holders: Sequence[int], now: float, how: int, old: int = NONE
    ) -> int:
        """Admit a task by the event `how`; returns its row. `old` is a row that it leaves."""
        self.describe(spec, holders)
        self.event(how, 0, old, now, spec.submitted)
        return self.described_row(spec.task)

    def describe(self, spec: TaskSpec, holders: Sequence[int]) -> None:
        """Describe the task of the next event, which gives it a row: see `described_row`."""
        count = len(holders)
        if count > self.width:
            if count > MOST_HOLDERS:
                rotated = [holders[(spec.serial + i) % count] for i in range(count)]
                rotated.sort(key=lambda server: not self.is_idle(server))
                holders, count = rotated[:MOST_HOLDERS], MOST_HOLDERS
            self.widen(count)
        described = self._described
        _, described[0], described[1], described[2], _ = spec
        described[3] = count
        for i, server in enumerate(holders, 4):
            described[i] = server

    def described_row(self, task: int) -> int:
        """Row that the described task was given, from now on that of the caller's `task`."""
        row = self._described[0]
        self.task_of[row] = task
        return row

    def event(
        self, event: int, server: int = 0, row: int = 0, now: float = 0.0, born: float = 0.0
    ) -> None:
        """Run any event of `kernels.step`; `starts` and `fetches` then have its results."""
        try:
            status = self._step(self._at, event, server, row, born, now)
        except Exception as error:
            self._blame(error)
            raise
        if status != YES:
            if status != kernel_state.NEEDS_SPACE:
                raise misused(self.policy.name, self.state.rules, status)
            self._make_space()

    def starts(self) -> Sequence[Sequence[int]]:
        """Starts by the last event: server, row, level, queue, job's row and function of each."""
        count = self._starts[0]
        return _rows(self._start_facts, count) if count else ()

    def fetches(self) -> Sequence[Sequence[int]]:
        """Fetches begun by the last event: server and row of each."""
        count = self._fetches[0]
        return _rows(self._fetch_facts, count) if count else ()

    def due(self, now: float) -> float:
        """Next time at which the policy must be called if there is no event before, s."""
        if not self.policy.waits:
            return np.inf
        try:
            due: float = self._due(self._at, now)
        except Exception as error:
            self._blame(error)
            raise
        if math.isnan(due):
            raise misused(self.policy.name, self.state.rules, WRONG_TIME)
        return due

    def _blame(self, error: Exception) -> None:
        """Raise PolicyError in place of an error in a user's policy function."""
        blame(self.policy.name, functions_of(self.state.rules), error)

    def adopt_tasks(
        self, old: "PolicyState", waiting: IndexArray, running: Sequence[int]
    ) -> IndexArray:
        """Take over the tasks of a policy state that is no longer used, with their rows.

        Waiting tasks are in no queue, and running ones at no server, until that is entered here.
        Returns how many tasks wait in each of the old lists.
        """
        lists = old.view.lists
        live = np.zeros(lists.ring.shape[0], np.int64)
        drop_stale(old.view.tasks, lists, live)
        fact = old.view.tasks.fact
        fact[waiting, ENTRIES] = 1
        fact[running, ENTRIES] = 0
        self._replace(self.view._replace(tasks=old.view.tasks))
        self.view.lists.mark[LEFT] = lists.mark[LEFT]
        self.task_of = old.task_of
        return live

    def reserve(self, old: "PolicyState", live: IndexArray) -> None:
        """Make space in the lists, all of which are empty, for those of an old policy state.

        `live` has the number of tasks in each of these.
        """
        lists = allocation.lists_with_space(self.view, old.view, live)
        self._replace(self.view._replace(lists=lists))

    def set_unqueued(self, rows: IndexArray, up: Sequence[int]) -> None:
        """Set tasks for UNQUEUE_MANY or REQUEUE_MANY, and servers local to those without data."""
        core = self.core._replace(unqueued=np.append(0, rows), up=np.array(up, np.int64))
        self._replace(core=core)

    def requeued(self) -> int:
        """Number of the unqueued tasks that have been requeued."""
        return int(self.core.unqueued[0])

    # Observable state

    def waiting(self, queue: int) -> int:
        """Number of tasks waiting in a queue or list."""
        return self._columns[queue, WAITING]

    def first_waiting(self, queue: int) -> int:
        """Row of the oldest task waiting in a queue or list; NONE if it is empty."""
        return int(first_waiting(self.view.tasks, self.view.lists, queue))

    def queues_of(self, server: int) -> range:
        """Queues whose tasks wait for this server."""
        size = self.setting.size
        return range(server, self.view.columns.shape[0] if self.policy.binds else size, size)

    def waiting_at(self, server: int) -> int:
        """Number of tasks in the queues of a server; 0 if it never was up."""
        if server >= self.setting.size:
            return 0
        columns = self.view.columns
        return sum(int(columns[queue, WAITING]) for queue in self.queues_of(server))

    def idle_near(self, holders: Sequence[int]) -> int:
        """Idle server nearest to these holders; at least one must be idle."""
        order, part = self.view.idle
        for holder in holders:
            if self.is_idle(holder):
                return holder
        groups = [1 + int(self.setting.rack[holder]) for holder in holders]
        near = [group for group in groups if self.setting.racks > 1 and part[group, 1]]
        return int(order[part[near[0] if near else 0, 0]])

    def idle(self) -> list[int]:
        """Idle servers that are up, in arbitrary order."""
        first, count = self.view.idle.part[0]
        return self.view.idle.order[first : first + count].tolist()  # type: ignore[no-any-return]

    def idles(self) -> bool:
        """Whether any server is up and idle."""
        return self.idle_count() > 0

    def idle_count(self) -> int:
        """Number of idle servers that are up."""
        return self._idle[0, COUNT]

    def is_idle(self, server: int) -> bool:
        """Whether a server is up and idle."""
        return self._columns[server, SERVING] == IDLE

    def level(self, server: int) -> int:
        """Locality level at which a server runs its task."""
        return self._columns[server, LEVEL]

    def far_level(self, holders: Sequence[int], server: int) -> int:
        """Locality level of a server for a task that others hold, without prefetches."""
        rack = self.setting.rack
        near = self.setting.racks > 1 and any(
            rack[holder] == rack[server] for holder in holders if holder != server
        )
        return RACK if near else REMOTE

    def waits(self, row: int) -> bool:
        """Whether a task has not started."""
        return self._fact[row, WAITS] != 0

    def job(self, row: int) -> int:
        """Row of a task's job."""
        return self._fact[row, JOB]

    def facts(self, row: int) -> tuple[list[int], int, int]:
        """Local servers, job's row and function of a task."""
        return self.holders(row), self._fact[row, JOB], self._fact[row, FUNCTION]

    def holders(self, row: int) -> list[int]:
        """Local servers of a task."""
        return self._holders[self._fact[row, LOW] : self._fact[row, HIGH]].tolist()

    def spec(self, row: int) -> tuple[TaskSpec, list[int]]:
        """Return a task's description, and its holders."""
        return self.description(row), self.holders(row)

    def description(self, row: int) -> TaskSpec:
        """Return a task's description."""
        fact, time = self._fact, self._time
        serial = int(time[row, SERIAL])
        return TaskSpec(
            self.task_of[row], fact[row, JOB], fact[row, FUNCTION], serial, time[row, BORN]
        )

    def queues(self) -> tuple[tuple[int, int], ...]:
        """Number of waiting tasks of each queue, and the queue length that the policy sees."""
        return tuple(map(tuple, self.view.columns[:, [WAITING, LENGTH]].tolist()))

    def lists(self) -> tuple[tuple[int, ...], ...]:
        """Waiting tasks of each queue or list, in order, followed by those of each job's lists."""
        lists, fact = self.view.lists, self.view.tasks.fact
        found = []
        for start, capacity, head, size in lists.ring.tolist():
            at = start + ((head + np.arange(size)) & (capacity - 1))
            waiting = (row for row in lists.entry[at].tolist() if fact[row, WAITS])
            found.append(tuple(self.task_of[row] for row in waiting))
        return tuple(found)

    def cancel_prefetch(self, row: int) -> None:
        """Mark a task's data as no longer being fetched."""
        fact = self.view.tasks.fact[row]
        if fact[WAITS] == kernel_state.FETCHING:
            fact[WAITS] = 1

    def skip_fetch(self, server: int) -> None:
        """Undo the count of a fetch that a server did not begin."""
        self.core.fetching[server] -= 1

    def set_holders(self, row: int, holders: Sequence[int]) -> None:
        """Replace the holders of a running task's data."""
        holders = holders[:MOST_HOLDERS]
        self.widen(len(holders))
        fact = self.view.tasks.fact[row]
        fact[HIGH] = fact[LOW] + len(holders)
        self.view.tasks.holders[fact[LOW] : fact[HIGH]] = holders

    # Settings

    def set_rates(self, rate: npt.NDArray[np.float64]) -> None:
        """Replace the policy's rates, tasks/s at each level."""
        self.setting = replace(self.setting, rate=rate)
        self.view.rate[:] = rate
        self.view.option[:] = option_of(self.policy, self.setting)
        self.event(kernel_state.SET_RATES)

    def set_fetching(self, most: int, near: float, far: float) -> None:
        """Set the most fetches of a server at a time, and the length of one in services.

        `near` is the length of one from its rack.
        """
        self.core.fetch_limits[:] = most, near, far

    def set_cost(self, function: int, seconds: float) -> None:
        """Set the service time of a function."""
        while not self.has_cost(function):
            self._replace(core=self.core._replace(cost=np.tile(self.core.cost, 2)))
        self._cost[function] = seconds

    def has_cost(self, function: int) -> bool:
        """Whether there is space for the service time of a function."""
        return function < len(self._cost)

    def share_costs(self, other: "PolicyState") -> None:
        """Use the service times of the functions of another policy state."""
        self._replace(core=self.core._replace(cost=other.core.cost))

    def charge(self, job: int, function: int) -> None:
        """Charge a job for a task that the policy did not start."""
        self._served[job] += self._cost[function] / self._weight[job]

    def correct_charge(self, job: int, function: int, seconds: float) -> None:
        """Correct a charge from a function's service time to the time that its task took."""
        self._served[job] += (seconds - self._cost[function]) / self._weight[job]

    def set_jobs(self, jobs: int) -> None:
        """Make space for this number of jobs."""
        fair_share = self.state.fair_share
        more = jobs - fair_share.served.size
        state = self.state._replace(
            fair_share=FairShare(
                np.append(fair_share.served, np.zeros(more)),
                np.append(fair_share.weight, np.ones(more)),
                np.append(fair_share.waiting, np.zeros(more, np.int64)),
            )
        )
        self._replace(state=state)
        self.compact()

    # Allocation

    def widen(self, holders: int) -> None:
        """Make space for this number of holders per task, up to the most that count."""
        holders = min(holders, MOST_HOLDERS)
        if holders > self.width:
            self._replace(self.view._replace(tasks=allocation.widened(self.view.tasks, holders)))

    def _compiled(self, kept: Any) -> tuple[Any, Any]:
        """Compiled kernels for arguments of these types; a lookup at each call takes 130 us."""
        i, f = numba.types.int64, numba.types.float64
        kernel: Any = step.step
        due: Any = step.next_due
        try:
            return (
                kernel.compile((kept, i, i, i, f, f)),
                due.compile((kept, f)) if self.policy.waits else None,
            )
        except CANNOT_COMPILE as error:
            self._blame(error)
            raise

    def _make_space(self) -> None:
        lists, longest = self.view.lists, self.view.longest
        if longest.order.size and is_full(longest):
            self._replace(self.view._replace(longest=with_more_keys(longest)))
        no_row = lists.mark[LEFT] == 0
        if no_row or lists.mark[FULL]:
            self.compact()
        tasks, lists = self.view.tasks, self.view.lists
        if no_row and lists.mark[LEFT] <= tasks.fact.shape[0] // 4:
            self._replace(self.view._replace(tasks=allocation.doubled(tasks, lists, self.width)))
            self.task_of += [NONE] * len(self.task_of)

    def compact(self) -> None:
        """Drop stale entries of all lists."""
        jobs = self.state.fair_share.served.size
        view = allocation.relisted(self.view, jobs if jobs > 1 else 0, self.policy.binds)
        self._replace(view)


def _rows(facts: memoryview, count: int) -> list[list[int]]:
    """First rows of the memory of a matrix, as lists."""
    return facts[:count].tolist()  # type: ignore[return-value]


def _floats(array: npt.NDArray[np.float64]) -> Any:
    """Memory of an array: a memoryview of floats, which has no type yet."""
    return array.data
