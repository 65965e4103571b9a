"""Analysis of replications of several policies on a cluster, and their comparison."""

from collections.abc import Sequence

from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.simulate.common.executor import OrderedExecutor
from isocline.simulate.common.steady_state import discarded, grows
from isocline.simulate.scheduling.estimates import blocks, summary, unstable
from isocline.simulate.scheduling.lower_bound import Bound
from isocline.simulate.scheduling.replicate import ClusterReplication
from isocline.simulate.scheduling.results import ClusterComparison, SchedulingResult
from isocline.simulate.scheduling.run_settings import ClusterRun
from isocline.simulate.scheduling.scenario import ClusterScenario

Work = OrderedExecutor[ClusterReplication]


def judge_cluster(
    scene: ClusterScenario,
    run: ClusterRun,
    work: Work,
    policies: Sequence[SchedulingPolicy],
    labels: Sequence[str],
) -> ClusterComparison:
    """Separate unstable policies from stable ones, find the common warm-up, and report.

    Without replications no policy is stable.
    """
    if work.kept and work.count < 2:
        raise KeyboardInterrupt  # nothing to report yet
    steady = scene.jobs is None  # else the number of tasks follows the trace
    kept = dict(zip(labels, work.kept, strict=False))
    stable = {name: reps for name, reps in kept.items() if not _grows(reps, run, steady)}
    series = {name: blocks(reps) for name, reps in stable.items()}
    skip = discarded(run.length, series, steady, "tasks", "")
    bound = _bound(scene, stable)
    beyond = scene.load >= 1.0
    names = scene.cluster.servers
    hot = tuple(names[m] for m in scene.beneficiaries) or names if beyond else ()
    results: list[SchedulingResult] = []
    for i, (label, policy) in enumerate(zip(labels, policies, strict=True)):
        if label not in stable:
            results.append(
                unstable(label, kept.get(label, []), names if kept else hot, policy.reading)
            )
            continue
        results.append(
            summary(
                label,
                stable[label],
                run.ends,
                skip,
                stable.get(labels[0]) if i else None,
                clock=run.clock,
                rate=scene.cluster.arrival_rate,
                bound=bound.latency,
                poisson=steady,
                beneficiaries=scene.beneficiaries,
                reading=policy.reading,
                overloaded=hot,
                timed=run.length.percentiles,
            )
        )
    return _comparison(scene, run, work, tuple(results), skip, bound)


def _bound(scene: ClusterScenario, found: dict[str, list[ClusterReplication]]) -> Bound:
    """Lower bound for all policies; for a trace, with the service times that were drawn for it."""
    bound = scene.bound
    if scene.jobs is None or not found:
        return bound
    drawn = [rep.work for rep in next(iter(found.values()))]
    return bound._replace(latency=bound.latency * sum(drawn) / len(drawn))


def _grows(reps: Sequence[ClusterReplication], run: ClusterRun, steady: bool) -> bool:
    return any(rep.exploded for rep in reps) or (steady and grows(blocks(reps), run.length))


def _comparison(
    scene: ClusterScenario,
    run: ClusterRun,
    work: Work,
    results: tuple[SchedulingResult, ...],
    skip: int,
    bound: Bound,
) -> ClusterComparison:
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
        times=run.ends,
        clock=run.clock,
        level=run.level,
        trace=scene.jobs is not None,
        horizon=run.length.horizon,
        warmup=float(run.ends[skip - 1]) if skip else 0.0,
        warmup_rule="MSER-5" if run.length.warmup is None else "given",
        replications=work.count,
        seed=run.length.seed,
        interrupted=work.interrupted,
        percentiles=run.length.percentiles,
    )
