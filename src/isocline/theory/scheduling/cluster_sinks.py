"""Cluster as a level flow or linear program: types, and servers or groups of them."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.model.cluster import Cluster, ExplicitTasks, SampledTasks, ServerGroups
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

# Types drawn where servers do not fall into groups, and classes of types estimated where they do
# but racks count: with 200 000 draws a class with 1 % of the tasks is known to 2 % of its rate.
_DRAWS = 200_000


@final
@dataclass(frozen=True, eq=False)
class ClusterSinks:
    """Types on sinks that stand for one server or for several that are alike."""

    graph: CompatibilityGraph
    rates: FloatArray  # (L,) tasks/s
    sizes: FloatArray  # (G,) servers in each sink
    sink: IntArray  # (M,) the sink of each server
    rack: IntArray  # (G,) the rack of each sink
    basis: str  # what this is, in words


def cluster_sinks(cluster: Cluster, seed: int = 0) -> ClusterSinks:
    """Build the problem of a cluster's balanced load.

    Listed types are taken as they are. Where types are drawn and permuting the servers of a group
    leaves every type's rate as it is, all of a group have the same load, as the balanced load is
    unique: the small problem of groups is exact. Else a sample of types stands for all.

    Args:
        cluster: The cluster.
        seed: Of the sample of types, if one is needed.
    """
    if isinstance(cluster.tasks, ExplicitTasks):
        return _listed(cluster, cluster.tasks, "the types of the file")
    groups = cluster.tasks.groups(cluster)
    if groups is None:
        sample = cluster.tasks.types(cluster, _DRAWS, seed)
        return _listed(cluster, sample, f"a sample of {_DRAWS:,} types")
    sizes, rack = groups.sizes.astype(np.float64), _racks(groups.group, cluster.rack)
    return ClusterSinks(
        groups.graph, groups.rates, sizes, groups.group, rack, "groups of servers that are alike"
    )


def rack_sinks(cluster: Cluster, seed: int = 0) -> ClusterSinks:
    """As `cluster_sinks`, with every sink inside one rack, for the linear program of three levels.

    Groups of servers that are alike are cut by racks. Within a class of types, those with the same
    groups, the shares of those with the same sinks are then estimated by drawing.
    """
    tasks = cluster.tasks
    groups = tasks.groups(cluster) if isinstance(tasks, SampledTasks) else None
    if groups is None or isinstance(tasks, ExplicitTasks):
        return cluster_sinks(cluster, seed)
    cell = _cells(groups, cluster)
    drawn = cell[tasks.draw(cluster, np.random.default_rng((seed, _DRAWS)), _DRAWS)]
    classes, count = np.unique(np.sort(drawn, axis=1), axis=0, return_counts=True)
    rows = [np.unique(row) for row in classes]
    group_of = groups.group[np.unique(cell, return_index=True)[1]]
    return ClusterSinks(
        CompatibilityGraph.from_neighbours(int(cell.max()) + 1, rows),
        _shared_out(count.astype(np.float64), [group_of[row] for row in rows], groups),
        np.bincount(cell).astype(np.float64),
        cell,
        _racks(cell, cluster.rack),
        f"groups of servers that are alike, and a sample of {_DRAWS:,} types",
    )


def _listed(cluster: Cluster, tasks: ExplicitTasks, basis: str) -> ClusterSinks:
    each = np.arange(cluster.size, dtype=np.int32)
    return ClusterSinks(tasks.graph, tasks.rates, np.ones(cluster.size), each, cluster.rack, basis)


def _cells(groups: ServerGroups, cluster: Cluster) -> IntArray:
    """(M,) servers of one group and rack have one number."""
    pairs = groups.group.astype(np.int64) * len(cluster.racks) + cluster.rack
    cell: IntArray = np.unique(pairs, return_inverse=True)[1].astype(np.int32)
    return cell


def _racks(sink: IntArray, rack: IntArray) -> IntArray:
    """(G,) the rack of the first server of each sink."""
    return np.asarray(rack[np.unique(sink, return_index=True)[1]])


def _shared_out(count: FloatArray, rows: list[IntArray], groups: ServerGroups) -> FloatArray:
    """Rates in proportion to counts that give every class of the groups its exact rate."""
    number = {tuple(groups.graph.neighbours(i).tolist()): i for i in range(groups.graph.sources)}
    class_of = np.array([number[tuple(np.unique(row).tolist())] for row in rows])
    drawn = np.bincount(class_of, count, groups.graph.sources)
    return np.asarray(count * (groups.rates / np.maximum(drawn, 1.0))[class_of])
