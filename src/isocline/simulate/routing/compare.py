"""`isocline simulate`: fair comparison of several policies on one system.

All policies get the same arrivals and sizes, the warm-up is given or found, a run too short is
refused, a policy without a steady state is called unstable, and a bound stands beside every mean.
A trace is replayed until its last job has left, whatever its load.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from isocline.arguments import ABOVE_0, NOT_NEGATIVE, POSITIVE, SHARE, at_least, checked, in_words
from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import Patience, Trace, arrival_law, patience_of
from isocline.policies.parse import Function, routing_policy
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.common.adaptive_runs import Round, chosen_policies, repeated
from isocline.simulate.common.executor import Progress, silent
from isocline.simulate.common.slotted_clock import Clock, Law, slots_of
from isocline.simulate.routing.analysis import judge
from isocline.simulate.routing.changing_fleet import horizon_for, require_same_places
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.event_budget import BUDGET, Budget, events_of
from isocline.simulate.routing.failure import Failure
from isocline.simulate.routing.layers import in_layers, label_of
from isocline.simulate.routing.learned_policy import with_learned
from isocline.simulate.routing.own_traffic import require_true_means
from isocline.simulate.routing.prepare import Discipline, Prepared, prepare, prepared_with
from isocline.simulate.routing.replications import Replications
from isocline.simulate.routing.results import Comparison, Sweep
from isocline.simulate.routing.run_settings import Run
from isocline.simulate.routing.scenario import Scenario, require_same_trace, scenario, with_changes
from isocline.simulate.routing.slowdown import Slowdown, require_backends
from isocline.theory.routing.equilibrium import fluid_optimum

if TYPE_CHECKING:
    from isocline.learn.learner import Learning

DEFAULT_POLICIES = ("gmsr", "least_expected_latency", "weighted_least_connections", "jsq", "random")
# A default run is long enough for a 1 % half-width at moderate load, and for fleets of any size
# goes on for 200 times the mean latency, so that a start from empty is forgotten.
DEFAULT_JOBS = 200_000
DEFAULT_LATENCIES = 200.0


@checked(
    patience=in_words("a string such as 'exponential:mean=2', or 'none'"),
    arrivals=in_words("a string such as 'gamma:cv=3'"),
    deadline=POSITIVE,
    time_scale=POSITIVE,
    load=POSITIVE,
    horizon=POSITIVE,
    warmup=NOT_NEGATIVE,
    replications=at_least(2),
    precision=SHARE,
    seed=at_least(0),
    slot=POSITIVE,
    scale=POSITIVE,
    threads=at_least(1),
    budget=ABOVE_0,
)
def simulate(
    system: RoutingSystem,
    policies: Sequence[str | RoutingPolicy | Function] = DEFAULT_POLICIES,
    *,
    trace: Trace | None = None,
    arrivals: str | None = None,
    patience: str | Patience | None = None,
    deadline: float | None = None,
    time_scale: float = 1.0,
    load: float | None = None,
    horizon: float | None = None,
    warmup: float | None = None,
    replications: int = 10,
    precision: float | None = None,
    seed: int = 0,
    start: Literal["empty", "fluid"] = "empty",
    discipline: Discipline = "ps",
    clock: Clock = "continuous",
    slot: float | None = None,
    departures: Law | None = None,
    scale: float = 1.0,
    delay: Delay | None = None,
    layers: str | RoutingPolicy | Function | None = None,
    learn: "Learning | None" = None,
    slowdowns: Sequence[Slowdown] = (),
    changes: Sequence[tuple[float, RoutingSystem]] = (),
    failures: Sequence[Failure] = (),
    percentiles: bool = True,
    threads: int | None = None,
    budget: float = BUDGET,
    progress: Progress = silent,
) -> Comparison:
    """Compare policies on one system.

    Args:
        system: Frontends, backends and who may use whom.
        policies: Names as on the command line, policies, or functions `choose(candidates, view,
            now, rng) -> edge`; the first is what others are compared with.
        trace: Requests to replay in place of the system's own arrivals; by default the system's own
            trace, if its file names one.
        arrivals: A law for all frontends, also those of `changes`, in place of their own, each at
            its own mean rate, such as `gamma:cv=3`; see docs/system-files.md.
        patience: How long after its arrival a job gives up, in place of the system's own, such as
            `exponential:mean=2` (s) or `deterministic:mean=2`; `none` for none. Every load has a
            steady state then, and there is no bound.
        deadline: s. A latency above it counts as late; the job stays.
        time_scale: How many times as fast the arrivals come.
        load: Scale the arrivals to this share of what can be served, in place of `time_scale`.
        horizon: Length of each replication, s, warm-up included; by default long enough for
            200 000 jobs and longer where that proves too short, or the length of the trace.
        warmup: What to discard at the start, s; None finds it by MSER-5, or discards nothing where
            arrival rates change with time: a trace, or piecewise-constant rates.
        replications: Independent runs, at least 2.
        precision: Add replications until the 95 % interval of every mean latency is within this
            relative half-width.
        seed: Key of all randomness.
        start: From empty backends, or from the (rounded) fluid optimum.
        discipline: `ps` serves all jobs of a backend at once; `fcfs`, for servers curves, as many
            as there are servers, in order of arrival.
        clock: `slotted` is the model of the GMSR paper as printed: see docs/clocks.md.
        slot: Length of a slot at scale 1, s; by default 1, or the longest of 1, 2, 5 x 10^-k that
            the curves admit.
        departures: The law of the departures in a slot: `bernoulli`, `binomial` or `poisson`; by
            default Bernoulli where the slot admits it, else binomial.
        scale: Simulate `system.enlarged(scale)` (GMSR paper, Section 5), in which a job weighs
            1 / scale: numbers of jobs come in units of scale jobs, latencies are what they are.
        delay: How long jobs travel, and how late what frontends know is; needs Poisson arrivals and
            exponential sizes. Travel counts in latencies, and in the bound.
        layers: Route to a pool by each of `policies`, and within it by this one; `flat` opens the
            pools to the frontends. By default a pool serves at its curve, as if balanced perfectly.
        learn: Beside each policy that looks at curves, the same one learning them; see
            docs/learning.md.
        slowdowns: Backends that change their speed during the run.
        changes: Times, s, from which on the system is another: rates, curves, backends and edges
            may all differ, as in `fluid`. A backend that is missing serves what it has left. There
            is no bound for a fleet that changes.
        failures: Backends that are gone from a time on, with their jobs, which are lost or sent
            again. A backend comes back with a system in `changes` that has it.
        percentiles: Time every job; without, means come at about twice the speed.
        threads: By default one per core; results do not depend on it.
        budget: Refuse to run more events than this, in all replications of all policies.
        progress: Told after each replication.

    Raises:
        InfeasibleError: The load cannot be served by any policy, and there is no trace that ends;
            names the violated set.
        RunTooShortError: The run is too short for its own warm-up, or has too few jobs.
        PolicyError: A policy is unknown, or misbehaves.
        UsageError: An argument is out of range, or the run would take more events than `budget`.
    """
    if layers is not None and policies is DEFAULT_POLICIES:
        policies = [name for name in policies if name != "random"]  # has no table to sum over pools
    chosen, labels = chosen_policies(policies, routing_policy)
    if layers is not None:
        system, chosen = in_layers(system, chosen, layers)
        labels = [label_of(label, layers) for label in labels]
    if arrivals is not None:
        system, changes = _with_law(system, changes, arrivals, trace)
    system, changes = _with_patience(system, changes, patience)
    given = trace
    scene = scenario(system, trace, time_scale, load)
    trace = scene.trace
    interrupted = scene.system.patience is not None or bool(failures)
    _require_followed(scene.system.patience, {"learn": learn, "delay": delay}, chosen, clock)
    _require_queues(scene.system.patience, discipline)
    if changes or failures:
        _require_alone({"layers": layers, "learn": learn, "delay": delay}, chosen, clock)
        if given is None:
            require_same_trace(system, changes)
        horizon = horizon_for(changes, failures) if horizon is None and trace is None else horizon
        before = given if given is not None else system.trace
        until = scene.trace.length if scene.trace else horizon
        scene = with_changes(scene, changes, before, until, failures, scale)
        trace = scene.trace
    replays = trace is not None
    cut = slots_of(clock, scene.system, scale, slot, departures, discipline, replays)
    if scene.load >= 1.0 and start == "fluid":
        raise UsageError(
            f"start fluid: at load {scene.load:.3g} no optimum can serve what comes; leave it out"
        )
    if scene.fleet is None:
        prepared = prepare(scene.system, discipline, scale, ends=replays or interrupted)
    else:
        require_same_places(scene.fleet, discipline)
        prepared = prepared_with(scene.system, scene.fleet.optimum, discipline).one_row_each()
    if delay is not None:
        from isocline.simulate.routing.delayed_engine import delayed  # noqa: PLC0415 - as in `replicate`

        lacking = {"trace": trace, "clock": cut, "learn": learn, "slowdowns": slowdowns or None}
        used = [name for name, option in lacking.items() if option is not None]
        prepared = delayed(prepared, delay, used, chosen)
    scene, prepared = _changing(scene, prepared, slowdowns)
    chosen, labels = with_learned(chosen, labels, prepared.setting, learn)
    percentiles |= learn is not None  # learning times every job: so do all, on the same arrivals
    if warmup is None and not scene.steady:
        warmup = 0.0  # MSER-5 would take the first change of the rate for the start's transient
    run = _run(prepared, scene.trace, horizon, warmup, seed, start, percentiles)
    run = replace(run, drain=scene.ends)
    # For all policies, so that all see the same.
    listed = interrupted or any(policy.may_hold for policy in chosen)
    run = replace(run, slots=cut, scale=scale, listed=listed, slowdowns=tuple(slowdowns))
    if scene.fleet is not None:
        run = replace(run, changes=scene.fleet.changes, failures=scene.fleet.failures)
    run = replace(run, interrupted=interrupted, deadline=deadline)
    # A fleet that changes has no steady state that could be missed, and with patience all have one.
    exempt = scene.fleet is not None or scene.system.patience is not None
    doomed = [[] if exempt else _overloaded(prepared, policy) for policy in chosen]
    # Whatever comes to an end can be run to it.
    alive = [i for i, names in enumerate(doomed) if replays or not names]
    policies_run = [chosen[i] for i in alive]

    _require_true_means(scene, prepared, run)

    def begin(factor: float) -> Round[Comparison]:
        longer = replace(run, horizon=factor * run.horizon)
        limit = Budget(
            events_of(prepared, longer, scene.trace),
            longer.horizon,
            len(policies_run),
            budget,
            length_is_given=horizon is not None or replays,
        )
        limit.allow(replications)
        work = Replications(
            prepared, policies_run, longer, scene.trace, threads, progress, limit.allow
        )
        return work, lambda: judge(scene, work, labels, alive, doomed)

    return repeated(begin, replications, precision, horizon is not None or trace is not None)


def _require_true_means(scene: Scenario, prepared: Prepared, run: Run) -> None:
    """Raise UsageError if sampled arrivals differ from the means used for load and bound."""
    if scene.trace is None and scene.fleet is None:
        require_true_means(prepared.system, run.seed, run.horizon)


def _with_patience(
    system: RoutingSystem,
    changes: Sequence[tuple[float, RoutingSystem]],
    patience: str | Patience | None,
) -> tuple[RoutingSystem, Sequence[tuple[float, RoutingSystem]]]:
    """Replace the systems' patience by this one; None leaves it."""
    if patience is None:
        return system, changes
    known = patience_of(patience) if isinstance(patience, str) else patience
    later = [(time, replace(other, patience=known)) for time, other in changes]
    return replace(system, patience=known), later


