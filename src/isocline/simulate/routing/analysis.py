"""Analysis of replications: stability and warm-up of several policies, and their comparison."""

import math
from collections.abc import Sequence

import numpy as np

from isocline.simulate.common.steady_state import Blocks, discarded, grows, require_arrivals
from isocline.simulate.routing.estimates import (
    growing_backends,
    latencies,
    measured_from,
    measured_seconds,
    summary,
    unstable,
)
from isocline.simulate.routing.lower_bound import Bound, least_job_seconds
from isocline.simulate.routing.replicate import Replication
from isocline.simulate.routing.replications import Replications
from isocline.simulate.routing.results import Comparison, PolicyResult
from isocline.simulate.routing.run_settings import Run
from isocline.simulate.routing.scenario import Scenario


def judge(
    scene: Scenario,
    work: Replications,
    labels: Sequence[str],
    alive: Sequence[int],
    doomed: Sequence[Sequence[str]],
) -> Comparison:
    """Separate unstable policies from stable ones, find the common warm-up, and report."""
    if work.kept and work.count < 2:
        raise KeyboardInterrupt  # nothing to report yet
    names = [backend.name for backend in scene.system.backends]
    kept = dict(zip(alive, work.kept, strict=True))
    # With patience every policy has a steady state; a number that still rises is of a short run.
    may_grow = scene.steady and scene.system.patience is None
    growing = {i for i, reps in kept.items() if _grows(reps, work.run, may_grow)}
    steady = [i for i in alive if i not in growing]
    beyond = scene.bottleneck if scene.overloaded else ()
    stable = {labels[i]: _blocks(kept[i]) for i in steady}
    skip = discarded(work.run, stable, scene.steady, "jobs", " or --start fluid")
    # Where jobs leave unfinished, less is served than comes.
    known_means = work.prepared.memoryless and scene.steady and not work.run.interrupted
    bound = _bound(scene, work, [kept[i] for i in steady], skip)
    results: list[PolicyResult] = []
    for i, label in enumerate(labels):
        if i in steady:
            first = kept[0] if i > 0 and 0 in steady else None
            results.append(
                summary(
                    label,
                    work.prepared,
                    kept[i],
                    work.run,
                    skip,
                    first,
                    known_means,
                    bound,
                    beyond or doomed[i],
                )
            )
        else:
            reps = kept.get(i, [])
            overloaded = doomed[i] or growing_backends(reps, names)
            results.append(unstable(label, reps, overloaded, len(names), work.run.scale))
    return _comparison(scene, work, tuple(results), skip, bound)


def _bound(
    scene: Scenario, work: Replications, found: Sequence[Sequence[Replication]], skip: int
) -> Bound:
    """Lower bound for all policies; `found` are the replications of those that have figures."""
    prepared, run = work.prepared, work.run
    if scene.fleet is not None or scene.system.patience is not None:
        # While a fleet changes, none is known; jobs that give up make L and W as small as you like.
        return Bound(math.nan, math.nan, None)
    if run.drain and found:
        return _bound_of_drained(scene, work, found, skip)
    rates = prepared.system.rates
    least = prepared.least_jobs
    return Bound(least / float(rates.sum()), least / run.scale, None)


def _bound_of_drained(
    scene: Scenario, work: Replications, found: Sequence[Sequence[Replication]], skip: int
) -> Bound:
    """The largest that holds for all that were found, by when the work of each was done.

    One holds for all policies that are done as early as the one that it is for. For the others it
    is seen to hold, or the next one is tried; the last is that of those that were done last.
    """
    system, run, start = work.prepared.system, work.run, measured_from(work.run, skip)
    require_arrivals(int(min(rep.arrivals[skip:].sum() for rep in found[0])), run, "jobs")
    least = min(float(latencies(work.prepared, reps, skip).mean()) for reps in found)
    count = np.max([[rep.timed[skip:].sum() for rep in reps] for reps in found], axis=0)
    ends = run.horizon + np.array([[rep.after for rep in reps] for reps in found])
    # Listed jobs have the same work under every policy. Else the least is a bound for all.
    work_of = np.min([[rep.work for rep in reps] for reps in found], axis=0)
    for done in (*sorted(ends, key=lambda row: float(row.mean())), ends.max(axis=0)):
        seconds = [
            least_job_seconds(system, served, scene.slowdowns, start, end)
            for served, end in zip(work_of, done.tolist(), strict=True)
        ]
        latency = float(np.mean(seconds / count))
        if latency <= least:
            break
    jobs = float(np.mean(seconds)) / measured_seconds(run, skip)
    return Bound(latency, jobs / run.scale, float(done.max()))


def _grows(reps: Sequence[Replication], run: Run, may_grow: bool) -> bool:
    if any(rep.exploded for rep in reps):
        return True
    if not may_grow:
        return False  # the number of jobs follows the arrivals
    return grows(_blocks(reps), run)


def _blocks(reps: Sequence[Replication]) -> Blocks:
    return Blocks(
        np.array([rep.jobs for rep in reps]),
        np.array([rep.completions for rep in reps]),
        np.array([rep.arrivals for rep in reps]),
    )


def _comparison(
    scene: Scenario,
    work: Replications,
    results: tuple[PolicyResult, ...],
    skip: int,
    bound: Bound,
) -> Comparison:
    run = work.run
    given = run.warmup is not None
    return Comparison(
        system=scene.system.name,
        source=run.slots.source if run.slots else scene.source,
        backends=tuple(backend.name for backend in scene.system.backends),
        load=scene.load,
        lower_bound=bound.jobs,
        lower_bound_latency=bound.latency,
        policies=results,
        times=run.ends,
        horizon=run.horizon,
        warmup=float(run.ends[skip - 1]) if skip else 0.0,
        warmup_rule="given" if given else "MSER-5",
        replications=work.count,
        seed=run.seed,
        interrupted=work.interrupted,
        scale=run.scale,
        slot=run.slots.length if run.slots else None,
        departures=run.slots.law if run.slots else None,
        delay=work.prepared.delay,
        finished_by=bound.finished_by,
        patience=scene.system.patience.in_words if scene.system.patience else None,
        deadline=run.deadline,
        beyond_capacity=scene.overloads,
        percentiles=run.percentiles,
    )
