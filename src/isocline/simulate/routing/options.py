"""Options of a routing simulation, and the experiment that they make of a system."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import Patience, Trace, arrival_law, patience_of
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.common.engine_choice import Feature
from isocline.simulate.common.run_settings import Clock, usual_horizon
from isocline.simulate.routing.cache_knowledge import CacheKnowledge
from isocline.simulate.routing.changing_fleet import horizon_for, require_same_places
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.engine_choice import require_engine
from isocline.simulate.routing.experiment import RoutingExperiment
from isocline.simulate.routing.failure import Failure
from isocline.simulate.routing.kernels.departures import Law
from isocline.simulate.routing.learned_policy import with_learned
from isocline.simulate.routing.overload import overloaded_by
from isocline.simulate.routing.own_traffic import require_true_means
from isocline.simulate.routing.prepare import (
    Discipline,
    Eviction,
    Prepared,
    laws_of,
    prepare,
    prepared_with,
)
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.scenario import Scenario, require_same_trace, scenario, with_changes
from isocline.simulate.routing.slotted_clock import slots_of
from isocline.simulate.routing.slowdown import Slowdown, factors_at, require_backends

if TYPE_CHECKING:
    from isocline.learn.learner import Learning


@final
@dataclass(frozen=True)
class Traffic:
    """Arrivals and patience in place of the system's own."""

    trace: Trace | None = None
    arrivals: str | None = None  # a law for all frontends, each at its own mean rate
    patience: str | Patience | None = None
    time_scale: float = 1.0
    load: float | None = None  # in place of `time_scale`

    def on(self, system: RoutingSystem) -> RoutingSystem:
        """The system with these arrivals and this patience.

        Raises:
            UsageError: A law is given beside a trace, or is unknown.
        """
        if self.arrivals is not None:
            if self.trace is not None:
                raise UsageError(
                    f"arrivals {self.arrivals}: a trace has its own times; leave one of the two out"
                )
            law = arrival_law(self.arrivals)
            system = replace(system.with_arrivals(law), trace=None)
        if self.patience is None:
            return system
        known = patience_of(self.patience) if isinstance(self.patience, str) else self.patience
        return replace(system, patience=known)


@final
@dataclass(frozen=True)
class Length:
    """Length of each replication, its randomness, and whether every job is timed."""

    horizon: float | None = None  # s
    warmup: float | None = None  # s
    seed: int = 0
    percentiles: bool = True
    common: bool = False  # jobs are listed, the same for another system with the same seed


@final
@dataclass(frozen=True)
class TimeOptions:
    """Clock, and the scale of the system."""

    clock: Clock = "continuous"
    slot: float | None = None  # s, at scale 1
    departures: Law | None = None
    scale: float = 1.0


