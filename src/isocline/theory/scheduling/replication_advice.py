"""Replication advice: the new replica that raises the capacity most, and by how much.

At the boundary s lambda the k overloaded servers limit the load (`capacity_region`):

    s = (alpha k + gamma (M - k)) / W,   W = sum_overloaded nu + gamma/alpha sum_rest nu.

A replica of a type L that is only local to overloaded servers, on a server that is not, can turn at
most lambda_L of the work from remote to local, which takes (1 - gamma/alpha) lambda_L off W; it
does nothing for a smaller set of busier servers that L is not confined to; and no s exceeds alpha M
over the total rate. This bounds what each type can buy. No other replica buys anything.

The few types with the largest bounds are tried on the least loaded servers, exactly: if moving all
of L to the first reaches the bound, which is the rule where types are many, that is the answer;
else a level flow with the new replica is. With three levels every trial is a linear program.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.model.cluster import Rates
from isocline.model.graph import CompatibilityGraph
from isocline.theory.scheduling.capacity_region import (
    BalancedLoad,
    balanced_load,
    boundary,
    is_overloaded,
)
from isocline.theory.scheduling.cluster_sinks import ClusterSinks
from isocline.theory.scheduling.rack_capacity import rack_capacity
from isocline.theory.scheduling.rack_program import Sinks

FloatArray = npt.NDArray[np.float64]
FlagArray = npt.NDArray[np.bool_]

# Scales that differ by less (relative) are the same: the certificate of the level flow.
_SAME = 1e-12
# Gains below this (relative) are not worth a line; the linear program is exact to about as much.
_VISIBLE = 1e-8
# New holders tried for a type: one server of each of the lowest loads.
_MOST_SINKS = 3


class NewReplica(NamedTuple):
    """One more holder of a type's data, and the capacity scale with it alone."""

    type: int
    sink: int
    scale: float
    share: float  # of the type's data that has to be copied for this


def new_replicas(
    sinks: ClusterSinks, balanced: BalancedLoad, now: float, speed: Rates, most: int = 5
) -> list[NewReplica]:
    """The new replicas that raise the capacity most, best first, each solved exactly.

    Args:
        sinks: Types, and servers or groups of them.
        balanced: Their balanced load.
        now: The capacity scale as it is.
        speed: Rates of the levels of distance, tasks/s.
        most: How many types to try.
    """
    load = balanced.load
    overloaded = is_overloaded(now * load, speed.local)
    if overloaded.all():
        return []
    sinks_to_try = np.unique(load, return_index=True)[1][:_MOST_SINKS]
    sinks_to_try = sinks_to_try[~overloaded[sinks_to_try]].tolist()
    limit = _limits(sinks, load, overloaded, speed)
    found = []
    for kind in np.lexsort((np.arange(limit.size), -limit))[:most].tolist():
        if limit[kind] <= now * (1.0 + _VISIBLE):
            break
        found.append(_best(sinks, balanced, kind, sinks_to_try, limit[kind], speed))
    visible = [replica for replica in found if replica.scale > now * (1.0 + _VISIBLE)]
    return sorted(visible, key=lambda replica: -replica.scale)


def _best(
    sinks: ClusterSinks,
    balanced: BalancedLoad,
    kind: int,
    to_try: list[int],
    limit: float,
    speed: Rates,
) -> NewReplica:
    """The best new holder for a type; the first one that reaches the limit is."""
    tried = []
    for sink in to_try:
        moved = None
        if speed.rack is None:
            moved = _moved(sinks, balanced, kind, sink, limit, speed)
        tried.append(moved or _solved(sinks, kind, sink, speed))
        if tried[-1].scale >= limit * (1.0 - _SAME):
            break
    return max(tried, key=lambda replica: replica.scale)


def _limits(
    sinks: ClusterSinks, load: FloatArray, overloaded: FlagArray, speed: Rates
) -> FloatArray:
    """(L,) no new replica of the type allows a scale above this; 0 where none helps.

    With three levels work in the rack is bounded by taking all remote work to be in the rack.
    """
    graph, sizes, local, far = sinks.graph, sinks.sizes, speed.local, speed.levels[1]
    slowdown, total, servers = far / local, math.fsum(sizes * load), math.fsum(sizes)
    order = np.argsort(-load, kind="stable")
    k, above = np.cumsum(sizes[order]), np.cumsum((sizes * load)[order])
    work = above + slowdown * (total - above)
    capacity = local * k + far * (servers - k)
    place = np.empty(load.size, dtype=np.int64)
    place[order] = np.arange(load.size)
    last = np.maximum.reduceat(place[graph.sink], graph.first[:-1])
    # Sets of busiest servers that the type is not confined to limit s as before. Only whole levels:
    # what joins a part of one may go to the rest of it.
    whole = np.append(load[order][:-1] > load[order][1:], np.True_)
    limits = np.where(whole, capacity / work, np.inf)
    before = np.concatenate(([np.inf], np.minimum.accumulate(limits)))[last]
    tight = int(overloaded.sum()) - 1
    after = capacity[tight] / (work[tight] - (1.0 - slowdown) * sinks.rates)
    limit = np.minimum(np.minimum(before, after), local * servers / total)
    return np.where(last <= tight, limit, 0.0)


def _moved(
    sinks: ClusterSinks, balanced: BalancedLoad, kind: int, sink: int, limit: float, speed: Rates
) -> NewReplica | None:
    """All of the type at the new server, if that reaches the limit; any split is feasible."""
    graph, load = sinks.graph, balanced.load.copy()
    row = slice(graph.first[kind], graph.first[kind + 1])
    load[graph.sink[row]] -= balanced.flow[row] / sinks.sizes[graph.sink[row]]
    load[sink] += sinks.rates[kind] / sinks.sizes[sink]
    scale = boundary(load[sinks.sink], speed.local, speed.remote).scale
    return NewReplica(kind, sink, scale, 1.0) if scale >= limit * (1.0 - _SAME) else None


def _solved(sinks: ClusterSinks, kind: int, sink: int, speed: Rates) -> NewReplica:
    more: CompatibilityGraph = sinks.graph.with_edge(kind, sink)
    balanced = balanced_load(more, sinks.rates, sinks.sizes)
    if speed.rack is None:
        scale = boundary(balanced.load[sinks.sink], speed.local, speed.remote).scale
    else:
        scale = rack_capacity(more, sinks.rates, Sinks(sinks.sizes, sinks.rack), speed).scale
    row = slice(more.first[kind], more.first[kind + 1])
    used = balanced.flow[row][more.sink[row] == sink]
    return NewReplica(kind, sink, scale, float(used.sum() / sinks.rates[kind]))
