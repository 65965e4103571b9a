"""Plan of a cluster: its stability, the help between servers, and the best new replicas."""

import math
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from isocline.arguments import at_least, checked
from isocline.model.cluster import Cluster, SampledTasks
from isocline.model.traffic import ExponentialSizes
from isocline.theory.scheduling.capacity_region import (
    BalancedLoad,
    balanced_load,
    boundary,
    is_overloaded,
)
from isocline.theory.scheduling.cluster_sinks import ClusterSinks, cluster_sinks, rack_sinks
from isocline.theory.scheduling.decomposition import (
    Decomposition,
    Helps,
    decompose_load,
    rack_helps,
)
from isocline.theory.scheduling.heavy_traffic import Clock, even_bounds, overloaded_bounds, pools
from isocline.theory.scheduling.plan_records import (
    Help,
    QueueBound,
    Replicate,
    ServerName,
    ServerPool,
)
from isocline.theory.scheduling.plan_records import NearDataPlan as NearDataPlan  # noqa: PLC0414
from isocline.theory.scheduling.rack_capacity import rack_capacity
from isocline.theory.scheduling.rack_program import Sinks
from isocline.theory.scheduling.replication_advice import new_replicas

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# The capacity region is open: a load within this of the boundary (relative) is not inside.
_INSIDE = 1e-12

# With three levels a new replica costs a linear program each: up to here, 0.2 s.
_MOST_EDGES = 10_000


@checked(replicas_to_try=at_least(0), seed=at_least(0))
def near_data_plan(
    cluster: Cluster, *, clock: Clock = "continuous", replicas_to_try: int = 5, seed: int = 0
) -> NearDataPlan:
    """Capacity, ideal load decomposition, heavy-traffic bounds and the most valuable new replicas.

    Args:
        cluster: The cluster.
        clock: Of the bounds: tasks complete one by one, or at the ends of slots.
        replicas_to_try: How many types to try with one more replica; 0 for none.
        seed: Of the sample of types, where one is needed.

    Raises:
        UsageError: The clock is slotted and a rate is no probability.
    """
    if clock == "slotted":
        cluster.rates.require_slotted()
    sinks, rates = cluster_sinks(cluster, seed), cluster.rates
    balanced = balanced_load(sinks.graph, sinks.rates, sinks.sizes)
    load = balanced.load[sinks.sink]
    scale, basis = _capacity(cluster, sinks, load, seed)
    stable = scale > 1.0 + _INSIDE
    ideal = decompose_load(load, rates.local, rates.remote)
    groups = _pools(cluster, sinks)
    bounds, missing = _bounds(cluster, ideal, groups, clock, stable)
    return NearDataPlan(
        status="stable" if stable else "unstable",
        capacity_scale=scale,
        helpers=_named(cluster, ideal.helpers),
        beneficiaries=_named(cluster, ideal.beneficiaries),
        loads=tuple(load.tolist()),
        certificate=balanced.certificate,
        helps=_helps(cluster, ideal),
        remote_share=math.fsum(ideal.excess) / cluster.arrival_rate,
        bottleneck=_named(cluster, np.flatnonzero(is_overloaded(scale * load, rates.local))),
        pools=tuple(_pool(cluster, ideal, group, clock) for group in groups),
        bounds=bounds,
        bounds_missing=missing,
        replicate=_replicate(cluster, sinks, balanced, scale, replicas_to_try),
        basis=basis,
        cluster=cluster,
    )


def _capacity(
    cluster: Cluster, sinks: ClusterSinks, load: FloatArray, seed: int
) -> tuple[float, str]:
    """Return the capacity scale, and a description of its inputs."""
    rates = cluster.rates
    if rates.rack is None:
        return boundary(load, rates.local, rates.remote).scale, sinks.basis
    low = boundary(load, rates.local, rates.remote).scale
    if boundary(load, rates.local, rates.rack).scale <= low * (1.0 + _INSIDE):
        return low, sinks.basis
    cut = rack_sinks(cluster, seed)
    found = rack_capacity(cut.graph, cut.rates, Sinks(cut.sizes, cut.rack), rates)
    return found.scale, cut.basis


def _helps(cluster: Cluster, ideal: Decomposition) -> tuple[Help, ...]:
    rates = cluster.rates
    if rates.rack is None:
        return _help(cluster.labels, ideal.helps, "remote")
    near, far = rack_helps(ideal, cluster.rack, rates)
    return (*_help(cluster.labels, near, "rack"), *_help(cluster.labels, far, "remote"))


