"""Scenario: the cluster at the simulated load, with a trace's jobs if there is one."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, SampledTasks
from isocline.model.cluster.blocks import BlockTrace
from isocline.plural import counted
from isocline.simulate.common.engine_choice import chosen
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.scheduling.engines import ENGINES, features_of
from isocline.simulate.scheduling.lower_bound import Bound, least_latency
from isocline.simulate.scheduling.prepare import JobList
from isocline.theory.scheduling.capacity_region import is_overloaded
from isocline.theory.scheduling.near_data_plan import NearDataPlan, near_data_plan

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class ClusterScenario:
    """A cluster at one load."""

    cluster: Cluster
    jobs: JobList | None
    clock: Clock
    load: float  # 1 / capacity_scale: from 1 on no policy is stable
    balanced: FloatArray  # (M,) balanced load of the servers, tasks/s
    source: str  # what comes, and how long it takes, in words
    length: float | None  # s, of the trace

    @property
    def beneficiaries(self) -> IndexArray:
        """Servers that cannot serve their load themselves (near-data paper, Lemma 3)."""
        return np.flatnonzero(is_overloaded(self.balanced, self.cluster.rates.local))

    @property
    def overloaded(self) -> tuple[str, ...]:
        """Servers that are brought more than can be served, if any are."""
        if self.load < 1.0:
            return ()
        names = self.cluster.servers
        return tuple(names[m] for m in self.beneficiaries) or names

    @property
    def bound(self) -> Bound:
        """Lower bound for all policies.

        A trace that ends can be served after its end: of it only the service time is known.
        """
        local = self.cluster.rates.local
        if self.jobs is not None or self.load >= 1.0:
            return Bound(1.0 / local, "mean service time where the data is")
        return least_latency(self.cluster, self.balanced, self.clock == "slotted")


def cluster_scenario(
    cluster: Cluster,
    clock: Clock,
    trace: BlockTrace | None = None,
    replicas: int | None = None,
    time_scale: float = 1.0,
    load: float | None = None,
    seed: int = 0,
) -> ClusterScenario:
    """Replace the tasks by a trace's, speed them up by `time_scale`, then to `load`.

    Raises:
        UsageError: A factor or a load is not above 0, rates are no probabilities on the slotted
            clock, replicas are given without a trace, no engine runs all of this together, or the
            arrivals have a variance that is too small.
    """
    for name, value in (("time scale", time_scale), ("load", load)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{name} {value:g}: give a finite number above 0")
    holders = None
    if trace is not None:
        if trace.jobs == 1:
            raise UsageError(
                f"trace {trace.name}: it holds one job, so that it has no rate; give two or more"
            )
        holders = trace.place(cluster, _replicas(cluster, replicas), seed)
        cluster = _with_accesses(cluster, trace, holders)
    elif replicas is not None:
        raise UsageError(
            "replicas: only for a trace, whose chunks are placed; else the system file says how "
            "many there are"
        )
    chosen(ENGINES, features_of(cluster, clock, trace is not None))
    if clock == "slotted":
        cluster.rates.require_slotted()
    plan = _planned(cluster, seed)
    speed = time_scale if load is None else load * plan.capacity_scale
    if speed != 1.0:
        cluster = cluster.sped_up(speed)
        trace = None if trace is None else trace.sped_up(speed)
    if clock == "slotted":
        cluster.arrivals.require(cluster.arrival_rate)
    balanced = speed * np.array(plan.loads)
    return ClusterScenario(
        cluster,
        None if trace is None or holders is None else _jobs(trace, holders),
        clock,
        speed / plan.capacity_scale,
        balanced,
        _source(cluster, trace, holders, clock),
        None if trace is None else trace.length,
    )


@lru_cache(maxsize=4)
def _planned(cluster: Cluster, seed: int) -> NearDataPlan:
    """Plan once for all loads of a sweep: with racks it takes as long as a short run."""
    return near_data_plan(cluster, replicas_to_try=0, seed=seed)


def _replicas(cluster: Cluster, given: int | None) -> int:
    """Number of replicas, as given, or from the file, or three."""
    if given is not None:
        return given
    return cluster.tasks.replicas if isinstance(cluster.tasks, SampledTasks) else 3


def _with_accesses(cluster: Cluster, trace: BlockTrace, holders: npt.NDArray[np.int32]) -> Cluster:
    """Task types and their mean rates from the trace."""
    rates = trace.accesses / trace.length
    return replace(cluster, tasks=ExplicitTasks.from_rows(cluster.size, holders, rates))


def _jobs(trace: BlockTrace, holders: npt.NDArray[np.int32]) -> JobList:
    return JobList(trace.times, trace.first_chunk, trace.blocks, holders)


def _source(
    cluster: Cluster,
    trace: BlockTrace | None,
    holders: npt.NDArray[np.int32] | None,
    clock: Clock,
) -> str:
    """Describe the arrivals for the footnotes of a table."""
    rates = cluster.rates
    racks = f" in {len(cluster.racks)} racks" if len(cluster.racks) > 1 else ""
    speeds = [f"local {rates.local:g}", *([f"rack {rates.rack:g}"] if rates.rack else [])]
    unit = "per slot" if clock == "slotted" else "tasks/s"
    law = "geometric" if clock == "slotted" else cluster.service.type
    served = f"{', '.join([*speeds, f'remote {rates.remote:g}'])} {unit}{racks}, {law} service"
    if trace is not None and holders is not None:
        came = f"{counted(trace.jobs, 'job')}, {counted(trace.tasks, 'task')}"
        copies = counted(holders.shape[1], "replica")
        return (
            f"block trace {trace.name}: {came} in {trace.length:.4g} s, {copies} of each chunk; "
            f"{served}"
        )
    tasks = cluster.tasks
    if isinstance(tasks, ExplicitTasks):
        kind = counted(tasks.rates.size, "type")
    else:
        kind = f"{counted(tasks.replicas, 'replica')}, {tasks.placement} placement"
        if tasks.hotspot is not None:
            share, servers = tasks.hotspot.share, tasks.hotspot.servers
            kind += f", {share:g} of the tasks on {servers:g} of the servers"
    return f"{cluster.arrivals.in_words}, {kind}; {served}"
