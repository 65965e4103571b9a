"""Experiment of the scheduling simulator: policies on one cluster, from runs to a result."""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from typing import final

from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.simulate.common.adaptive_runs import Experiment
from isocline.simulate.common.executor import OrderedExecutor
from isocline.simulate.common.measured import Measured
from isocline.simulate.common.replication import Run
from isocline.simulate.common.steady_state import Verdict, verdict_on
from isocline.simulate.scheduling.engine import ClusterRun
from isocline.simulate.scheduling.estimates import Part, summary, unstable
from isocline.simulate.scheduling.lower_bound import Bound
from isocline.simulate.scheduling.prepare import PreparedCluster
from isocline.simulate.scheduling.replicate import ClusterReplication, rehearse, run_cluster
from isocline.simulate.scheduling.results import ClusterComparison, SchedulingResult
from isocline.simulate.scheduling.run_settings import ClusterRunSettings
from isocline.simulate.scheduling.scenario import ClusterScenario

Work = OrderedExecutor[ClusterRun, ClusterReplication]


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ClusterExperiment(
    Experiment[ClusterRunSettings, ClusterRun, ClusterReplication, ClusterComparison]
):
    """Scheduling policies on one cluster at one load."""

    scene: ClusterScenario
    prepared: PreparedCluster
    policies: Mapping[str, SchedulingPolicy]  # by name in tables

    @property
    def runs(self) -> list[ClusterRun]:
        if self.scene.load >= 1.0 and self.scene.jobs is None:
            return []  # by theory no policy can serve this load
        return [Run(self.prepared, policy, self.settings) for policy in self.policies.values()]

    @property
    def events(self) -> float:
        cluster, jobs, horizon = self.scene.cluster, self.scene.jobs, self.settings.horizon
        if jobs is not None:
            return 2.0 * float(jobs.count[jobs.time < horizon].sum())
        # A tick of the clock at each server for each local service, whether it is busy or not.
        return (cluster.arrival_rate + cluster.size * cluster.rates.local) * horizon

    @staticmethod
    def rehearse(run: ClusterRun) -> None:
        rehearse(run)

    @staticmethod
    def replicate(run: ClusterRun, stop: Event) -> ClusterReplication | None:
        return run_cluster(run, stop)

    def analyse(self, work: Work) -> ClusterComparison:
        scene, settings = self.scene, self.settings
        steady = scene.jobs is None  # else the number of tasks follows the trace
        kept = dict(zip(self.policies, work.kept, strict=False))
        verdict = verdict_on(kept, settings, may_grow=steady, steady=steady, words=("tasks", ""))
        parts = {
            name: Measured(reps, settings.ends, verdict.skip, uneven=True)
            for name, reps in verdict.stable.items()
        }
        bound = self._bound(parts)
        first = parts.get(next(iter(self.policies)))
        results: list[SchedulingResult] = []
        for number, (name, policy) in enumerate(self.policies.items()):
            said = name, policy.reading
            if name in parts:
                reference = first if number else None
                result = summary(said, parts[name], reference, scene, settings, bound.latency)
            else:
                names = scene.cluster.servers if kept else scene.overloaded
                result = unstable(said, kept.get(name, []), names)
            results.append(result)
        return self._comparison(work, tuple(results), verdict, bound)

    def _bound(self, parts: Mapping[str, Part]) -> Bound:
        """Lower bound for all policies; for a trace, with the service times drawn for it."""
        bound = self.scene.bound
        if self.scene.jobs is None or not parts:
            return bound
        drawn = [rep.work for rep in next(iter(parts.values())).reps]
        return bound._replace(latency=bound.latency * sum(drawn) / len(drawn))

    def _comparison(
        self,
        work: Work,
        results: tuple[SchedulingResult, ...],
        verdict: Verdict[ClusterReplication],
        bound: Bound,
    ) -> ClusterComparison:
        scene, settings, skip = self.scene, self.settings, verdict.skip
        rate = scene.cluster.arrival_rate
        return ClusterComparison(
            system=scene.cluster.name,
            source=scene.source,
            servers=scene.cluster.servers,
            load=scene.load,
            rate=rate,
            lower_bound=rate * bound.latency,
            lower_bound_latency=bound.latency,
            bound_in_words=bound.in_words,
            policies=results,
            times=settings.ends,
            clock=settings.clock,
            level=settings.level,
            trace=scene.jobs is not None,
            horizon=settings.horizon,
            warmup=float(settings.ends[skip - 1]) if skip else 0.0,
            warmup_rule="MSER-5" if settings.warmup is None else "given",
            replications=work.count,
            seed=settings.seed,
            interrupted=work.interrupted,
            percentiles=settings.percentiles,
        )
