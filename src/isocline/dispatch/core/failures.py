"""Failed attempts: their tasks are requeued or given up."""

from collections.abc import Callable
from typing import final

from isocline.dispatch.actions import Action, Cause, GiveUp, Reason
from isocline.dispatch.core.admission import admit, end_task
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.kernels.state import REQUEUE
from isocline.dispatch.core.state import State
from isocline.plural import counted

_LEAST = 1.0  # s between two checks whether a holder is expected back


@final
class Failures:
    """Counts of failed attempts and dead servers of each wanted task, and their consequences.

    Attributes:
        may_return: Function that returns whether a holder of a task's data is being restarted, or
            is silent, so that the task waits longer than `Rules.holder_grace`; by default False.
    """

    def __init__(self, state: State) -> None:
        self.may_return: Callable[[int], bool] = lambda _task: False
        self._state = state
        self._tried: dict[int, int] = {}
        self._killed: dict[int, list[int]] = {}
        self._unread: dict[int, int] = {}

    def forget(self, task: int) -> None:
        """Forget an ended task."""
        if self._tried or self._killed or self._unread:
            self._tried.pop(task, None)
            self._killed.pop(task, None)
            self._unread.pop(task, None)

    def retry(self, attempt: Attempt, now: float, cause: Cause) -> list[Action]:
        """Requeue a task whose attempt failed, for another server if possible, or give it up."""
        state, rules = self._state, self._state.rules
        task, server = attempt.start.task, attempt.start.server
        actions: list[Action] = []
        if cause is Cause.LOST:
            state.counts.lost += 1
            actions += self.blame(task, server)
        elif cause is Cause.UNREAD:
            state.counts.lost += 1
            times = self._unread[task] = self._unread.get(task, 0) + 1
            if times >= rules.most_killed:
                detail = f"{counted(times, 'server')} died while sending its data"
                return self.give_up(task, Reason.UNREAD, detail)
        elif cause is not Cause.STOPPED:
            tried = self._tried[task] = self._tried.get(task, 0) + 1
            if tried > rules.retries:
                detail = f"after {counted(tried, 'attempt')}"
                return self.give_up(task, Reason(cause.value), detail)
            state.counts.retried += 1
        if task in state.row:
            spec, holders = state.policy_state.spec(attempt.row)
            others = state.up([holder for holder in holders if holder != server])
            actions += admit(state, spec, others or holders, now, REQUEUE)
            actions += self.overdue(now)
        return actions

    def blame(self, task: int, server: int) -> list[Action]:
        """Count a server that died while running a task; after too many, give the task up."""
        killed = self._killed.setdefault(task, [])
        killed.append(server)
        if len(killed) < self._state.rules.most_killed:
            return []
        detail = f"{counted(len(killed), 'worker')} died while running it"
        return self.give_up(task, Reason.QUARANTINED, detail, tuple(killed))

    def give_up(
        self, task: int, reason: Reason, detail: str, servers: tuple[int, ...] = ()
    ) -> list[Action]:
        """Remove a task that cannot be completed."""
        self._state.counts.given_up += 1
        self.forget(task)
        return [*end_task(self._state, task), GiveUp(task, reason, detail, servers)]

    def give_up_unpicked(self) -> list[Action]:
        """Give up all tasks that wait for the policy to pick them."""
        state, grace = self._state, self._state.rules.idle_grace
        servers = counted(len(state.policy_state.idle()), "server")
        detail = (
            f"policy {state.policy_state.policy.name} starts none of the "
            f"{counted(state.waiting, 'waiting task')}, although {servers} had no work for "
            f"{grace:g} s; correct its `pick`, or let its `due` return the time at which it will "
            "start one, or, if it waits for more tasks, give it more time (Rules.idle_grace)"
        )
        return [
            action
            for task in list(state.row)
            for action in self.give_up(task, Reason.UNPICKED, detail)
        ]

    def overdue(self, now: float) -> list[Action]:
        """Give up the tasks whose wait for a holder is over."""
        state, grace = self._state, self._state.rules.holder_grace
        actions: list[Action] = []
        for task in state.unplaceable.overdue(now):
            if self.may_return(task):
                state.unplaceable.wait(task, now + max(grace, _LEAST))
            else:
                detail = f"no server that is up has held its data for {grace:g} s"
                actions += self.give_up(task, Reason.NO_HOLDER, detail)
        return actions
