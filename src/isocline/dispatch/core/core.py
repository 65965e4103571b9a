"""Core of the live scheduler: events in, actions out, without I/O, clock or own randomness.

    core = Core(racks, rates, policy, stream(seed))
    for action in core.submitted(task, holders, now): ...  # Start
    for action in core.finished(task, server, now, seconds): ...

The policy is the simulator's, called by compiled code over the same arrays (`policy_state`). Times
are in s of any monotonic clock. Servers and tasks are numbers chosen by the caller, small and dense
for servers; an unknown number raises KeyError.

The core also decides what policies leave open: fair shares of jobs, pipelining, relief of servers
that run a straggler, copies of stragglers, prefetches, and requeueing of tasks whose server died.
Every decision follows one of the events below, or a `tick` at `next_deadline`. Events have the same
names in the kernel (`kernels.state`), where a failed attempt also counts as `FINISHED`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import final

from isocline.dispatch.actions import Action, Cause
from isocline.dispatch.core.admission import admit, begin_fetches, end_task, readmit
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.failures import Failures
from isocline.dispatch.core.kernels.state import (
    END_PIPELINED,
    FETCHED,
    FINISHED,
    REQUEUE,
    REQUEUE_PREFETCHED,
    SERVER_UP,
    SUBMITTED,
    TICK,
)
from isocline.dispatch.core.relief import help_stragglers
from isocline.dispatch.core.reservation import lose_holder, place_at, place_near
from isocline.dispatch.core.resize import fits, lose_server, move
from isocline.dispatch.core.resources import Need
from isocline.dispatch.core.snapshot import CoreSnapshot, snapshot
from isocline.dispatch.core.starts import pipeline, starts
from isocline.dispatch.core.state import State
from isocline.dispatch.core.unplaceable import TaskSpec
from isocline.dispatch.rules import Rules
from isocline.errors import UsageError
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import LOCAL, SchedulingPolicy
from isocline.policies.scheduling.state.tasks import NONE
from isocline.randomness.draws import Stream


@final
class Core:
    """Decisions of one scheduler.

    Attributes:
        rules: Rules of the decisions.
        state: State of tasks and servers. Internal to the core; others read `snapshot`.
        failures: Failed attempts and their consequences. Internal to the core.
        attempts: Registry of attempts. While stopping, when the core no longer decides, the
            coordinator removes attempts itself.
        measured: Service times of each function.
        statistics: Counts since the start.
    """

    def __init__(
        self,
        racks: Sequence[int],
        rates: Rates,
        policy: SchedulingPolicy,
        rng: Stream,
        rules: Rules | None = None,
        *,
        shuffled: bool = False,
        fetches: bool = False,
    ):
        """Initialise with servers 0, 1, ... up in these racks; more may join.

        Args:
            racks: Rack of each server; all count as one rack if `rates` has no rack rate.
            rates: Assumed rates until they are measured, tasks/s.
            policy: Any policy of `policies.scheduling`.
            rng: Random numbers for the policy.
            rules: Rules of the decisions.
            shuffled: Whether holders are already given in random order.
            fetches: Whether servers can prefetch data while they run tasks.
        """
        self.rules = rules or Rules()
        self.state = State(
            racks, rates, policy, rng, self.rules, shuffled=shuffled, fetches=fetches
        )
        self.failures = Failures(self.state)
        self.attempts = self.state.attempts
        self.measured = self.state.learning.measured
        self.statistics = self.state.counts
        self._serial = 0

    # Events of tasks

    def submitted(
        self,
        task: int,
        holders: Sequence[int] | None,
        now: float,
        job: int = 0,
        function: int = 0,
        need: Need = (),
        *,
        first: bool = False,
    ) -> list[Action]:
        """Handle a new task.

        Args:
            task: Number that no other present task has.
            holders: Distinct servers that hold its data; None for a task without data, which is
                local everywhere. Servers that are not up are ignored.
            now: Time, s.
            job: Job of the task.
            function: Function that it runs; tasks of one function have similar service times.
            first: Whether it goes before all waiting tasks, as one that needs the results of others
                does where those keep memory until it has run.
            need: Resources that it needs; it then waits for room, and the policy does not see it.

        Raises:
            UsageError: There is already a task with this number.
        """
        state = self.state
        if task in state:
            raise UsageError(f"task {task} already exists; give each task its own number")
        self.statistics.submitted += 1
        self._serial += 1
        if holders is None:
            state.anywhere.add(task)
        if need:
            state.has_needs = True
            state.resources.needs[task] = need
        row = state.shares.enter(job)
        if not state.policy_state.has_cost(function):
            mean = state.learning.measured.of(function).mean(LOCAL)
            state.policy_state.set_cost(function, mean)
        spec = TaskSpec(task, row, function, self._serial, now)
        return self._admit(spec, holders or (), now, REQUEUE if first else SUBMITTED)

    def finished(self, task: int, server: int, now: float, seconds: float | None) -> list[Action]:
        """Handle an attempt's result, `seconds` s after its start at the server.

        `seconds` is None for an attempt that is not measured, such as the first of a process. The
        first result counts, even from a server that was reported lost.
        """
        state, attempt = self.state, self.attempts.end(server, task, now)
        if state.has_needs and attempt is not None:
            state.resources.give_back(attempt.number)
        actions: list[Action] = []
        if task in state.row or task in state:
            self.statistics.finished += 1
            if attempt is not None:
                state.learn(attempt, now, seconds)
            actions = self._end(task)
        if attempt is not None:
            actions += self._next(attempt, now)
        return actions

    def failed(self, task: int, server: int, now: float, cause: Cause) -> list[Action]:
        """Handle an attempt that ended without a result; its server is up and free.

        A task that is still wanted and runs nowhere else is requeued or given up.
        """
        attempt = self.attempts.end(server, task, now)
        if attempt is None:
            return []
        self.state.resources.give_back(attempt.number)
        actions: list[Action] = []
        if self.state.is_unserved(task):
            actions += self.failures.retry(attempt, now, cause)
        return actions + self._next(attempt, now)

    def cancelled(self, task: int, now: float) -> list[Action]:  # noqa: ARG002
        """Handle the cancellation of a task, whose result is no longer wanted."""
        self.statistics.cancelled += 1
        return self._end(task)

    def holds(self, task: int, holders: Sequence[int], now: float) -> list[Action]:
        """Replace the holders of a task's data; it keeps its place before later tasks."""
        state, arrays = self.state, self.state.policy_state
        if task in state.unplaceable.of:
            if not state.up(holders):
                return []
            return self._admit(state.unplaceable.take(task), holders, now)
        if task in state.resources.waiting:
            return self._admit(state.resources.leave(task).spec, holders, now)
        row = state.row[task]
        if not arrays.waits(row):
            arrays.set_holders(row, state.up(holders))
            return []
        if set(state.up(holders)) == set(arrays.holders(row)):
            return []
        # A prefetched task is the last in every list.
        prefetched = any(state.prefetch.has(task, server) for server in holders)
        how = REQUEUE_PREFETCHED if prefetched else REQUEUE
        return readmit(state, row, holders, now, how) + self.failures.overdue(now)

    def fetched(
        self, task: int, server: int, now: float, seconds: float | None, *, counts: bool = True
    ) -> list[Action]:
        """Handle the end of a prefetch after `seconds` s or, with None, its failure.

        `holds` must have been called before, with the server as a holder. With `counts`, the
        outcome counts in the failure rate at which prefetching is turned off.
        """
        state = self.state
        known = state.prefetch.end(task, server, seconds is not None, counts=counts)
        if known is None:
            return []
        if seconds is not None:
            state.learning.observe_fetch(*known, seconds)
        if task not in state:
            state.prefetch.forget(task)
        state.apply_rates()
        state.policy_state.event(FETCHED, server, state.row.get(task, NONE))
        return begin_fetches(state, now)

    # Events of servers

    def server_up(self, server: int, now: float, rack: int = 0) -> list[Action]:
        """Handle a server that comes up, or back; it holds no data until `holds` is called."""
        state = self.state
        if server in self.attempts.at:
            return []
        state.racks[server] = rack
        actions: list[Action] = []
        if not fits(state.policy_state, server, rack):
            actions += move(state, now)
        self.attempts.at[server] = []
        state.policy_state.event(SERVER_UP, server, 0, now)
        actions += starts(state, now)
        actions += begin_fetches(state, now)
        if state.resources.waiting:
            actions += place_near(state, server, now)
        for task in list(state.unplaceable.of):
            if task in state.anywhere:
                actions += self._admit(state.unplaceable.take(task), (), now)
        return actions

    def server_lost(self, server: int, now: float) -> list[Action]:
        """Handle the loss of a server and its attempts; tasks waiting for it are requeued."""
        state = self.state
        if server not in self.attempts.at:
            return []
        lost = self.attempts.lose(server)
        for attempt in lost:
            state.resources.give_back(attempt.number)
        lose_holder(state, server, now)
        self.statistics.lost += len(lost)
        actions: list[Action] = []
        again: list[tuple[TaskSpec, list[int]]] = []
        for attempt in lost:
            task = attempt.start.task
            if state.is_unserved(task) and attempt.began < math.inf:
                actions += self.failures.blame(task, server)
            if state.is_unserved(task):
                again.append(state.policy_state.spec(attempt.row))
        actions += lose_server(state, server, now) + self.failures.overdue(now)
        # In reverse, each to the front, so that they keep their order.
        for spec, holders in reversed(again):
            actions += self._admit(spec, holders, now, REQUEUE)
        return actions

    # Time

    def tick(self, now: float) -> list[Action]:
        """Do all due work: timers of the policy, unplaceable tasks, relief and speculation."""
        state = self.state
        actions: list[Action] = []
        if state.policy_state.due(now) <= now:
            state.policy_state.event(TICK, 0, 0, now)
            actions += starts(state, now)
            actions += begin_fetches(state, now)
        actions += self.failures.overdue(now)
        if self._seeks_stragglers:
            actions += help_stragglers(state, now)
        return actions

    def next_deadline(self, now: float = -math.inf) -> float:
        """Next time at which `tick` may have work, s; inf if never. Never too late."""
        state = self.state
        due = min(state.policy_state.due(now), state.unplaceable.next_deadline())
        if self._seeks_stragglers:
            due = min(due, state.speculation.next_look)
        return due

    @property
    def _seeks_stragglers(self) -> bool:
        """Whether an idle server, or one with a copy, could help against a straggler."""
        state = self.state
        idle, copies = state.policy_state.idle_count(), len(self.attempts.copies)
        if not ((idle or copies) and self.in_flight and state.rules.measure):
            return False
        if idle and state.rules.straggler < math.inf:
            return True
        # Otherwise only if tasks wait or are pipelined, that is, some server has a second attempt.
        behind = self.waiting > 0 or self.in_flight > len(self.attempts.at) - idle
        return behind and (copies > 0 or state.rules.relief < math.inf)

    # Observable state

    @property
    def in_flight(self) -> int:
        """Number of attempts at servers, including pipelined and cancelled ones."""
        return len(self.attempts)

    @property
    def waiting(self) -> int:
        """Number of waiting tasks, without unplaceable ones."""
        return self.state.waiting

    @property
    def gap(self) -> float:
        """Measured mean time for which a server is idle between two tasks, s."""
        return self.state.learning.gap.seconds

    @property
    def rates(self) -> tuple[float, float, float]:
        """Rates in force for local, rack and remote tasks, tasks/s."""
        local, rack, remote = self.state.learning.rates.tolist()
        return local, rack, remote

    def equip(self, server: int, site: int, capacity: Mapping[str, float]) -> None:
        """Set the resources of a site, a number, which its servers share; before they come up."""
        self.state.resources.equip(server, site, capacity)

    def set_weight(self, job: int, weight: float) -> None:
        """Set a job's weight in the fair share, relative to others; 1 by default.

        Raises:
            UsageError: The weight is not a number above 0.
        """
        self.state.shares.set_weight(job, weight)

    @property
    def stalled(self) -> bool:
        """Whether the policy lets tasks wait although all servers are idle and none fetches."""
        if self.waiting == 0 or self.in_flight:
            return False
        return self.state.policy_state.idles() and not self.state.prefetch.servers()

    def give_up_unpicked(self) -> list[Action]:
        """Give up all waiting tasks, which the policy does not pick."""
        return self.failures.give_up_unpicked()

    def runs(self, server: int) -> list[int]:
        """Return the tasks at a server: the running one, then the pipelined one."""
        return [attempt.start.task for attempt in self.attempts.at.get(server, ())]

    @property
    def unplaceable(self) -> int:
        """Number of tasks without a holder that is up."""
        return len(self.state.unplaceable.of)

    def waiting_at(self, server: int) -> int:
        """Number of tasks in a server's queues; with late binding, of waiting local tasks."""
        return self.state.policy_state.waiting_at(server)

    def snapshot(self) -> CoreSnapshot:
        """Copy the state as plain data, in O(tasks + servers); see `CoreSnapshot`."""
        return snapshot(self.state)

    # Steps

    def _admit(
        self, spec: TaskSpec, holders: Sequence[int], now: float, how: int = SUBMITTED
    ) -> list[Action]:
        """Admit a task, new or requeued; an unplaceable one is given up when its grace is over."""
        actions = admit(self.state, spec, holders, now, how)
        return actions + self.failures.overdue(now) if self.state.unplaceable.of else actions

    def _end(self, task: int) -> list[Action]:
        self.failures.forget(task)
        return end_task(self.state, task)

    def _next(self, ended: Attempt, now: float) -> list[Action]:
        """Let a server at which an attempt has ended take its next task."""
        state, server = self.state, ended.start.server
        needed = state.has_needs and state.resources.waiting
        actions: list[Action] = []
        if ended.ahead:
            state.policy_state.event(END_PIPELINED, server)
        elif not ended.withdrawn:
            if needed and not self.attempts.at[server]:
                actions = place_at(state, server, now)
            if not actions:
                state.policy_state.event(FINISHED, server, 0, now)
                actions = starts(state, now)
                actions += begin_fetches(state, now)
        if needed and state.resources.waiting:  # other servers of the site may have room now
            actions += place_near(state, server, now)
        if state.learning.pipelining_gap:
            actions += pipeline(state, server, now)
        return actions
