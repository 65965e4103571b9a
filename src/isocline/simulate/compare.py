"""`isocline simulate`: several policies on one system, compared as a referee would want it.

All policies get the same arrivals and sizes, the warm-up is given or found, a run too short is
refused, a policy without a steady state is called unstable, and the bound of Lemma 1 of the GMSR
paper stands beside every mean.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from isocline.errors import RunTooShortError, UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import Trace
from isocline.policies.contract import RoutingPolicy
from isocline.policies.parse import parse
from isocline.simulate.estimates import growing_backends, summary, unstable
from isocline.simulate.prepare import Discipline, Prepared, prepare
from isocline.simulate.replicate import Replication
from isocline.simulate.replications import Progress, Replications, _silent
from isocline.simulate.results import Comparison, PolicyResult, Sweep
from isocline.simulate.run import Run
from isocline.simulate.scenario import Scenario, scenario
from isocline.simulate.statistics.stability import Trend, trend
from isocline.simulate.statistics.warmup import mser5
from isocline.theory.equilibrium import fluid_optimum

DEFAULT_POLICIES = ("gmsr", "least_expected_latency", "weighted_least_connections", "jsq", "random")
# A default run is long enough for a 1 % half-width at moderate load, and for fleets of any size
# goes on for 200 times the mean latency, so that a start from empty is forgotten.
DEFAULT_JOBS = 200_000
DEFAULT_LATENCIES = 200.0
LEAST_COMPLETIONS = 100
MOST_REPLICATIONS = 1000
# A length of our own choosing that proves too short is ours to mend: 4, 16, 64 times as long.
LENGTHENING, MOST_LENGTHENINGS = 4.0, 3


def simulate(
    system: RoutingSystem,
    policies: Sequence[str | RoutingPolicy] = DEFAULT_POLICIES,
    *,
    trace: Trace | None = None,
    time_scale: float = 1.0,
    load: float | None = None,
    horizon: float | None = None,
    warmup: float | None = None,
    replications: int = 10,
    precision: float | None = None,
    seed: int = 0,
    start: Literal["empty", "fluid"] = "empty",
    discipline: Discipline = "ps",
    percentiles: bool = True,
    threads: int | None = None,
    progress: Progress = _silent,
) -> Comparison:
    """Compare policies on one system.

    Args:
        system: Frontends, backends and who may use whom.
        policies: Names as on the command line, or policies; the first is what others are
            compared with.
        trace: Requests to replay in place of the system's own arrivals.
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
        percentiles: Time every job; without, means come at about twice the speed.
        threads: By default one per core; results do not depend on it.
        progress: Told after each replication.

    Raises:
        InfeasibleError: The load cannot be served by any policy; names the violated set.
        RunTooShortError: The run is too short for its own warm-up, or has too few jobs.
        PolicyError: A policy is unknown, or misbehaves.
        UsageError: An argument is out of range.
    """
    if replications < 2:
        raise UsageError(f"replications {replications}: an interval needs 2 or more")
    if precision is not None and not 0 < precision < 1:
        raise UsageError(f"precision {precision:g}: give a relative half-width such as 0.01")
    chosen = [parse(p) if isinstance(p, str) else p for p in policies]
    labels = [p if isinstance(p, str) else p.name for p in policies]
    if not chosen or len(set(labels)) < len(labels):
        raise UsageError(f"policies {labels}: give at least one, and each once")
    scene = scenario(system, trace, time_scale, load)
    prepared = prepare(scene.system, discipline)
    if warmup is None and not scene.steady:
        warmup = 0.0  # MSER-5 would take the first change of the rate for the start's transient
    run = _run(prepared, scene.trace, horizon, warmup, seed, start, percentiles)
    doomed = [_overloaded(prepared, policy) for policy in chosen]
    alive = [i for i, names in enumerate(doomed) if not names]
    for longer in range(MOST_LENGTHENINGS + 1):
        policies_run = [chosen[i] for i in alive]
        work = Replications(prepared, policies_run, run, scene.trace, threads, progress)
        work.extend(replications)
        try:
            result = _judge(scene, work, labels, alive, doomed)
            while (needed := _needed(result, precision)) > work.count and not work.interrupted:
                work.extend(needed)
                result = _judge(scene, work, labels, alive, doomed)
            return result
        except RunTooShortError:
            if horizon is not None or trace is not None or longer == MOST_LENGTHENINGS:
                raise
            run = replace(run, horizon=LENGTHENING * run.horizon)
    raise AssertionError("the last turn returns or raises")


def sweep(
    system: RoutingSystem,
    policies: Sequence[str | RoutingPolicy] = DEFAULT_POLICIES,
    *,
    loads: Sequence[float],
    **options: Any,
) -> Sweep:
    """`simulate` at several loads, lowest first; takes its other options.

    Raises:
        InfeasibleError: At the highest load; found before any other is simulated.
    """
    trace: Any = options.get("trace")
    fluid_optimum(scenario(system, trace, load=max(loads)).system)
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
    """A trace is replayed once from its start and drained; anything else runs to a horizon."""
    if trace is not None:
        until = trace.length if horizon is None else min(horizon, trace.length)
        return Run(until, warmup or 0.0, seed, start, percentiles, drain=True)
    rate = float(prepared.system.rates.sum())
    latency = prepared.optimum.total_jobs / rate
    default = max(DEFAULT_JOBS / rate, DEFAULT_LATENCIES * latency)
    length = default if horizon is None else horizon
    return Run(length, warmup, seed, start, percentiles)


def _overloaded(prepared: Prepared, policy: RoutingPolicy) -> list[str]:
    """Backends that a policy with fixed shares sends more than they can serve."""
    shares = policy.shares(prepared.setting)
    if shares is None:
        return []
    graph, system = prepared.system.graph, prepared.system
    inflow = np.bincount(graph.sink, shares * system.rates[graph.source], minlength=graph.sinks)
    over = inflow >= system.capacities
    return [b.name for b, too_much in zip(system.backends, over, strict=True) if too_much]


def _needed(result: Comparison, precision: float | None) -> int:
    """Replications that should meet the precision, judged by the intervals that are reported."""
    count = result.replications
    widths = [p.mean_latency.relative_half_width for p in result.policies if p.mean_latency]
    widest = max(widths, default=0.0)
    if precision is None or widest <= precision:
        return count
    # The half-width falls with the root of the count; a tenth more saves a further round.
    wanted = int(np.ceil(1.1 * count * (widest / precision) ** 2))
    return min(max(wanted, count + 2), 4 * count, MOST_REPLICATIONS)


def _judge(
    scene: Scenario,
    work: Replications,
    labels: Sequence[str],
    alive: Sequence[int],
    doomed: Sequence[Sequence[str]],
) -> Comparison:
    """Tell unstable policies from stable ones, find the common warm-up, and report."""
    if work.policies and work.count < 2:
        raise KeyboardInterrupt  # nothing to report yet
    names = [backend.name for backend in scene.system.backends]
    kept = dict(zip(alive, work.kept, strict=True))
    growing = {i for i, reps in kept.items() if _grows(reps, work.run, scene.steady)}
    steady = [i for i in alive if i not in growing]
    skip = _discarded(work.run, [kept[i] for i in steady], [labels[i] for i in steady], scene)
    known_means = work.prepared.memoryless and scene.trace is None
    results: list[PolicyResult] = []
    for i, label in enumerate(labels):
        if i in steady:
            first = kept[0] if i > 0 and 0 in steady else None
            results.append(
                summary(label, work.prepared, kept[i], work.run, skip, first, known_means)
            )
        else:
            reps = kept.get(i, [])
            overloaded = doomed[i] or growing_backends(reps, names)
            results.append(unstable(label, reps, overloaded, len(names)))
    return _comparison(scene, work, tuple(results), skip)


def _grows(reps: Sequence[Replication], run: Run, steady: bool) -> bool:
    if any(rep.exploded for rep in reps):
        return True
    if not steady:
        return False  # the number of jobs follows the arrivals
    series = np.array([rep.jobs[run.discarded_blocks :] for rep in reps])
    return trend(series) is Trend.GROWING


def _discarded(
    run: Run, stable: Sequence[Sequence[Replication]], named: Sequence[str], scene: Scenario
) -> int:
    """Blocks to discard: as given, or the most that MSER-5 asks for any policy.

    Raises:
        RunTooShortError: There is no such number, or what it leaves is not steady, or too few jobs.
    """
    longer = f"give --horizon {4 * run.horizon:.3g} or more, or --start fluid"
    skip = run.discarded_blocks
    if run.warmup is None:
        found = [mser5(np.mean([rep.jobs for rep in reps], axis=0)) for reps in stable]
        if None in found:
            raise RunTooShortError(
                f"a run of {run.horizon:.4g} s is too short for {named[found.index(None)]}: by "
                f"MSER-5 its warm-up is more than half of it; {longer}"
            )
        skip = max((d for d in found if d is not None), default=0)
    for name, reps in zip(named, stable, strict=True):
        if scene.steady and trend(np.array([r.jobs[skip:] for r in reps])) != Trend.STEADY:
            raise RunTooShortError(
                f"a run of {run.horizon:.4g} s is too short for {name}: the number of jobs is "
                f"still rising at its end; {longer}"
            )
        fewest = min(int(rep.completions[skip:].sum()) for rep in reps)
        if fewest < LEAST_COMPLETIONS:
            raise RunTooShortError(
                f"only {fewest} jobs completed under {name} in the measured part of a replication "
                f"of {run.horizon:.4g} s, and a mean needs {LEAST_COMPLETIONS}; {longer}"
            )
    return skip


def _comparison(
    scene: Scenario, work: Replications, results: tuple[PolicyResult, ...], skip: int
) -> Comparison:
    run, optimum = work.run, work.prepared.optimum
    given = run.warmup is not None
    return Comparison(
        system=scene.system.name,
        source=scene.source,
        backends=tuple(backend.name for backend in scene.system.backends),
        load=scene.load,
        lower_bound=optimum.total_jobs,
        lower_bound_latency=optimum.total_jobs / float(scene.system.rates.sum()),
        policies=results,
        times=run.ends,
        horizon=run.horizon,
        warmup=float(run.ends[skip - 1]) if skip else 0.0,
        warmup_rule="given" if given else "MSER-5",
        replications=work.count,
        seed=run.seed,
        interrupted=work.interrupted,
    )
