"""State of the core: tasks, servers and counters, and the steps of its decisions.

A task is in the policy state, where it waits or runs, or it is unplaceable, as no server that is
up holds its data. Each step returns the resulting actions, in order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from isocline.dispatch.actions import Action, Cancel, Fetch, Start
from isocline.dispatch.core.fair_share import FairShares
from isocline.dispatch.core.kernels import state
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.prefetch import Prefetch
from isocline.dispatch.core.rate_learning import RateLearning
from isocline.dispatch.core.running_tasks import RunningAttempt, RunningTasks
from isocline.dispatch.core.speculation import Speculation
from isocline.dispatch.core.unplaceable import TaskSpec, Unplaceable
from isocline.dispatch.core.waiting_tasks import described
from isocline.dispatch.core.warm_up import rehearse
from isocline.dispatch.rules import Rules
from isocline.draws import Stream
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import (
    LOCAL,
    RACK,
    REMOTE,
    ClusterSetting,
    SchedulingPolicy,
)
from isocline.policies.scheduling.state.tasks import NONE


@final
@dataclass(slots=True)
class Counts:
    """Counters since the start."""

    submitted: int = 0  # tasks
    finished: int = 0
    cancelled: int = 0
    given_up: int = 0
    started: list[int] = field(default_factory=lambda: [0, 0, 0])  # local, rack, remote
    ahead: int = 0  # of these, given while another one ran
    fetches: int = 0  # of data for tasks that waited elsewhere
    fetched: int = 0  # of the starts, where data was fetched before
    copies: int = 0  # of these, of stragglers
    copies_first: int = 0  # that were done before the straggler
    retried: int = 0  # after an exception, or too long a time
    lost: int = 0  # attempts whose server died


WHY = ("its data is here", "helps in its rack", "helps from afar")
FETCHED = ", with data fetched ahead"


@final
class State:
    """Tasks, servers and counters; see `Core`.

    Attributes:
        number: Number of each task in the policy state.
        anywhere: Tasks without data.
        waiting: Tasks in the policy state that have not started.
    """

    def __init__(
        self,
        racks: Sequence[int],
        rates: Rates,
        policy: SchedulingPolicy,
        rng: Stream,
        rules: Rules,
        *,
        shuffled: bool,
        fetches: bool,
    ):
        self.learning = RateLearning(rates, rules.ahead_gap, measures=rules.measure)
        self.counts = Counts()
        self.servers = RunningTasks()
        self.racks = dict(enumerate(racks))
        self._rules = rules
        rack = np.array(racks or [0], np.int32)
        near = rates.rack is not None
        count = int(rack.max()) + 1 if near else 1
        setting = ClusterSetting(rack, count, np.array(rates.levels), shuffled=shuffled)
        self.board = PolicyState(setting, policy, rng, has_racks=near)
        rehearse(self.board)
        if not racks:
            self.board.event(state.DOWN, 0)
        for server in range(len(racks)):
            self.servers.at[server] = []
        self.shares = FairShares(self.board)
        self.orphans = Unplaceable()
        self.stragglers = Speculation(rules.straggler)
        self.fetching = Prefetch(rules.fetch_ahead if fetches else 0)
        self.go_by_rates()
        self.number: dict[int, int] = {}
        self.anywhere: set[int] = set()
        self.waiting = 0

    # Tasks

    def __contains__(self, task: int) -> bool:
        """Whether a task is still wanted."""
        return task in self.number or task in self.orphans

    def come(
        self, task: TaskSpec, holders: Sequence[int], now: float, how: int = state.SUBMIT
    ) -> list[Action]:
        """Add a waiting task, which may start; without a holder it is unplaceable.

        `how` is COMES, COMES_FIRST or COMES_FETCHED of `kernels.state`.
        """
        anywhere = task.task in self.anywhere
        local = tuple(self.servers.at) if anywhere else self.up(holders)
        if not local:
            self.orphaned(task, now)
            return []
        self.number[task.task] = self.board.comes(*task, local, now, how)
        self.waiting += 1
        return self.has_come(local, now)

    def has_come(self, local: Sequence[int], now: float) -> list[Action]:
        """Do what follows the admission of a task to which these servers are local."""
        actions = self.started(now)
        fetches = self.fetches(now)
        if self.learning.ahead and not actions:
            for server in local:
                actions += self.give_ahead(server, now)
        return actions + fetches

    def orphaned(self, task: TaskSpec, now: float) -> None:
        """Mark a task as unplaceable: no server that is up holds its data."""
        self.number.pop(task.task, None)
        anywhere = task.task in self.anywhere
        self.orphans.add(task, math.inf if anywhere else now + self._rules.holder_grace)

    def taken_back(self, number: int) -> TaskSpec:
        """Take a waiting task out of the policy state."""
        description, _ = described(self.board, number)
        self.board.event(state.TAKEN_BACK, 0, number)
        self.waiting -= 1
        return description

    def leave(self, task: int) -> list[Action]:
        """Remove a task that has ended; returns cancellations of its running attempts."""
        if task in self.orphans:
            row = self.orphans.take(task).row
        else:
            number = self.number.pop(task)
            row = self.board.facts(number)[1]
            if self.board.waits(number):
                self.taken_back(number)
        self.shares.leave(row)
        self.anywhere.discard(task)
        self.fetching.leave(task)
        return [Cancel(task, server) for server in self.servers.of.get(task, ())]

    def is_unserved(self, task: int) -> bool:
        """Whether a task is still wanted, and neither waits nor runs."""
        return (
            task in self.number
            and task not in self.servers.of
            and not self.board.waits(self.number[task])
        )

    # Servers

    def up(self, holders: Sequence[int]) -> Sequence[int]:
        """Return those of these servers that are up."""
        at = self.servers.at
        return holders if all(s in at for s in holders) else [s for s in holders if s in at]

    def started(self, now: float, ahead: bool = False) -> list[Action]:
        """Record the tasks that servers have just taken; returns their starts."""
        actions: list[Action] = []
        for server, number, distance, queue, row, function in self.board.started():
            task = self.board.names[number]
            level = LOCAL if task in self.anywhere else distance
            began = math.inf if ahead else now
            attempt = RunningAttempt(task, number, function, row, level, now, began)
            why = self._why(level, server, queue)
            if level == LOCAL and self.fetching.at(task, server):
                level = self._far(self.board.facts(number)[0], server)
                why = WHY[level] + FETCHED
                self.counts.fetched += 1
            self.servers.add(server, attempt)
            self.waiting -= 1
            self.counts.started[level] += 1
            actions.append(Start(task, server, level, why, ahead))
        self.counts.ahead += len(actions) * ahead
        return actions

    def _why(self, level: int, server: int, queue: int) -> str:
        if level == LOCAL or queue == server or queue >= self.board.setting.size:
            return WHY[level]
        return f"{WHY[level]}: of server {queue}, where {self.board.waiting(queue)} more wait"

    def _far(self, holders: Sequence[int], server: int) -> int:
        """Locality level of a server for a task, before any prefetch."""
        rack = self.board.setting.rack
        others = [holder for holder in holders if holder != server]
        near = self.board.has_racks and any(rack[other] == rack[server] for other in others)
        return RACK if near else REMOTE

    def fetches(self, now: float) -> list[Action]:
        """Record the fetches that begin at the last event."""
        actions: list[Action] = []
        for server, number in self.board.wanted():
            task = self.board.names[number]
            if task in self.anywhere:  # it is at home there, too, as it has no data
                self.board.floor.coming[server] -= 1
                description = self.taken_back(number)
                actions += self.come(description, (), now, state.SUBMIT_PREFETCHED)
                continue
            holders, _, function = self.board.facts(number)
            self.fetching.begins(task, server, function, self._far(holders, server))
            self.counts.fetches += 1
            actions.append(Fetch(task, server))
        return actions

    def fetched(self, task: int, server: int, now: float, seconds: float | None) -> list[Action]:
        """Handle the end of a server's fetch, or, with None, its failure."""
        known = self.fetching.ended(task, server, seconds is not None)
        if known is None:
            return []
        if seconds is not None:
            self.learning.read(*known, seconds)
        if task not in self:
            self.fetching.leave(task)
        self.go_by_rates()
        self.board.event(state.PREFETCH_DONE, server, self.number.get(task, NONE))
        return self.fetches(now)

    def no_longer_comes(self, server: int) -> None:
        """Forget the fetches of a lost server; others may fetch for those tasks."""
        for task in self.fetching.lost(server):
            if task in self.number:
                self.board.comes_no_more(self.number[task])

    def freed(self, server: int, attempt: RunningAttempt, now: float) -> list[Action]:
        """Choose the next task of a free server."""
        actions: list[Action] = []
        if attempt.began == math.inf:
            self.board.event(state.AHEAD_ENDS, server)
        else:
            self.board.event(state.ENDS, server, 0, now)
            actions += self.started(now)
            actions += self.fetches(now)
            for ahead in self.servers.at[server][:1]:
                ahead.began = min(ahead.began, now)
        return actions + self.give_ahead(server, now)

    def give_ahead(self, server: int, now: float) -> list[Action]:
        """Pipeline a second task to a busy server, if that is worth it."""
        if not self.learning.ahead or not self.board.waiting(server):
            return []
        if len(self.servers.at[server]) != 1:
            return []
        self.board.event(state.AHEAD, server, 0, now, self.learning.ahead)
        return self.started(now, ahead=True)

    def copies(self, now: float) -> list[Action]:
        """Start copies of stragglers elsewhere."""
        actions: list[Action] = []
        wanted = self.stragglers.wanted(
            self.number, self.board, self.servers, self.learning.measured, now
        )
        for server, slow, remaining, fresh in wanted:
            self.board.event(state.START_COPY, server, slow.number)
            level = LOCAL if slow.task in self.anywhere else self.board.level(server)
            copy = RunningAttempt(
                slow.task, slow.number, slow.function, slow.row, level, now, now, True
            )
            self.servers.add(server, copy)
            self.counts.copies += 1
            self.counts.started[level] += 1
            why = f"copy: {remaining:.3g} s more expected there, {fresh:.3g} s here"
            actions.append(Start(slow.task, server, level, why, copy=True))
        return actions

    def no_longer_holds(self, server: int) -> None:
        """Remove a server from the holders of running tasks, which may have to run again."""
        for attempts in self.servers.at.values():
            for attempt in attempts:
                holders = self.board.facts(attempt.number)[0]
                if server in holders:
                    holders.remove(server)
                    self.board.set_holders(attempt.number, holders)

    # Learning

    def learn(self, attempt: RunningAttempt, now: float, seconds: float | None) -> None:
        """Learn from a task that took `seconds`; None: its time is no measurement."""
        if attempt.copy:
            self.counts.copies_first += 1
        if seconds is None:
            return
        self.shares.correct(attempt.row, attempt.function, seconds)
        if self.learning.observe(attempt, now, seconds):
            self.go_by_rates(anew=self.learning.look(self.board))

    def go_by_rates(self, *, anew: bool = False) -> None:
        """Turn prefetching on or off, as is worth it by the rates in force."""
        learning = self.learning
        self.fetching.go_by(self.board, learning.rates, learning.gap.seconds, anew=anew)
