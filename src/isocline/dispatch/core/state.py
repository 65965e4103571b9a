"""State of the core: tasks, servers and counters, without decisions.

A wanted task is either in the policy state, where it waits or runs, or unplaceable, if no server
that is up holds its data.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from isocline.dispatch.core.attempts import Attempt, Attempts
from isocline.dispatch.core.fair_share import FairShares
from isocline.dispatch.core.kernels.state import SERVER_LOST
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.prefetch import Prefetch
from isocline.dispatch.core.rate_learning import RateLearning
from isocline.dispatch.core.resources import Resources
from isocline.dispatch.core.speculation import Speculation
from isocline.dispatch.core.unplaceable import TaskSpec, Unplaceable
from isocline.dispatch.rules import Rules
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import ClusterSetting, SchedulingPolicy
from isocline.randomness.draws import Stream


@final
@dataclass(slots=True)
class Counts:
    """Counters since the start."""

    submitted: int = 0  # tasks
    finished: int = 0
    cancelled: int = 0
    given_up: int = 0
    started: list[int] = field(default_factory=lambda: [0, 0, 0])  # local, rack, remote
    pipelined: int = 0  # starts behind another task
    fetches: int = 0  # prefetches begun
    fetched: int = 0  # starts with prefetched data
    copies: int = 0  # starts of copies of stragglers
    copies_first: int = 0  # copies that finished before the straggler
    retried: int = 0  # retries after an exception or a time limit
    lost: int = 0  # attempts whose server died


@final
class State:
    """Tasks, servers and counters of a core; see `Core` for the arguments.

    Attributes:
        rules: Rules of the decisions.
        policy_state: Arrays that the policy sees; replaced when resized to more columns.
        attempts: All attempts.
        unplaceable: Wanted tasks without a holder that is up.
        shares: Fair shares of the jobs.
        learning: Measured service times and rates.
        speculation: Search for stragglers.
        prefetch: Fetches under way and done.
        counts: Counters since the start.
        resources: Resources of sites, and tasks that need some.
        has_needs: Whether a task has ever needed any; if not, none of this costs time.
        racks: Rack of each server that is or was up.
        row: Row of each wanted task in the policy state.
        anywhere: Wanted tasks without data.
        waiting: Number of tasks in the policy state that have not started.
        recalled: Late attempts, by server, behind which a pipelined task was recalled and no other
            is pipelined; entries may outlast their attempts.
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
        self.rules = rules
        self.learning = RateLearning(rates, rules.ahead_gap, measures=rules.measure)
        self.counts = Counts()
        self.resources = Resources()
        self.has_needs = False
        self.attempts = Attempts()
        self.racks = dict(enumerate(racks))
        rack = np.array(racks or [0], np.int32)
        has_racks = rates.rack is not None
        count = int(rack.max()) + 1 if has_racks else 1
        setting = ClusterSetting(rack, count, np.array(rates.levels), shuffled=shuffled)
        self.policy_state = PolicyState(setting, policy, rng, has_racks=has_racks)
        self.policy_state.warm_up()
        if not racks:
            self.policy_state.event(SERVER_LOST, 0)
        for server in range(len(racks)):
            self.attempts.at[server] = []
        self.shares = FairShares(self.policy_state)
        self.unplaceable = Unplaceable()
        self.speculation = Speculation(rules.straggler)
        self.prefetch = Prefetch(rules.fetch_ahead if fetches else 0)
        self.apply_rates()
        self.row: dict[int, int] = {}
        self.anywhere: set[int] = set()
        self.waiting = 0
        self.recalled: dict[int, Attempt] = {}

    def __contains__(self, task: int) -> bool:
        """Whether a task is still wanted."""
        if task in self.row or task in self.unplaceable.of:
            return True
        return self.has_needs and task in self.resources.waiting

    def is_unserved(self, task: int) -> bool:
        """Whether a task is still wanted, but neither waiting nor running."""
        return (
            task in self.row
            and not self.attempts.serve(task)
            and not self.policy_state.waits(self.row[task])
        )

    def up(self, servers: Sequence[int]) -> Sequence[int]:
        """Return the servers among these that are up."""
        at = self.attempts.at
        for server in servers:
            if server not in at:
                return [s for s in servers if s in at]
        return servers

    def mark_unplaceable(self, spec: TaskSpec, now: float) -> None:
        """Keep a task without a holder that is up outside of the policy state."""
        self.row.pop(spec.task, None)
        anywhere = spec.task in self.anywhere
        self.unplaceable.add(spec, math.inf if anywhere else now + self.rules.holder_grace)

    def drop_holder(self, server: int) -> None:
        """Remove a server from the holders of running tasks, in case they must run again."""
        for attempts in self.attempts.at.values():
            for attempt in attempts:
                if attempt.withdrawn:
                    continue
                holders = self.policy_state.holders(attempt.row)
                if server in holders:
                    holders.remove(server)
                    self.policy_state.set_holders(attempt.row, holders)

    def forget_prefetches(self, server: int) -> None:
        """Forget the fetches of a lost server, so that others may fetch that data."""
        for task in self.prefetch.forget_server(server):
            if task in self.row:
                self.policy_state.cancel_prefetch(self.row[task])

    def learn(self, attempt: Attempt, now: float, seconds: float | None) -> None:
        """Learn from a task that took `seconds` s; None: its time was not measured."""
        if attempt.start.copy:
            self.counts.copies_first += 1
        self.learning.observe_end(attempt, now)
        if seconds is None:
            return
        self.policy_state.correct_charge(attempt.job, attempt.function, seconds)
        if self.learning.observe(attempt, now, seconds):
            self.apply_rates(anew=self.learning.update(self.policy_state))

    def apply_rates(self, *, anew: bool = False) -> None:
        """Turn prefetching on or off by the rates in force."""
        rates, gap = self.learning.rates, self.learning.gap.seconds
        self.prefetch.apply_rates(self.policy_state, rates, gap, anew=anew)