@final
@dataclass(frozen=True)
class Changes:
    """Changes of the fleet during a run."""

    slowdowns: tuple[Slowdown, ...] = ()
    systems: tuple[tuple[float, RoutingSystem], ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def of_fleet(self) -> bool:
        """Whether the fleet itself changes, and not the speed of its backends alone."""
        return bool(self.systems or self.failures)


@final
@dataclass(frozen=True)
class Model:
    """Service of jobs, and knowledge of frontends."""

    discipline: Discipline = "ps"
    start: Literal["empty", "fluid"] = "empty"
    delay: Delay | None = None
    learn: "Learning | None" = None
    deadline: float | None = None  # s
    layers: bool = False
    caches: CacheKnowledge = field(default_factory=CacheKnowledge)
    eviction: Eviction = "price"  # of models


@final
@dataclass(frozen=True)
class Options:
    """All options of a comparison that decide its figures."""

    traffic: Traffic = field(default_factory=Traffic)
    length: Length = field(default_factory=Length)
    time: TimeOptions = field(default_factory=TimeOptions)
    changes: Changes = field(default_factory=Changes)
    model: Model = field(default_factory=Model)


def experiment_of(
    system: RoutingSystem, policies: Mapping[str, RoutingPolicy], options: Options
) -> RoutingExperiment:
    """Prepare a system, and what is to be simulated on it.

    Raises:
        InfeasibleError: The load cannot be served by any policy, and there is no trace that ends.
        UsageError: Options contradict each other, or no engine runs them together.
    """
    traffic, time, model, changes = options.traffic, options.time, options.model, options.changes
    system = traffic.on(system)
    later = [(since, traffic.on(other)) for since, other in changes.systems]
    scene = scenario(system, traffic.trace, traffic.time_scale, traffic.load)
    _require_possible(scene, policies, options)
    horizon = options.length.horizon
    if changes.of_fleet:
        if traffic.trace is None:
            require_same_trace(system, later)
        if horizon is None and scene.trace is None:
            horizon = horizon_for(later, changes.failures)
        before = traffic.trace if traffic.trace is not None else system.trace
        until = scene.trace.length if scene.trace else horizon
        scene = with_changes(scene, later, before, until, changes.failures, time.scale)
    slots = slots_of(time.clock, scene.system, time.scale, time.slot, time.departures)
    if scene.load >= 1.0 and model.start == "fluid":
        raise UsageError(
            f"start fluid: at load {scene.load:.3g} no optimum can serve what comes; leave it out"
        )
    interrupted = scene.system.patience is not None or bool(changes.failures)
    prepared = _prepared(scene, options, interrupted)
    scene = replace(scene, slowdowns=changes.slowdowns)
    policies = with_learned(policies, prepared.setting, model.learn)
    settings = RunSettings(
        _length(prepared, horizon),
        warmup=_warmup(scene, options.length.warmup),
        seed=options.length.seed,
        # Learning times every job: so do all, on the same arrivals.
        percentiles=options.length.percentiles or model.learn is not None,
        drain=scene.ends,
        start=model.start,
        slots=slots,
        slowdowns=changes.slowdowns,
        changes=scene.fleet.changes if scene.fleet else (),
        failures=scene.fleet.failures if scene.fleet else (),
        # For all policies, so that all see the same.
        listed=interrupted
        or options.length.common
        or any(policy.may_hold for policy in policies.values()),
        scale=time.scale,
        interrupted=interrupted,
        deadline=model.deadline,
    )
    if scene.trace is None and scene.fleet is None:
        # Else the load and the bound are not those of the stated means.
        require_true_means(prepared.system, settings.seed, settings.horizon)
    at_first, at_last = (
        {name: _overloaded(policy, scene, prepared, last) for name, policy in policies.items()}
        for last in (False, True)
    )
    ends = scene.trace is not None or scene.fleet is not None
    return RoutingExperiment(
        settings=settings,
        length_is_given=options.length.horizon is not None or scene.trace is not None,
        scene=scene,
        prepared=prepared,
        policies=policies,
        unstable=frozenset(name for name, names in at_first.items() if names and not ends),
        overloaded={name: at_first[name] or at_last[name] for name in policies},
    )


def _overloaded(
    policy: RoutingPolicy, scene: Scenario, prepared: Prepared, last: bool
) -> list[str]:
    """Backends that a policy with fixed shares overloads: at first, or as things last.

    While a fleet changes only what lasts matters; jobs that give up leave every policy stable.
    """
    if scene.system.patience is not None or (scene.fleet is not None and not last):
        return []
    names = [backend.name for backend in prepared.system.backends]
    rates, capacities = prepared.system.rates, prepared.system.capacities
    if scene.fleet is not None:
        rates, capacities = scene.fleet.lasting
    if prepared.caches is not None:
        rates = rates * float(prepared.least_work.mean())
    if last:
        capacities = capacities / np.array(factors_at(scene.slowdowns, names, math.inf))
    return [names[b] for b in overloaded_by(policy, prepared.setting, rates, capacities)]


def _require_possible(
    scene: Scenario, policies: Mapping[str, RoutingPolicy], options: Options
) -> None:
    """Raise UsageError for options that no engine runs together, or that mean nothing together."""
    changes, model, time, patience = (
        options.changes,
        options.model,
        options.time,
        scene.system.patience,
    )
    holding = [policy.name for policy in policies.values() if policy.may_hold]
    require_engine(
        {
            Feature.PATIENCE: patience is not None,
            Feature.CHANGES: changes.of_fleet,
            Feature.FAILURES: bool(changes.failures),
            Feature.DELAY: model.delay is not None,
            Feature.LEARNING: model.learn is not None,
            Feature.SLOWDOWNS: bool(changes.slowdowns),
            Feature.LAYERS: model.layers,
            Feature.HOLDING: f"{holding[0]}, which holds jobs" if holding else False,
            Feature.LISTED: "common arrivals" if options.length.common else False,
            Feature.SLOTTED: time.clock == "slotted",
            Feature.CONTINUOUS: time.clock == "continuous",
            Feature.TRACE: scene.trace is not None,
            Feature.LAWS: laws_of(scene.system),
            Feature.CACHES: _caches(scene),
            Feature.MODELS: scene.system.has_residency,
            Feature.ZONES: scene.system.ways.size > 0,
            Feature.FCFS: model.discipline == "fcfs",
        }
    )
    if model.caches != CacheKnowledge() and not _caches(scene):
        raise UsageError(
            "cache knowledge and output lengths: no prefix cache is simulated; give the backends a "
            "prefix_cache and replay a trace with prompts, or leave these out"
        )
    if model.eviction != "price" and not scene.system.has_residency:
        raise UsageError(
            f"eviction {model.eviction}: no backend has a memory for models; give models and a "
            "memory, or leave this out"
        )
    if scene.trace is not None and time.scale != 1.0:
        raise UsageError(
            f"scale {time.scale:g}: a trace has the jobs that it has; leave out --scale"
        )
    if patience is not None and patience.until == "start" and model.discipline == "ps":
        raise UsageError(
            "patience until=start: with discipline ps every job starts at once; give discipline "
            "fcfs, or until=end"
        )


def _prepared(scene: Scenario, options: Options, interrupted: bool) -> Prepared:
    """The system as kernels need it."""
    model, slowdowns = options.model, options.changes.slowdowns
    if scene.fleet is not None:
        require_same_places(scene.fleet, model.discipline)
        prepared = prepared_with(scene.system, scene.fleet.optimum, model.discipline).one_row_each()
    else:
        ends = scene.trace is not None or interrupted
        prepared = prepare(scene.system, model.discipline, options.time.scale, ends=ends)
    if slowdowns:  # a backend that changes its speed has a curve of its own
        require_backends(slowdowns, [backend.name for backend in scene.system.backends])
        prepared = prepared.one_row_each()
    prepared = replace(prepared, delay=model.delay, trace=scene.trace)
    if scene.system.has_residency:
        _ = scene.system.model_shares  # raises UsageError before anything runs
        prepared = replace(prepared, eviction=model.eviction)
    if not _caches(scene):
        return prepared
    named = None if scene.fleet is None else scene.fleet.named
    prepared = replace(prepared, caches=model.caches, named=named)
    _ = prepared.prompts  # raises UsageError before anything runs
    return prepared


def _caches(scene: Scenario) -> bool:
    """Whether prefix caches play a part: only requests of a trace have prompts."""
    return scene.system.has_caches and scene.trace is not None


def _length(prepared: Prepared, horizon: float | None) -> float:
    """Horizon: of a trace at most its length; else as given, or usual at this load."""
    if prepared.trace is not None:
        length = prepared.trace.length
        return length if horizon is None else min(horizon, length)
    if horizon is not None:
        return horizon
    rate = float(prepared.system.rates.sum())
    lag = prepared.delay.lag if prepared.delay else 0.0
    return usual_horizon(rate, prepared.least_jobs / rate + lag)


def _warmup(scene: Scenario, given: float | None) -> float | None:
    """Warm-up as given; 0 where rates change: MSER-5 would take the first change for the start."""
    return given if given is not None or scene.steady else 0.0
