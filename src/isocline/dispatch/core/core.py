"""The core of the live scheduler: events in, actions out, no I/O, no clock, no own randomness.

    core = Core(racks, rates, policy, stream(seed))
    for action in core.submitted(task, holders, now): ...  # Start
    for action in core.finished(task, server, now, seconds): ...

The policy is the simulator's, called by compiled code over the same arrays (`policy_state`). Times
are seconds of any one clock that does not go back. Servers and tasks are numbers of the caller's,
small and dense for servers; a number that is not known is a KeyError, the caller's mistake.

The core also decides what policies leave open: fair shares of jobs, pipelining, speculation on
stragglers, prefetches, and requeueing of tasks whose server died. Every decision follows one of the
events below, or a `tick` at `next_deadline`.
"""

import math
from collections.abc import Callable, Sequence
from typing import final

from isocline.dispatch.actions import Action, Cause, GiveUp, Reason
from isocline.dispatch.core.failures import Failures
from isocline.dispatch.core.kernels import state
from isocline.dispatch.core.resize import fits, leave, move
from isocline.dispatch.core.running_tasks import RunningAttempt
from isocline.dispatch.core.state import State
from isocline.dispatch.core.unplaceable import TaskSpec
from isocline.dispatch.core.waiting_tasks import described
from isocline.dispatch.rules import Rules
from isocline.draws import Stream
from isocline.errors import UsageError
from isocline.model.cluster import Rates
from isocline.plural import counted
from isocline.policies.scheduling.contract import LOCAL, SchedulingPolicy


