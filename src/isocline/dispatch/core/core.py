"""The core of the live scheduler: events in, actions out, no I/O, no clock, no own randomness.

    core = Core(racks, rates, policy, stream(seed))
    for action in core.submitted(task, holders, now): ...  # Start
    for action in core.finished(task, server, now, seconds): ...

The policy is the simulator's, called by compiled code over the same arrays (`policy_state`). Times
are seconds of any one clock that does not go back. Servers and tasks are numbers of the caller's,
small and dense for servers; a number that is not known is a KeyError, the caller's mistake.

The core also decides what policies leave open: fair shares of jobs, pipelining, relief of
servers whose task is a straggler, speculation on these, prefetches, and requeueing of tasks whose
server died. Every decision follows one of the events below, or a `tick` at `next_deadline`. An
event has the same name in the kernel (`kernels.state`), where an attempt that failed is `FINISHED`,
too.
"""

import math
from collections.abc import Sequence
from typing import final

from isocline.dispatch.actions import Action, Cause
from isocline.dispatch.core.admission import admit, begin_fetches, end_task, unqueue
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
from isocline.dispatch.core.resize import fits, lose_server, move
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
        state: State that they rest on. For parts of the core; others read `snapshot`.
        failures: Failed attempts, and what follows from them; likewise.
        attempts: The registry of attempts. While tasks are stopped without the core's decisions,
            their coordinator removes attempts itself.
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
        """Make a core whose servers 0, 1, ... are up in these racks; more may come.

        Args:
            racks: Rack numbers of the servers; all count as one rack if `rates` has no rack rate.
            rates: Assumed rates until they are measured, tasks/s.
            policy: Any of `policies.scheduling`.
            rng: The policy's own randomness.
            rules: Further settings.
            shuffled: Whether holders always come in random order.
            fetches: Whether servers can fetch data while they run tasks.
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
        self, task: int, holders: Sequence[int] | None, now: float, job: int = 0, function: int = 0
    ) -> list[Action]:
        """Handle a new task.

        Args:
            task: A number of the caller's that no other task has now.
            holders: The servers that hold its data, each once; None if it has no data and is local
                anywhere. Those that are not up do not count.
            now: Time, s.
            job: Job that the task belongs to.
            function: Function that it runs; tasks of one function take alike.

        Raises:
            UsageError: The task is here already.
        """
        state = self.state
        if task in state:
            raise UsageError(f"task {task} is here already; give each task a number of its own")
        self.statistics.submitted += 1
        self._serial += 1
        if holders is None:
            state.anywhere.add(task)
        row = state.shares.enter(job)
        if not state.policy_state.has_cost(function):
            mean = state.learning.measured.of(function).mean(LOCAL)
            state.policy_state.set_cost(function, mean)
        return self._admit(TaskSpec(task, row, function, self._serial, now), holders or (), now)

    def finished(self, task: int, server: int, now: float, seconds: float | None) -> list[Action]:
        """Handle an attempt's result, `seconds` after its start at the server.

        `seconds` is None for an attempt that is not measured, such as the first of a process. The
        first result counts, even from a server that the core had counted as lost.
        """
        attempt = self.attempts.end(server, task, now)
        actions: list[Action] = []
        if task in self.state:
            self.statistics.finished += 1
            if attempt is not None:
                self.state.learn(attempt, now, seconds)
            actions += self._end(task)
        if attempt is not None:
            actions += self._next(attempt, now)
        return actions

    def failed(self, task: int, server: int, now: float, cause: Cause) -> list[Action]:
        """Handle an attempt that ended without a result; the server is up, and free.

        A task that is still wanted, and runs nowhere else, is requeued or given up.
        """
        attempt = self.attempts.end(server, task, now)
        if attempt is None:
            return []
        actions: list[Action] = []
        if self.state.is_unserved(task):
            actions += self.failures.retry(attempt, now, cause)
        return actions + self._next(attempt, now)

    def cancelled(self, task: int, now: float) -> list[Action]:  # noqa: ARG002
        """Handle a cancellation: the result is no longer wanted."""
        self.statistics.cancelled += 1
        return self._end(task)

    def holds(self, task: int, holders: Sequence[int], now: float) -> list[Action]:
        """Replace the holders of a task's data; it keeps its place before those that came later."""
        state, arrays = self.state, self.state.policy_state
        if task in state.unplaceable:
            if not state.up(holders):
                return []
            return self._admit(state.unplaceable.take(task), holders, now)
        row = state.row[task]
        if not arrays.waits(row):
            arrays.set_holders(row, state.up(holders))
            return []
        if set(holders) == set(arrays.facts(row)[0]):
            return []
        # A prefetched task was the last in every list.
        prefetched = any(state.prefetch.has(task, server) for server in holders)
        how = REQUEUE_PREFETCHED if prefetched else REQUEUE
        return self._admit(unqueue(state, row), holders, now, how)

    def fetched(self, task: int, server: int, now: float, seconds: float | None) -> list[Action]:
        """Handle the end of a fetch of a task's data after so many s, or, with None, its failure.

        `holds` must have been called with the server as a holder before.
        """
        state = self.state
        known = state.prefetch.end(task, server, seconds is not None)
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
        """Handle a server that is up, or up again; it holds no data until `holds` says so."""
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
        for task in state.unplaceable.tasks():
            if task in state.anywhere:
                actions += self._admit(state.unplaceable.take(task), (), now)
        return actions

    def server_lost(self, server: int, now: float) -> list[Action]:
        """Handle the loss of a server and its attempts; tasks that waited for it go elsewhere."""
        state = self.state
        if server not in self.attempts.at:
            return []
        lost = self.attempts.lose(server)
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
        # The last first, each before all others, so that they keep their order.
        for spec, holders in reversed(again):
            actions += self._admit(spec, holders, now, REQUEUE)
        return actions

    # Time

    def tick(self, now: float) -> list[Action]:
        """Do all due work: waits of the policy, tasks without a holder, relief and speculation."""
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
        """Next time at which `tick` has work, s; inf if never. It may be early, never late."""
        state = self.state
        due = min(state.policy_state.due(now), state.unplaceable.next_deadline())
        if self._seeks_stragglers:
            due = min(due, state.speculation.next_look)
        return due

    @property
    def _seeks_stragglers(self) -> bool:
        """Whether an idle server could help where an attempt is a straggler."""
        state = self.state
        idle = state.policy_state.idle_count()
        if not (idle and self.in_flight and state.rules.measure):
            return False
        if state.rules.straggler < math.inf:
            return True
        # Without copies only if tasks wait, or are pipelined: attempts beyond one at each server.
        behind = self.waiting > 0 or self.in_flight > len(self.attempts.at) - idle
        return behind and state.rules.relief < math.inf

    # Observable state

    @property
    def in_flight(self) -> int:
        """Attempts at servers, pipelined and cancelled ones included."""
        return len(self.attempts)

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for a server, without unplaceable ones."""
        return self.state.waiting

    def set_weight(self, job: int, weight: float) -> None:
        """Set a job's weight in the fair share, relative to others; 1 by default.

        Raises:
            UsageError: The weight is not a number above 0.
        """
        self.state.shares.set_weight(job, weight)

    @property
    def stalled(self) -> bool:
        """Whether tasks wait while all servers are idle and none fetches: only a policy does so."""
        if self.waiting == 0 or self.in_flight:
            return False
        return self.state.policy_state.idles() and not self.state.prefetch.servers()

    def give_up_unpicked(self) -> list[Action]:
        """Give up all tasks that wait for the policy to pick them."""
        return self.failures.give_up_unpicked()

    def runs(self, server: int) -> list[int]:
        """Return the tasks at a server: the running one, and the pipelined one."""
        return [attempt.start.task for attempt in self.attempts.at.get(server, ())]

    def snapshot(self) -> CoreSnapshot:
        """Copy the state as plain data, in O(tasks + servers); see `CoreSnapshot`."""
        return snapshot(self.state)

    # Steps

    def _admit(
        self, spec: TaskSpec, holders: Sequence[int], now: float, how: int = SUBMITTED
    ) -> list[Action]:
        """Admit a task, new or requeued; without a holder it is given up when it may be."""
        return admit(self.state, spec, holders, now, how) + self.failures.overdue(now)

    def _end(self, task: int) -> list[Action]:
        self.failures.forget(task)
        return end_task(self.state, task)

    def _next(self, ended: Attempt, now: float) -> list[Action]:
        """Choose the next task of a server at which an attempt has ended."""
        state, server = self.state, ended.start.server
        actions: list[Action] = []
        if ended.began == math.inf:
            state.policy_state.event(END_PIPELINED, server)
        else:
            state.policy_state.event(FINISHED, server, 0, now)
            actions += starts(state, now)
            actions += begin_fetches(state, now)
        return actions + pipeline(state, server, now)