def _require_followed(
    patience: Patience | None,
    used: Mapping[str, object],
    policies: Sequence[RoutingPolicy],
    clock: Clock,
) -> None:
    """Raise UsageError for options without an engine for jobs which give up."""
    if patience is None:
        return
    found = [name for name, option in used.items() if option]
    found += ["the slotted clock"] if clock == "slotted" else []
    found += [f"{policy.name}, which holds jobs" for policy in policies if policy.may_hold]
    if found:
        raise UsageError(
            f"patience cannot be simulated with {found[0]}; leave one of the two out, as with "
            "--patience none"
        )


def _require_queues(patience: Patience | None, discipline: Discipline) -> None:
    """Raise UsageError if no job ever waits for its service to start."""
    if patience is not None and patience.until == "start" and discipline == "ps":
        raise UsageError(
            "patience until=start: with discipline ps every job starts at once; give discipline "
            "fcfs, or until=end"
        )


def _require_alone(
    used: Mapping[str, object],
    policies: Sequence[RoutingPolicy],
    clock: Clock,
) -> None:
    """Raise UsageError for options that exclude a fleet that changes."""
    found = [name for name, option in used.items() if option]
    found += ["the slotted clock"] if clock == "slotted" else []
    found += [f"{policy.name}, which holds jobs" for policy in policies if policy.may_hold]
    if found:
        raise UsageError(
            f"a fleet that changes cannot be simulated with {found[0]}; leave one of the two out"
        )