def _help(
    names: tuple[ServerName, ...], helps: Helps, level: Literal["rack", "remote"]
) -> tuple[Help, ...]:
    rows = zip(*(part.tolist() for part in helps), strict=True)
    return tuple(Help(names[helper], names[needy], rate, level) for helper, needy, rate in rows)


def _pools(cluster: Cluster, sinks: ClusterSinks) -> list[IndexArray]:
    """The servers of each pool."""
    if isinstance(cluster.tasks, SampledTasks) and cluster.tasks.replicas == 1:
        return list(np.arange(cluster.size)[:, None])  # no task connects two servers
    order = np.argsort(sinks.sink, kind="stable")
    of_sink = np.split(order, np.cumsum(np.bincount(sinks.sink))[:-1])
    return [np.sort(np.concatenate([of_sink[s] for s in pool])) for pool in pools(sinks.graph)]


def _pool(
    cluster: Cluster,
    ideal: Decomposition,
    servers: IndexArray,
    clock: Clock,
) -> ServerPool:
    load, local = ideal.load[servers], cluster.rates.local
    rate = math.fsum(load)
    leading = None
    if not ideal.overloaded.any() and _theorems_apply(cluster, clock):
        leading = even_bounds(load, local, clock, cluster.arrivals, cluster.arrival_rate).leading
    return ServerPool(_named(cluster, servers), rate, local * servers.size - rate, leading)


def _theorems_apply(cluster: Cluster, clock: Clock) -> bool:
    if clock == "continuous" and cluster.arrivals.dispersion != 1.0:
        return False
    return cluster.rates.rack is None and isinstance(cluster.service, ExponentialSizes)


def _bounds(
    cluster: Cluster,
    ideal: Decomposition,
    groups: list[IndexArray],
    clock: Clock,
    stable: bool,
) -> tuple[QueueBound | None, str]:
    """Bounds of Theorems 3 and 5, or 6 and 8, or the reason why none applies."""
    rates = cluster.rates
    if not stable:
        return None, "the load is outside the capacity region"
    if rates.rack is not None:
        return None, "the theorems are about two levels of distance"
    if clock == "continuous" and cluster.arrivals.dispersion != 1.0:
        return None, "arrivals have a variance of their own on the slotted clock alone"
    if not _theorems_apply(cluster, clock):
        return None, "the theorems are about geometric or exponential service"
    if ideal.overloaded.any():
        found = overloaded_bounds(ideal, rates.local, clock, cluster.arrivals)
        epsilon, arrivals, service, lower, leading = found
        return QueueBound(
            "beneficiaries", (3, 5), clock, epsilon, arrivals, service, lower, leading
        ), ""
    of_pool = partial(even_bounds, local=rates.local, clock=clock, law=cluster.arrivals)
    epsilon, arrivals, service, lower, _ = of_pool(ideal.load)
    each = [of_pool(ideal.load[servers], total=cluster.arrival_rate) for servers in groups]
    leading = math.fsum(pool.leading for pool in each)
    return QueueBound("all", (6, 8), clock, epsilon, arrivals, service, lower, leading), ""


def _replicate(
    cluster: Cluster,
    sinks: ClusterSinks,
    balanced: BalancedLoad,
    scale: float,
    most: int,
) -> tuple[Replicate, ...]:
    listed = not isinstance(cluster.tasks, SampledTasks)
    if cluster.rates.rack is not None and not (listed and sinks.graph.edges <= _MOST_EDGES):
        return ()
    advice = []
    for replica in new_replicas(sinks, balanced, scale, cluster.rates, most):
        holders = np.flatnonzero(np.isin(sinks.sink, sinks.graph.neighbours(replica.type)))
        onto = _named(cluster, np.flatnonzero(sinks.sink == replica.sink))
        gain = (replica.scale - scale) * cluster.arrival_rate
        advice.append(
            Replicate(
                _named(cluster, holders),
                onto[0] if listed else None,
                onto,
                1.0 if listed else replica.share,
                replica.scale,
                gain,
            )
        )
    return tuple(advice)


def _named(cluster: Cluster, numbers: npt.NDArray[np.integer]) -> tuple[ServerName, ...]:
    return tuple(cluster.labels[m] for m in numbers.tolist())
