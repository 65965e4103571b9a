"""The engines of a cluster's three kernels."""

from typing import final

import numpy as np

from isocline.draws import stream
from isocline.model.traffic import ExponentialSizes
from isocline.policies.scheduling.contract import LOCAL, SchedulingPolicy
from isocline.simulate.common.kernels.alias_tables import BITS
from isocline.simulate.common.kernels.tournament import tournament
from isocline.simulate.common.random_streams import LEAVING, SIZES, random_stream
from isocline.simulate.scheduling.engine import ClusterEngine
from isocline.simulate.scheduling.kernels import state
from isocline.simulate.scheduling.kernels.event_driven import Jobs, follow
from isocline.simulate.scheduling.kernels.lookahead import room
from isocline.simulate.scheduling.kernels.slotted import play
from isocline.simulate.scheduling.kernels.uniformised import jump
from isocline.simulate.scheduling.prepare import PreparedCluster
from isocline.simulate.scheduling.run_settings import ClusterRun

WORKS = 1 << 14  # service times, or numbers of arrivals, drawn at once


def engine_for(
    prepared: PreparedCluster, policy: SchedulingPolicy, run: ClusterRun, replication: int
) -> ClusterEngine:
    """Choose the quickest engine that can do the run."""
    if run.clock == "slotted":
        return SlottedEngine(prepared, policy, run, replication)
    memoryless = isinstance(prepared.cluster.service, ExponentialSizes)
    if memoryless and prepared.jobs is None:
        return JumpEngine(prepared, policy, run, replication)
    return TimelineEngine(prepared, policy, run, replication)


@final
class JumpEngine(ClusterEngine):
    """Engine for continuous time, Poisson arrivals and exponential service."""

    def __init__(
        self, prepared: PreparedCluster, policy: SchedulingPolicy, run: ClusterRun, replication: int
    ):
        super().__init__(prepared, policy, run, replication)
        local = float(prepared.setting.rate[LOCAL])
        servers = prepared.cluster.size * local
        arrivals = prepared.cluster.arrival_rate
        self.speed = servers + arrivals
        self.arriving = round(arrivals / self.speed * 2.0 ** (64 - BITS))
        self.speed = servers / (1.0 - self.arriving * 2.0 ** (BITS - 64))
        self.upcoming = room(self.sampler)
        self.accept = np.round(prepared.setting.rate / local * 2.0**BITS).astype(np.uint64)

    def _kernel(self, until: float) -> int:
        return jump(
            self.book,
            self.view,
            self.sampler,
            self.samples,
            self.events,
            self.draws,
            self.accept,
            self.count,
            self.gauge,
            self.histogram,
            self.started,
            self.upcoming,
            self.arriving,
            1.0 / self.speed,
            self.between,
            until,
            self.timed,
            self.timed or self.policy.waits,
        )


@final
class TimelineEngine(ClusterEngine):
    """Engine for continuous time, any law of service, Poisson arrivals or a list of jobs."""

    def __init__(
        self, prepared: PreparedCluster, policy: SchedulingPolicy, run: ClusterRun, replication: int
    ):
        super().__init__(prepared, policy, run, replication)
        self.working = random_stream(run.length.seed, replication, SIZES)
        self.works = np.zeros(WORKS)
        self.drawn = -WORKS, 0.0  # how many works, and their sum
        self.count[state.NEXT] = WORKS  # none is drawn as yet
        self.gauge[state.TICK] = -1.0  # nor the first arrival
        self.race = tournament(prepared.cluster.size)
        self.gap = 1.0 / prepared.cluster.arrival_rate
        none, listed = np.zeros(0, np.int64), prepared.jobs
        self.jobs = Jobs(np.zeros(0), none, none, none, np.zeros(0), 1)
        if listed is not None:
            self.jobs = Jobs(
                listed.time,
                listed.first,
                listed.count,
                listed.count.copy(),
                np.full(listed.time.size, np.nan),
                listed.holders.shape[1],
            )

    def _keeps(self) -> bool:
        return True

    def _refill(self) -> None:
        super()._refill()
        if self.count[state.NEXT] == WORKS:
            self.drawn = self.drawn[0] + WORKS, self.drawn[1] + float(self.works.sum())
            self.works = self.prepared.cluster.service.sample(self.working, WORKS)
            self.count[state.NEXT] = 0

    @property
    def mean_work(self) -> float:
        """Mean time that the tasks so far take at rate 1; 1 if there were none."""
        upto = int(self.count[state.NEXT])
        tasks = self.drawn[0] + upto
        return (self.drawn[1] + float(self.works[:upto].sum())) / tasks if tasks > 0 else 1.0

    def _kernel(self, until: float) -> int:
        return follow(
            self.book,
            self.view,
            self.sampler,
            self.samples,
            self.jobs,
            self.race,
            self.works,
            self.events,
            self.draws,
            self.count,
            self.gauge,
            self.histogram,
            self.started,
            self.gap,
            self.between,
            until,
            self.timed,
        )


@final
class SlottedEngine(ClusterEngine):
    """Engine for the slotted clock: arrivals of any variance, geometric service."""

    def __init__(
        self, prepared: PreparedCluster, policy: SchedulingPolicy, run: ClusterRun, replication: int
    ):
        super().__init__(prepared, policy, run, replication)
        self.leaving = stream(run.length.seed, replication, LEAVING)
        self.arriving = np.empty(WORKS, np.int64)
        self.count[state.NEXT] = WORKS  # none is drawn as yet
        self.count[state.TO_COME] = -1
        self.count[state.FREE] = prepared.cluster.size
        self.upcoming = room(self.sampler)
        self.free = np.arange(prepared.cluster.size, dtype=np.int32)
        local = float(prepared.setting.rate[LOCAL])
        self.mean_step = -1.0 / np.log1p(-local) if local < 1.0 else 0.0

    def _refill(self) -> None:
        super()._refill()
        if self.count[state.NEXT] == WORKS:
            mean = self.prepared.cluster.arrival_rate
            law = self.prepared.cluster.arrivals
            self.arriving[:] = law.sample(self.placing, mean, WORKS)
            self.count[state.NEXT] = 0

    def _kernel(self, until: float) -> int:
        return play(
            self.book,
            self.view,
            self.sampler,
            self.samples,
            self.arriving,
            self.free,
            self.upcoming,
            self.events,
            self.draws,
            self.leaving,
            self.count,
            self.gauge,
            self.histogram,
            self.mean_step,
            self.between,
            until,
            self.timed,
        )