def _with_law(
    system: RoutingSystem,
    changes: Sequence[tuple[float, RoutingSystem]],
    arrivals: str,
    trace: Trace | None,
) -> tuple[RoutingSystem, Sequence[tuple[float, RoutingSystem]]]:
    """Replace the law of arrivals at every frontend, at its own rate."""
    if trace is not None:
        raise UsageError(
            f"arrivals {arrivals}: a trace has its own times; leave one of the two out"
        )
    law = arrival_law(arrivals)
    later = [(time, replace(other.with_arrivals(law), trace=None)) for time, other in changes]
    return replace(system.with_arrivals(law), trace=None), later


@checked(loads=POSITIVE)
def sweep(
    system: RoutingSystem,
    policies: Sequence[str | RoutingPolicy | Function] = DEFAULT_POLICIES,
    *,
    loads: Sequence[float],
    **options: Any,
) -> Sweep:
    """`simulate` at several loads, lowest first; takes its other options.

    Raises:
        InfeasibleError: At the highest load; found before any other is simulated. Not of a trace.
    """
    if len(loads) == 0:
        raise UsageError("loads []: give at least one, as a share of what can be served")
    patience = options.get("patience")
    stays = patience == "none" or (patience is None and system.patience is None)
    if stays and options.get("trace") is None and system.trace is None:
        fluid_optimum(scenario(system, load=max(loads)).system)
    one_each = [simulate(system, policies, load=load, **options) for load in sorted(loads)]
    return Sweep(tuple(one_each))


