"""From the replications of several policies to a comparison: what is stable, what to discard."""

from collections.abc import Sequence

import numpy as np

from isocline.simulate.estimates import growing_backends, summary, unstable
from isocline.simulate.replicate import Replication
from isocline.simulate.replications import Replications
from isocline.simulate.results import Comparison, PolicyResult
from isocline.simulate.run import Run
from isocline.simulate.scenario import Scenario
from isocline.simulate.steady import Blocks, discarded, grows


def judge(
    scene: Scenario,
    work: Replications,
    labels: Sequence[str],
    alive: Sequence[int],
    doomed: Sequence[Sequence[str]],
) -> Comparison:
    """Tell unstable policies from stable ones, find the common warm-up, and report."""
    if work.kept and work.count < 2:
        raise KeyboardInterrupt  # nothing to report yet
    names = [backend.name for backend in scene.system.backends]
    kept = dict(zip(alive, work.kept, strict=True))
    growing = {i for i, reps in kept.items() if _grows(reps, work.run, scene.steady)}
    steady = [i for i in alive if i not in growing]
    stable = {labels[i]: _blocks(kept[i]) for i in steady}
    skip = discarded(work.run, stable, scene.steady, "jobs", " or --start fluid")
    known_means = work.prepared.memoryless and scene.steady
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
            results.append(unstable(label, reps, overloaded, len(names), work.run.scale))
    return _comparison(scene, work, tuple(results), skip)


def _grows(reps: Sequence[Replication], run: Run, steady: bool) -> bool:
    if any(rep.exploded for rep in reps):
        return True
    if not steady:
        return False  # the number of jobs follows the arrivals
    return grows(_blocks(reps), run)


def _blocks(reps: Sequence[Replication]) -> Blocks:
    return Blocks(np.array([r.jobs for r in reps]), np.array([r.completions for r in reps]))


def _comparison(
    scene: Scenario, work: Replications, results: tuple[PolicyResult, ...], skip: int
) -> Comparison:
    run, least = work.run, work.prepared.least_jobs
    given = run.warmup is not None
    return Comparison(
        system=scene.system.name,
        source=run.slots.source if run.slots else scene.source,
        backends=tuple(backend.name for backend in scene.system.backends),
        load=scene.load,
        lower_bound=least / run.scale,
        lower_bound_latency=least / float(work.prepared.system.rates.sum()),
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
    )
