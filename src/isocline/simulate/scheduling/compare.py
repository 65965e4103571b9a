"""Fair comparison of scheduling policies on one cluster.

The near-data half of `isocline simulate`: all policies get the same arrivals, the warm-up is given
or found, a run too short is refused, a policy without a steady state is called unstable, and a
bound stands beside every mean.
"""

from collections.abc import Sequence
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np

from isocline.arguments import ABOVE_0, NOT_NEGATIVE, POSITIVE, SHARE, at_least, checked, in_words
from isocline.errors import UsageError
from isocline.model.cluster import Cluster, SlotArrivals
from isocline.model.cluster.blocks import BlockTrace
from isocline.policies.parse import scheduling_policy
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.simulate.common.adaptive_runs import Round, chosen_policies, repeated
from isocline.simulate.common.executor import OrderedExecutor, Progress, silent
from isocline.simulate.common.slotted_clock import Clock
from isocline.simulate.common.steady_state import require_arrivals
from isocline.simulate.routing.event_budget import BUDGET, Budget
from isocline.simulate.routing.run_settings import Run
from isocline.simulate.scheduling.analysis import judge_cluster
from isocline.simulate.scheduling.prepare import prepare_cluster
from isocline.simulate.scheduling.replicate import ClusterReplication, rehearse, run_cluster
from isocline.simulate.scheduling.results import ClusterComparison, ClusterSweep
from isocline.simulate.scheduling.run_settings import ClusterRun, Level
from isocline.simulate.scheduling.scenario import ClusterScenario, cluster_scenario

DEFAULT_POLICIES = ("local_first", "jsq_maxweight", "late_binding")
# A default run is long enough for a 1 % half-width at moderate load, and for clusters of any size
# goes on for 200 times the mean service time, so that a start from empty is forgotten.
DEFAULT_TASKS = 200_000
DEFAULT_SERVICES = 200.0


