"""One run of one policy on one cluster: the arrays of a kernel, advanced block by block.

One engine per kernel: each adds what only its kernel needs.
"""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from isocline.policies.own_code import blame
from isocline.policies.scheduling.contract import LOCAL, ClusterView, SchedulingPolicy
from isocline.policies.scheduling.own_rules import (
    functions_of,
    memory_of,
    misused,
    option_of,
    queue_levels_of,
    queues_of,
    rules_of,
    winner_of,
)
from isocline.policies.scheduling.state.columns import COLUMNS, COLUMNS_WITH_RACKS, IDLE, SERVING
from isocline.policies.scheduling.state.idle_servers import all_idle
from isocline.policies.scheduling.state.longest_queue import (
    NO_ORDER,
    is_full,
    with_more_keys,
    zero_keys,
)
from isocline.policies.scheduling.state.tasks import (
    FIRST_TASKS,
    FULL,
    LEFT,
    empty_lists,
    empty_tasks,
    with_more_entries,
    with_more_tasks,
)
from isocline.policies.scheduling.state.transitions import REASONS, SchedulerState
from isocline.randomness.draws import stream
from isocline.simulate.common.growth_limit import MOST_JOBS, ExplodedError
from isocline.simulate.common.kernels.latency_histogram import BUCKETS
from isocline.simulate.common.random_streams import ARRIVALS, EVENTS, POLICY, random_stream
from isocline.simulate.common.replication import Run
from isocline.simulate.scheduling.kernels import state
from isocline.simulate.scheduling.kernels.state import no_samples
from isocline.simulate.scheduling.prepare import PreparedCluster
from isocline.simulate.scheduling.run_settings import ClusterRunSettings

FloatArray = npt.NDArray[np.float64]
ClusterRun = Run[PreparedCluster, SchedulingPolicy, ClusterRunSettings]

MOST_STARTS = 64  # after one event; a policy that is asked more often is asked again at the next


class ClusterEngine(ABC):
    """State of one run of one policy."""

    def __init__(self, run: ClusterRun):
        self.run = run
        self.prepared, self.policy, self.settings = run.prepared, run.policy, run.settings
        prepared, key = self.prepared, (self.settings.seed, run.replication)
        self.placing = random_stream(*key, ARRIVALS)
        self.events = stream(*key, EVENTS)
        self.draws = stream(*key, POLICY)
        self.timed = self.settings.percentiles
        self.sampler = prepared.sampler()
        self.scheduler, self.view = self._empty()
        self.samples = no_samples(prepared.cluster.size, prepared.beneficiaries)
        self.count = np.zeros(state.COUNTERS, np.int64)
        self.gauge = np.zeros(state.GAUGES)
        self.histogram = np.zeros(BUCKETS, np.int32)
        self.started = np.zeros(MOST_STARTS, np.int64)
        self.between = 1.0 / float(prepared.setting.rate[LOCAL])

    def _empty(self) -> tuple[SchedulerState, ClusterView]:
        prepared, policy = self.prepared, self.policy
        setting = replace(prepared.setting, slotted=self.settings.slotted)
        rack, racks = setting.rack, setting.racks
        by_data = policy.by_data or self.settings.level == "data"
        keeps_tasks = by_data or self.timed or self._keeps_tasks()
        queues = queues_of(policy, setting)
        columns = np.zeros((queues, COLUMNS if racks == 1 else COLUMNS_WITH_RACKS), np.int32)
        columns[:, SERVING] = IDLE
        capacity = FIRST_TASKS if keeps_tasks else 1
        view = ClusterView(
            columns=columns,
            rack=rack,
            racks=racks,
            rate=setting.rate,
            option=option_of(policy, setting),
            idle=all_idle(columns, rack, racks),
            longest=zero_keys(rack, racks) if policy.keeps_longest(setting) else NO_ORDER,
            tasks=empty_tasks(capacity, prepared.holders, prepared.replicas),
            lists=empty_lists(queues if keeps_tasks else 0, capacity),
            memory=memory_of(policy, setting),
            winner=winner_of(policy, setting),
        )
        scheduler = SchedulerState(
            rules=rules_of(policy, setting),
            queue_levels=queue_levels_of(policy, setting),
            binds=policy.binds,
            counts_service=policy.counts_service,
            keeps_tasks=keeps_tasks,
            by_data=by_data,
        )
        return scheduler, view

    def _keeps_tasks(self) -> bool:
        """Whether the kernel itself must keep the identity of tasks."""
        return False

    def advance(self, until: float) -> None:
        """Run to time `until`.

        Raises:
            PolicyError: The policy chose a queue or a server that does not exist, or raised.
            ExplodedError: There are more tasks than can be kept.
        """
        while (status := self._called(until)) != state.DONE:
            if status in REASONS:
                raise misused(self.policy.name, self.scheduler.rules, status)
            if self.count[state.TASKS] > MOST_JOBS:
                raise ExplodedError
            if status == state.EMPTY:
                self._refill()
            else:
                self._enlarge()

    def drain(self) -> None:
        """Run until the last task has ended, as none comes any more; raises as `advance` does."""
        self.advance(float("inf"))

    @property
    def job_latencies(self) -> FloatArray:
        """(J,) latencies of the jobs of a block trace, nan if unfinished; (0,) without one."""
        return np.zeros(0)

    @property
    def mean_work(self) -> float:
        """Mean time of all tasks at rate 1, where it is drawn in advance; else 1."""
        return 1.0

    def _called(self, until: float) -> int:
        """Call the kernel once; an exception of a user's function inside it is a PolicyError."""
        try:
            return self._kernel(until)
        except Exception as error:
            blame(self.policy.name, functions_of(self.scheduler.rules), error)
            raise

    def rehearse(self) -> None:
        """Compile everything that a run calls; the engine is of no use afterwards."""
        self.advance(0.0)
        with_more_entries(self.view.lists)
        if self.view.longest.order.size:
            is_full(self.view.longest)

    def _refill(self) -> None:
        """Draw more of the numbers that are drawn outside the kernel."""
        rows, used = self.sampler.rows, self.sampler.next_row
        if rows.size and used[0] == rows.shape[0]:
            rows[:] = self.prepared.draw(self.placing, rows.shape[0])
            used[0] = 0

    def _enlarge(self) -> None:
        tasks, lists, longest = self.view.tasks, self.view.lists, self.view.longest
        if self.scheduler.keeps_tasks and lists.mark[LEFT] == 0:
            tasks = with_more_tasks(tasks, lists, self.prepared.replicas)
        if lists.mark[FULL]:
            lists = with_more_entries(lists)
        if longest.order.size and is_full(longest):
            longest = with_more_keys(longest)
        self.view = self.view._replace(tasks=tasks, lists=lists, longest=longest)

    @abstractmethod
    def _kernel(self, until: float) -> int: ...
