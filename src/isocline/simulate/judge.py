"""From the replications of several policies to a comparison: what is stable, what to discard."""

from collections.abc import Sequence

import numpy as np

from isocline.errors import RunTooShortError
from isocline.simulate.estimates import growing_backends, summary, unstable
from isocline.simulate.replicate import Replication
from isocline.simulate.replications import Replications
from isocline.simulate.results import Comparison, PolicyResult
from isocline.simulate.run import Run
from isocline.simulate.scenario import Scenario
from isocline.simulate.statistics.stability import Trend, trend
from isocline.simulate.statistics.warmup import mser5

LEAST_COMPLETIONS = 100
MOST_REPLICATIONS = 1000


def needed(result: Comparison, precision: float | None) -> int:
    """Replications that should meet the precision, judged by the intervals that are reported."""
    count = result.replications
    widths = [p.mean_latency.relative_half_width for p in result.policies if p.mean_latency]
    widest = max(widths, default=0.0)
    if precision is None or widest <= precision:
        return count
    # The half-width falls with the root of the count; a tenth more saves a further round.
    wanted = int(np.ceil(1.1 * count * (widest / precision) ** 2))
    return min(max(wanted, count + 2), 4 * count, MOST_REPLICATIONS)


def judge(
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
