"""Fair comparison of scheduling policies on one cluster.

The near-data half of `isocline simulate`: all policies get the same arrivals, the warm-up is given
or found, a run too short is refused, a policy without a steady state is called unstable, and a
bound stands beside every mean.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from isocline.arguments import ABOVE_0, NOT_NEGATIVE, POSITIVE, SHARE, at_least, checked, in_words
from isocline.model.cluster import Cluster, SlotArrivals
from isocline.model.cluster.blocks import BlockTrace
from isocline.policies.parse import scheduling_policy
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.simulate.common.adaptive_runs import Effort, chosen_policies, compare
from isocline.simulate.common.event_budget import BUDGET
from isocline.simulate.common.executor import Progress, silent
from isocline.simulate.common.load_points import at_loads
from isocline.simulate.common.run_settings import ONE_LOAD, Clock, ascending, usual_horizon
from isocline.simulate.common.steady_state import require_arrivals
from isocline.simulate.scheduling.experiment import ClusterExperiment
from isocline.simulate.scheduling.prepare import prepare_cluster
from isocline.simulate.scheduling.results import ClusterComparison, ClusterSweep
from isocline.simulate.scheduling.run_settings import ClusterRunSettings, Level
from isocline.simulate.scheduling.scenario import ClusterScenario, cluster_scenario

DEFAULT_POLICIES = ("local_first", "jsq_maxweight", "late_binding")


@checked(
    arrivals=in_words("a string such as 'variance=4' or 'dispersion=2'"),
    replicas=at_least(1),
    time_scale=POSITIVE,
    load=ONE_LOAD,
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
    common_arrivals: bool = False,
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
        progress: Called after each replication with how many are done, and how many there will be.
        common_arrivals: Draw tasks apart from what servers do, so that another cluster simulated
            with the same seed gets the same ones; slower where services are exponential.

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
    until = horizon if horizon is not None else _usual_horizon(scene)
    if scene.length is not None:
        until = scene.length if horizon is None else min(horizon, scene.length)
        warmup = warmup or 0.0
    elif scene.clock == "slotted":
        until = float(round(until))
        warmup = None if warmup is None else float(round(warmup))
    settings = ClusterRunSettings(
        until,
        warmup,
        seed,
        percentiles,
        drain=scene.jobs is not None,
        clock=clock,
        level=level,
        common_arrivals=common_arrivals,
    )
    if scene.jobs is not None:
        came = (scene.jobs.time >= (warmup or 0.0)) & (scene.jobs.time < until)
        require_arrivals(int(np.count_nonzero(came)), settings, "tasks")
    experiment = ClusterExperiment(
        settings=settings,
        length_is_given=horizon is not None or trace is not None,
        unit="slots" if settings.slotted else "s",
        scene=scene,
        prepared=prepare_cluster(scene.cluster, beneficiaries=scene.beneficiaries, jobs=scene.jobs),
        policies=dict(zip(labels, chosen, strict=True)),
    )
    return compare(experiment, Effort(replications, precision, threads, budget, progress))


def _usual_horizon(scene: ClusterScenario) -> float:
    return usual_horizon(scene.cluster.arrival_rate, 1.0 / scene.cluster.rates.remote)


@checked(loads=POSITIVE)
def sweep_cluster(
    cluster: Cluster,
    policies: Sequence[str | SchedulingPolicy] = DEFAULT_POLICIES,
    *,
    loads: Sequence[float],
    **options: Any,
) -> ClusterSweep:
    """`simulate_cluster` at several loads, lowest first; takes its other options.

    Ctrl-C ends the sweep with what is done so far.
    """

    def at(load: float, progress: Progress) -> ClusterComparison:
        return simulate_cluster(cluster, policies, load=load, progress=progress, **options)

    progress = options.pop("progress", silent)
    each = at_loads(ascending(loads), at, lambda one: one.interrupted, progress)
    return ClusterSweep(tuple(each))
