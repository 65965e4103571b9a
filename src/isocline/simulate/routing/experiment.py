"""Experiment of the routing simulator: policies on one prepared system, from runs to a result."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Event
from typing import final

import numpy as np

from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.common.adaptive_runs import Experiment
from isocline.simulate.common.executor import OrderedExecutor
from isocline.simulate.common.measured import Measured
from isocline.simulate.common.replication import Run
from isocline.simulate.common.steady_state import Verdict, require_arrivals, verdict_on
from isocline.simulate.routing.engines import RoutingRun
from isocline.simulate.routing.estimates import relative_work, summary, unstable
from isocline.simulate.routing.lower_bound import Bound, least_job_seconds, least_with_hindsight
from isocline.simulate.routing.mean_field_check import mean_field_check
from isocline.simulate.routing.prepare import Prepared
from isocline.simulate.routing.replicate import Replication, rehearse, replicate
from isocline.simulate.routing.results import Comparison, PolicyResult
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.scenario import Scenario

Work = OrderedExecutor[RoutingRun, Replication]


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class RoutingExperiment(Experiment[RunSettings, RoutingRun, Replication, Comparison]):
    """Routing policies on one system at one load."""

    scene: Scenario
    prepared: Prepared
    policies: Mapping[str, RoutingPolicy]  # by name in tables
    unstable: frozenset[str]  # by theory, and so not run
    overloaded: Mapping[str, Sequence[str]]  # backends that theory says a policy overloads

    @property
    def _alive(self) -> dict[str, RoutingPolicy]:
        return {n: policy for n, policy in self.policies.items() if n not in self.unstable}

    @property
    def runs(self) -> list[RoutingRun]:
        return [Run(self.prepared, policy, self.settings) for policy in self._alive.values()]

    @property
    def events(self) -> float:
        return events_of(self.prepared, self.settings)

    @staticmethod
    def rehearse(run: RoutingRun) -> None:
        rehearse(run)

    @staticmethod
    def replicate(run: RoutingRun, stop: Event) -> Replication | None:
        return replicate(run, stop)

    def analyse(self, work: Work) -> Comparison:
        scene, prepared, settings = self.scene, self.prepared, self.settings
        names = [backend.name for backend in scene.system.backends]
        kept = dict(zip(self._alive, work.kept, strict=True))
        verdict = verdict_on(
            kept,
            settings,
            # With patience every policy has a steady state; a number that still rises is of a
            # short run. Else, where rates change, it follows the arrivals.
            may_grow=scene.steady and scene.system.patience is None,
            steady=scene.steady,
            words=("jobs", " or --start fluid"),
        )
        parts = {
            name: Measured(reps, settings.ends, verdict.skip)
            for name, reps in verdict.stable.items()
        }
        bound = self._bound(list(parts.values()))
        first = parts.get(next(iter(self.policies)))
        results: list[PolicyResult] = []
        for number, name in enumerate(self.policies):
            if name in parts:
                result = summary(
                    name,
                    parts[name],
                    first if number else None,
                    Run(prepared, self.policies[name], settings),
                    bound,
                    # Where jobs leave unfinished, less is served than comes, and where a load
                    # stops a backend, less than its curve says.
                    known_means=prepared.memoryless
                    and scene.steady
                    and not settings.interrupted
                    and prepared.eviction is None,
                    overloaded=self._beyond(parts[name]) or self.overloaded[name],
                )
            else:
                reps = kept.get(name, [])
                result = unstable(name, reps, names, self.overloaded[name], settings.scale)
            if result.status == "stable" and self._has_one_law:
                check = mean_field_check(prepared, self.policies[name])
                result = replace(result, mean_field=check)
            results.append(result)
        return self._comparison(work, tuple(results), verdict, bound)

    @property
    def _has_one_law(self) -> bool:
        """Whether rates, curves and clock are those of the system from beginning to end."""
        settings = self.settings
        return (
            self.scene.steady
            and self.scene.fleet is None
            and not settings.slowdowns
            and not settings.interrupted
            and settings.slots is None
        )

    def _beyond(self, part: Measured[Replication]) -> Sequence[str]:
        """Backends that are the first with too much, where more comes than all can serve.

        With prefix caches the work that comes is that of the policy.
        """
        if not self.scene.overloaded:
            return ()
        works = 1.0 if self.prepared.caches is None else float(relative_work(part).mean())
        return self.scene.bottleneck if self.scene.load * works >= 1.0 else ()

    def _bound(self, parts: Sequence[Measured[Replication]]) -> Bound:
        """Lower bound for all policies; `parts` are those of the policies that have figures."""
        prepared, settings = self.prepared, self.settings
        if self.scene.fleet is not None or self.scene.system.patience is not None:
            # While a fleet changes, none is known; jobs that give up make L and W as small as you
            # like.
            return Bound(math.nan, math.nan, None)
        if settings.drain and parts:
            return self._bound_of_listed(parts)
        rates = prepared.system.rates
        least = prepared.least_jobs
        return Bound(least / float(rates.sum()), least / settings.scale, None, "mean rate")

    @cached_property
    def _hindsight(self) -> Bound | None:
        """The least of all that replay the trace; None without one, or where it is not known.

        The jobs whose latency is measured after a warm-up are not the same under all policies.
        """
        whole = self.prepared.trace is not None and not self.settings.warmup
        if self.prepared.trace is None or not whole or self.scene.slowdowns:
            return None
        if self.prepared.system.has_caches:  # what is work depends on where jobs go
            return None
        return least_with_hindsight(
            self.prepared.system, self.prepared.trace, self.settings.horizon
        )

    def _bound_of_listed(self, parts: Sequence[Measured[Replication]]) -> Bound:
        """The largest that is known, of jobs that are all served."""
        known = self._bound_of_drained(parts)
        best = self._hindsight
        if best is None or best.latency < known.latency:
            return known
        # Of jobs that have sizes it is one of a fluid, and not printed where a policy refutes it.
        rate = float(self.prepared.system.rates.sum())
        least = min(float(part.latencies(rate).mean()) for part in parts)
        return known if best.kind != "hindsight" and best.latency > least else best

    def _bound_of_drained(self, parts: Sequence[Measured[Replication]]) -> Bound:
        """The largest that holds for all parts, by when the work of each was done.

        One holds for all policies that are done as early as the one that it is for. For the others
        it is seen to hold, or the next one is tried; the last is that of those that were done last.
        """
        system, settings, slowdowns = self.prepared.system, self.settings, self.scene.slowdowns
        require_arrivals(int(parts[0].total("arrivals").min()), settings, "jobs")
        rate = float(system.rates.sum())
        least = min(float(part.latencies(rate).mean()) for part in parts)
        count = np.max([part.total("timed") for part in parts], axis=0)
        ends = settings.horizon + np.array([[rep.after for rep in part.reps] for part in parts])
        # Listed jobs have the same work under every policy. Else the least is a bound for all.
        work_of = np.min([[rep.work for rep in part.reps] for part in parts], axis=0)
        for done in (*sorted(ends, key=lambda row: float(row.mean())), ends.max(axis=0)):
            seconds = [
                least_job_seconds(system, served, slowdowns, parts[0].begin, end)
                for served, end in zip(work_of, done.tolist(), strict=True)
            ]
            latency = float(np.mean(seconds / count))
            if latency <= least:
                break
        jobs = float(np.mean(seconds)) / parts[0].length
        return Bound(latency, jobs / settings.scale, float(done.max()), "mean rate")

    def _comparison(
        self,
        work: Work,
        results: tuple[PolicyResult, ...],
        verdict: Verdict[Replication],
        bound: Bound,
    ) -> Comparison:
        scene, settings, skip = self.scene, self.settings, verdict.skip
        patience = scene.system.patience
        return Comparison(
            system=scene.system.name,
            source=settings.slots.source if settings.slots else scene.source,
            backends=tuple(backend.name for backend in scene.system.backends),
            load=scene.load,
            lower_bound=bound.jobs,
            lower_bound_latency=bound.latency,
            policies=results,
            times=settings.ends,
            horizon=settings.horizon,
            warmup=float(settings.ends[skip - 1]) if skip else 0.0,
            warmup_rule="MSER-5" if settings.warmup is None else "given",
            replications=work.count,
            seed=settings.seed,
            interrupted=work.interrupted,
            scale=settings.scale,
            slot=settings.slots.length if settings.slots else None,
            departures=settings.slots.law if settings.slots else None,
            delay=self.prepared.delay,
            lower_bound_kind=bound.kind,
            lower_bound_reached=bound.reached,
            finished_by=bound.finished_by,
            patience=patience.in_words if patience else None,
            deadline=settings.deadline,
            beyond_capacity=scene.overloads,
            percentiles=settings.percentiles,
            caches=self.prepared.caches,
            block_size=scene.system.block_size if self.prepared.caches else None,
            eviction=self.prepared.eviction,
        )


def events_of(prepared: Prepared, settings: RunSettings) -> float:
    """Estimate the number of events of one replication of one policy."""
    system, trace, horizon = prepared.system, prepared.trace, settings.horizon
    arrivals = float(system.rates.sum())
    if trace is not None:
        return 2.0 * trace.times.size * min(horizon / trace.length, 1.0)
    if settings.slots is not None:  # a slot costs as much as an event at each backend
        each = horizon / settings.slots.length
        return each * system.graph.sinks + 2.0 * arrivals * horizon
    if settings.listed or not prepared.memoryless or prepared.eviction is not None:
        return 2.0 * arrivals * horizon
    # Possible departures come at the peak rates, whether a job leaves or not.
    rate = arrivals + float(system.capacities.sum())
    if prepared.delay is not None:
        every = prepared.delay.every
        rate += 3.0 * arrivals + (system.graph.sinks / every if every else 0.0)
    return rate * horizon