def _run(
    prepared: Prepared,
    trace: Trace | None,
    horizon: float | None,
    warmup: float | None,
    seed: int,
    start: Literal["empty", "fluid"],
    percentiles: bool,
) -> Run:
    """Run: a trace once from its start, anything else to a horizon."""
    if trace is not None:
        until = trace.length if horizon is None else min(horizon, trace.length)
        return Run(until, warmup or 0.0, seed, start, percentiles)
    rate = float(prepared.system.rates.sum())
    latency = prepared.least_jobs / rate + (prepared.delay.lag if prepared.delay else 0.0)
    default = max(DEFAULT_JOBS / rate, DEFAULT_LATENCIES * latency)
    length = default if horizon is None else horizon
    return Run(length, warmup, seed, start, percentiles)


def _changing(
    scene: Scenario, prepared: Prepared, slowdowns: Sequence[Slowdown]
) -> tuple[Scenario, Prepared]:
    """Backends that change their speed have curves of their own, and no steady state."""
    if not slowdowns:
        return scene, prepared
    require_backends(slowdowns, [backend.name for backend in scene.system.backends])
    return replace(scene, slowdowns=tuple(slowdowns)), prepared.one_row_each()


def _overloaded(prepared: Prepared, policy: RoutingPolicy) -> list[str]:
    """Return the backends that a policy with fixed shares sends more than they can serve."""
    shares = policy.shares(prepared.setting)
    if shares is None:
        return []
    graph, system = prepared.system.graph, prepared.system
    inflow = np.bincount(graph.sink, shares * system.rates[graph.source], minlength=graph.sinks)
    over = inflow >= system.capacities
    return [b.name for b, too_much in zip(system.backends, over, strict=True) if too_much]