@final
class Core:
    """State and decisions of one scheduler.

    Attributes:
        measured: Service times of each function.
        gap: Idle time of servers between two tasks.
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
        may_return: Callable[[int], bool] = lambda _task: False,
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
            may_return: Whether a server that holds a task's data is being started again, so that
                the task waits for longer than `Rules.holder_grace`, if for any time.
        """
        self._may_return = may_return
        self.rules = rules or Rules()
        self._table = State(
            racks, rates, policy, rng, self.rules, shuffled=shuffled, fetches=fetches
        )
        self.measured = self._table.learning.measured
        self.gap = self._table.learning.gap
        self.statistics = self._table.counts
        self._failures = Failures()
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
        if task in self._table:
            raise UsageError(f"task {task} is here already; give each task a number of its own")
        self.statistics.submitted += 1
        self._serial += 1
        if holders is None:
            self._table.anywhere.add(task)
        row = self._table.shares.enter(job)
        if function >= self._table.board.floor.cost.size:
            self._table.board.set_cost(function, self.measured.of(function).mean(LOCAL))
        return self._come(TaskSpec(task, row, function, self._serial, now), holders or (), now)

    def finished(self, task: int, server: int, now: float, seconds: float | None) -> list[Action]:
        """Handle an attempt's result, `seconds` after its start at the server.

        `seconds` is None for an attempt that is not measured, such as the first of a process. The
        first result counts, even from a server that the core had counted as lost.
        """
        attempt = self._table.servers.remove(server, task)
        actions: list[Action] = []
        if task in self._table:
            self.statistics.finished += 1
            if attempt is not None:
                self._table.learn(attempt, now, seconds)
            actions += self._leave(task)
        if attempt is not None:
            actions += self._table.freed(server, attempt, now)
        return actions

    def failed(self, task: int, server: int, now: float, cause: Cause) -> list[Action]:
        """Handle an attempt that ended without a result; the server is up, and free.

        A task that is still wanted, and runs nowhere else, is requeued or given up.
        """
        attempt = self._table.servers.remove(server, task)
        if attempt is None:
            return []
        actions: list[Action] = []
        if self._table.is_unserved(task):
            actions += self._again(attempt, server, now, cause)
        return actions + self._table.freed(server, attempt, now)

    def cancelled(self, task: int, now: float) -> list[Action]:  # noqa: ARG002
        """Handle a cancellation: the result is no longer wanted."""
        self.statistics.cancelled += 1
        return self._leave(task)

    def holds(self, task: int, holders: Sequence[int], now: float) -> list[Action]:
        """Replace the holders of a task's data; it keeps its place before those that came later."""
        if task in self._table.orphans:
            if not self._table.up(holders):
                return []
            return self._come(self._table.orphans.take(task), holders, now)
        number = self._table.number[task]
        if not self._table.board.waits(number):
            self._table.board.set_holders(number, self._table.up(holders))
            return []
        if set(holders) == set(self._table.board.facts(number)[0]):
            return []
        # A prefetched task was the last in every list.
        fetched = any(self._table.fetching.at(task, server) for server in holders)
        how = state.SUBMIT_PREFETCHED if fetched else state.SUBMIT_FIRST
        return self._come(self._table.taken_back(number), holders, now, how)

    def fetched(self, task: int, server: int, now: float, seconds: float | None) -> list[Action]:
        """Handle the end of a fetch of a task's data after so many s, or, with None, its failure.

        `holds` must have been called with the server as a holder before.
        """
        return self._table.fetched(task, server, now, seconds)

    # Events of servers

    def server_up(self, server: int, now: float, rack: int = 0) -> list[Action]:
        """Handle a server that is up, or up again; it holds no data until `holds` says so."""
        if server in self._table.servers.at:
            return []
        self._table.racks[server] = rack
        actions: list[Action] = []
        if not fits(self._table.board, server, rack):
            actions += move(self._table, now)
        self._table.servers.at[server] = []
        self._table.board.event(state.UP, server, 0, now)
        actions += self._table.started(now)
        actions += self._table.fetches(now)
        for orphan in self._table.orphans.all():
            if orphan.task in self._table.anywhere:
                actions += self._come(self._table.orphans.take(orphan.task), (), now)
        return actions

    def server_lost(self, server: int, now: float) -> list[Action]:
        """Handle the loss of a server and its attempts; tasks that waited for it go elsewhere."""
        if server not in self._table.servers.at:
            return []
        lost = self._table.servers.lose(server)
        self.statistics.lost += len(lost)
        actions: list[Action] = []
        again: list[tuple[TaskSpec, list[int]]] = []
        for attempt in lost:
            if self._table.is_unserved(attempt.task) and attempt.began < math.inf:
                actions += self._blame(attempt.task, server)
            if self._table.is_unserved(attempt.task):
                again.append(described(self._table.board, attempt.number))
        actions += leave(self._table, server, now) + self._without_holder(now)
        # The last first, each before all others, so that they keep their order.
        for description, holders in reversed(again):
            actions += self._come(description, holders, now, state.SUBMIT_FIRST)
        return actions

    # Time

    def tick(self, now: float) -> list[Action]:
        """Do all due work: waits of the policy, speculation, tasks without a holder."""
        actions: list[Action] = []
        if self._table.board.due(now) <= now:
            self._table.board.event(state.DUE, 0, 0, now)
            actions += self._table.started(now)
            actions += self._table.fetches(now)
        actions += self._without_holder(now)
        if self.in_flight and self._table.board.idles():
            actions += self._table.copies(now)
        return actions

    def next_deadline(self, now: float = -math.inf) -> float:
        """Next time at which `tick` has work, s; inf if never. It may be early, never late."""
        due = min(self._table.board.due(now), self._table.orphans.next_deadline())
        if self.in_flight and self.rules.straggler < math.inf and self._table.board.idles():
            due = min(due, self._table.stragglers.next_look)
        return due

    # Observable state

    @property
    def in_flight(self) -> int:
        """Attempts at servers, pipelined and cancelled ones included."""
        return self._table.servers.count

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for a server, without unplaceable ones."""
        return self._table.waiting

    def weigh(self, job: int, weight: float) -> None:
        """Set a job's weight in the fair share, relative to others; 1 by default.

        Raises:
            UsageError: The weight is not a number above 0.
        """
        self._table.shares.weigh(job, weight)

    @property
    def stalled(self) -> bool:
        """Whether tasks wait while all servers are idle and none fetches: only a policy does so."""
        if self.waiting == 0 or self.in_flight:
            return False
        return self._table.board.idles() and not self._table.fetching.coming()

    def give_up_unpicked(self) -> list[Action]:
        """Give up all tasks that wait for the policy to pick them."""
        board, grace = self._table.board, self.rules.idle_grace
        servers = counted(len(board.idle()), "server")
        detail = (
            f"policy {board.policy.name} starts none of the {counted(self.waiting, 'task')} that "
            f"wait, though {servers} had nothing to do for {grace:g} s; mend its `pick`, or "
            "have its `due` name the time at which it will, or, if it waits for more tasks to "
            "come, give it time (Rules.idle_grace)"
        )
        return [
            action
            for task in list(self._table.number)
            for action in self._give_up(task, Reason.UNPICKED, detail)
        ]

    def runs(self, server: int) -> list[int]:
        """Return the tasks at a server: the running one, and the pipelined one."""
        return [attempt.task for attempt in self._table.servers.at.get(server, ())]

    # Steps

    def _come(
        self, task: TaskSpec, holders: Sequence[int], now: float, how: int = state.SUBMIT
    ) -> list[Action]:
        """Admit a task, new or requeued; without a holder it is given up when it may be."""
        return [*self._table.come(task, holders, now, how), *self._without_holder(now)]

    def _leave(self, task: int) -> list[Action]:
        self._failures.forget(task)
        return self._table.leave(task)

    def _again(
        self, attempt: RunningAttempt, server: int, now: float, cause: Cause
    ) -> list[Action]:
        """Requeue a task whose attempt failed, elsewhere if possible, or give it up."""
        actions: list[Action] = []
        task = attempt.task
        if cause is Cause.LOST:
            self.statistics.lost += 1
            actions += self._blame(task, server)
        elif cause is Cause.UNREAD:
            self.statistics.lost += 1
            times = self._failures.unread(task)
            if times >= self.rules.most_killed:
                return self._give_up(
                    task, Reason.UNREAD, f"{counted(times, 'server')} died that sent its data"
                )
        elif cause is not Cause.STOPPED:
            tried = self._failures.failed(task)
            if tried > self.rules.retries:
                return self._give_up(
                    task, Reason(cause.value), f"after {counted(tried, 'attempt')}"
                )
            self.statistics.retried += 1
        if task in self._table.number:
            description, holders = described(self._table.board, attempt.number)
            others = self._table.up([holder for holder in holders if holder != server])
            actions += self._come(description, others or holders, now, state.SUBMIT_FIRST)
        return actions

    def _blame(self, task: int, server: int) -> list[Action]:
        """Count a server that died while it ran a task; after too many the task is given up."""
        killed = self._failures.killed(task, server)
        if len(killed) < self.rules.most_killed:
            return []
        detail = f"{counted(len(killed), 'worker')} died while they ran it"
        return self._give_up(task, Reason.QUARANTINED, detail, tuple(killed))

    def _give_up(
        self, task: int, reason: Reason, detail: str, servers: tuple[int, ...] = ()
    ) -> list[Action]:
        self.statistics.given_up += 1
        return [*self._leave(task), GiveUp(task, reason, detail, servers)]

    def _without_holder(self, now: float) -> list[Action]:
        """Give up the tasks that have waited long enough for a holder."""
        grace = self.rules.holder_grace
        detail = f"no server that is up holds its data, for {grace:g} s"
        actions: list[Action] = []
        for task in self._table.orphans.overdue(now):
            if grace > 0 and self._may_return(task):
                self._table.orphans.wait(task, now + grace)
            else:
                actions += self._give_up(task, Reason.NO_HOLDER, detail)
        return actions