@checked(
    arrivals=in_words("a string such as 'variance=4' or 'dispersion=2'"),
    replicas=at_least(1),
    time_scale=POSITIVE,
    load=POSITIVE,
    horizon=POSITIVE,
    warmup=NOT_NEGATIVE,
    replications=at_least(2),
    precision=SHARE,
    seed=at_least(0),
    threads=at_least(1),
    budget=ABOVE_0,
)
def simulate_cluster(
    cluster: Cluster,
    policies: Sequence[str | SchedulingPolicy] = DEFAULT_POLICIES,
    *,
    trace: BlockTrace | None = None,
    replicas: int | None = None,
    arrivals: str | None = None,
    time_scale: float = 1.0,
    load: float | None = None,
    horizon: float | None = None,
    warmup: float | None = None,
    replications: int = 10,
    precision: float | None = None,
    seed: int = 0,
    clock: Clock = "continuous",
    level: Level = "data",
    percentiles: bool = True,
    threads: int | None = None,
    budget: float = BUDGET,
    progress: Progress = silent,
) -> ClusterComparison:
    """Compare scheduling policies on one cluster.

    Args:
        cluster: Servers, racks, rates, tasks.
        policies: Names as on the command line, or policies; the first is what others are compared
            with.
        trace: Jobs to replay in place of the cluster's own tasks; a job is a task for each block
            it reads, and ends when the last of them does.
        replicas: Of each chunk of the trace; by default those of the cluster, or 3. With racks they
            are placed as HDFS does.
        arrivals: `variance=V`, in tasks per slot, or `dispersion=D`, the variance over the mean, in
            place of the cluster's own; on the slotted clock. Dispersion is what `load` keeps.
        time_scale: How many times as fast the arrivals come.
        load: Scale the arrivals to this share of what can be served, in place of `time_scale`.
        horizon: Length of each replication, s or slots, warm-up included; by default long enough
            for 200 000 tasks and longer where that proves too short, or the length of the trace.
        warmup: What to discard at the start; None finds it by MSER-5, or discards nothing of a
            trace.
        replications: Independent runs, at least 2.
        precision: Add replications until the 95 % interval of every mean completion time is within
            this relative half-width.
        seed: Key of all randomness.
        clock: `slotted` is the model of the near-data paper, Section 2; see docs/clusters.md.
        level: `data`: a task is local where its data is. `queue`: only to the server in whose queue
            it waited, as the paper's Section 2.2 may be read.
        percentiles: Time every task; without, means come faster.
        threads: By default one per core; results do not depend on it.
        budget: Refuse to run more events than this, in all replications of all policies.
        progress: Told after each replication.

    Raises:
        RunTooShortError: The run is too short for its own warm-up, or has too few tasks.
        PolicyError: A policy is unknown, or misbehaves.
        UsageError: An argument is out of range, or the run would take more events than `budget`.
    """
    chosen, labels = chosen_policies(policies, scheduling_policy)
    if arrivals is not None:
        law = SlotArrivals.parse(arrivals, cluster.arrival_rate)
        cluster = replace(cluster, arrivals=law)
    scene = cluster_scenario(cluster, clock, trace, replicas, time_scale, load, seed)
    length = _length(scene, horizon, warmup, seed, percentiles)
    if scene.jobs is not None:
        times = scene.jobs.time
        came = (times >= (length.warmup or 0.0)) & (times < length.horizon)
        require_arrivals(int(np.count_nonzero(came)), length, "tasks")
    prepared = prepare_cluster(scene.cluster, beneficiaries=scene.beneficiaries, jobs=scene.jobs)
    # By theory no policy can serve this load.
    alive = [] if scene.load >= 1.0 and scene.jobs is None else chosen

    def begin(factor: float) -> Round[ClusterComparison]:
        longer = length
        if factor > 1.0:
            longer = _length(scene, factor * length.horizon, warmup, seed, percentiles)
        run = ClusterRun(longer, clock, level)
        limit = Budget(
            _events(scene, longer), longer.horizon, len(alive), budget,
            "slots" if clock == "slotted" else "s", scene.jobs is not None or horizon is not None,
        )  # fmt: skip
        limit.allow(replications)

        for rehearsed in alive:
            rehearse(prepared, rehearsed, run)

        def one(policy: int, replication: int, stop: Event) -> ClusterReplication | None:
            return run_cluster(prepared, alive[policy], run, replication, stop)

        work = OrderedExecutor(len(alive), one, threads, progress, limit.allow)
        return work, lambda: judge_cluster(scene, run, work, chosen, labels)

    return repeated(begin, replications, precision, horizon is not None or trace is not None)


def _events(scene: ClusterScenario, length: Run) -> float:
    """Estimate the number of events of one replication of one policy."""
    cluster = scene.cluster
    if scene.jobs is not None:
        return 2.0 * float(scene.jobs.count[scene.jobs.time < length.horizon].sum())
    # A tick of the clock at each server for each local service, whether it is busy or not.
    return (cluster.arrival_rate + cluster.size * cluster.rates.local) * length.horizon


@checked(loads=POSITIVE)
def sweep_cluster(
    cluster: Cluster,
    policies: Sequence[str | SchedulingPolicy] = DEFAULT_POLICIES,
    *,
    loads: Sequence[float],
    **options: Any,
) -> ClusterSweep:
    """`simulate_cluster` at several loads, lowest first; takes its other options."""
    if len(loads) == 0:
        raise UsageError("loads []: give at least one, as a share of what can be served")
    each = [simulate_cluster(cluster, policies, load=load, **options) for load in sorted(loads)]
    return ClusterSweep(tuple(each))


def _length(
    scene: ClusterScenario,
    horizon: float | None,
    warmup: float | None,
    seed: int,
    percentiles: bool,
) -> Run:
    """Length of a run: a trace once from its start and drained, anything else to a horizon."""
    if scene.length is not None:
        until = scene.length if horizon is None else min(horizon, scene.length)
        return Run(until, warmup or 0.0, seed, percentiles=percentiles, drain=True)
    service = 1.0 / scene.cluster.rates.remote
    default = max(DEFAULT_TASKS / scene.cluster.arrival_rate, DEFAULT_SERVICES * service)
    until = default if horizon is None else horizon
    if scene.clock == "slotted":
        until = float(round(until))
        warmup = None if warmup is None else float(round(warmup))
    return Run(until, warmup, seed, percentiles=percentiles)
