"""Engines of the scheduling simulator, one per kernel, and what each runs."""

from typing import final

import numpy as np

from isocline.model.cluster import Cluster
from isocline.model.traffic import ExponentialSizes
from isocline.policies.scheduling.contract import LOCAL
from isocline.randomness.draws import stream
from isocline.simulate.common.engine_choice import EngineKind, Feature, asked, chosen
from isocline.simulate.common.kernels.alias_tables import BITS
from isocline.simulate.common.kernels.tournament import tournament
from isocline.simulate.common.random_streams import LEAVING, SIZES, random_stream
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.scheduling.engine import ClusterEngine, ClusterRun, FloatArray
from isocline.simulate.scheduling.kernels import state
from isocline.simulate.scheduling.kernels.event_driven import Jobs, run_events
from isocline.simulate.scheduling.kernels.lookahead import scratch
from isocline.simulate.scheduling.kernels.slotted import run_slots
from isocline.simulate.scheduling.kernels.uniformised import run_chain

WORKS = 1 << 14  # service times, or numbers of arrivals, drawn at once


@final
class ChainEngine(ClusterEngine):
    """Engine for continuous time, Poisson arrivals and exponential service."""

    def __init__(self, run: ClusterRun):
        super().__init__(run)
        prepared = run.prepared
        local = float(prepared.setting.rate[LOCAL])
        servers = prepared.cluster.size * local
        arrivals = prepared.cluster.arrival_rate
        self.speed = servers + arrivals
        self.arriving = round(arrivals / self.speed * 2.0 ** (64 - BITS))
        self.speed = servers / (1.0 - self.arriving * 2.0 ** (BITS - 64))
        self.upcoming = scratch(self.sampler)
        self.accept = np.round(prepared.setting.rate / local * 2.0**BITS).astype(np.uint64)

    def _kernel(self, until: float) -> int:
        return run_chain(
            self.scheduler,
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
class EventEngine(ClusterEngine):
    """Engine for continuous time, any law of service, Poisson arrivals or a list of jobs."""

    def __init__(self, run: ClusterRun):
        super().__init__(run)
        prepared = run.prepared
        self.working = random_stream(run.settings.seed, run.replication, SIZES)
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

    def _keeps_tasks(self) -> bool:
        return True

    def _refill(self) -> None:
        super()._refill()
        if self.count[state.NEXT] == WORKS:
            self.drawn = self.drawn[0] + WORKS, self.drawn[1] + float(self.works.sum())
            self.works = self.prepared.cluster.service.sample(self.working, WORKS)
            self.count[state.NEXT] = 0

    @property
    def job_latencies(self) -> FloatArray:
        return self.jobs.latency

    @property
    def mean_work(self) -> float:
        upto = int(self.count[state.NEXT])
        tasks = self.drawn[0] + upto
        return (self.drawn[1] + float(self.works[:upto].sum())) / tasks if tasks > 0 else 1.0

    def _kernel(self, until: float) -> int:
        return run_events(
            self.scheduler,
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

    def __init__(self, run: ClusterRun):
        super().__init__(run)
        prepared = run.prepared
        self.leaving = stream(run.settings.seed, run.replication, LEAVING)
        self.arriving = np.empty(WORKS, np.int64)
        self.count[state.NEXT] = WORKS  # none is drawn as yet
        self.count[state.TO_ARRIVE] = -1
        self.count[state.FREE] = prepared.cluster.size
        self.upcoming = scratch(self.sampler)
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
        return run_slots(
            self.scheduler,
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


F = Feature
_COMMON = frozenset({F.LATENCIES})
# On the slotted clock services are geometric, whatever their law in continuous time.
ENGINES: tuple[EngineKind[ClusterEngine], ...] = (
    EngineKind(ChainEngine, _COMMON | {F.CONTINUOUS}),
    EngineKind(EventEngine, _COMMON | {F.CONTINUOUS, F.TRACE, F.LAWS, F.LISTED}),
    EngineKind(SlottedEngine, _COMMON | {F.SLOTTED, F.VARIANCE, F.LAWS, F.LISTED}),
)


def engine_for(run: ClusterRun) -> ClusterEngine:
    """Make the quickest engine that can do a run.

    Raises:
        UsageError: None can.
    """
    cluster, settings = run.prepared.cluster, run.settings
    features = features_of(cluster, settings.clock, run.prepared.jobs is not None)
    return chosen(ENGINES, features | asked({F.LISTED: settings.common_arrivals}))(run)


def features_of(cluster: Cluster, clock: Clock, trace: bool) -> dict[Feature, str]:
    """Features that a run of a cluster asks of its engine."""
    return asked(
        {
            F.TRACE: trace,
            F.VARIANCE: cluster.arrivals.dispersion != 1.0,
            F.SLOTTED: clock == "slotted",
            F.CONTINUOUS: clock == "continuous",
            F.LAWS: not isinstance(cluster.service, ExponentialSizes),
        }
    )
