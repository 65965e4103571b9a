"""Changes of a cluster: servers added or removed, tasks that come more or less often."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from isocline.errors import UsageError
from isocline.model.changes.written import (
    Addition,
    Changes,
    NewRate,
    Removal,
    next_names,
    siblings,
)
from isocline.model.cluster import Cluster, ExplicitTasks
from isocline.model.cluster.cluster import racks_of
from isocline.model.cluster.placement import IntArray
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile.problems import choice

SERVERS = "servers"  # any of them
Holders = list[set[int]]  # of each listed task type


def changed_cluster(cluster: Cluster, changes: Changes) -> Cluster:
    """The cluster after all changes; raises UsageError as `changed`."""
    cluster = reduce(_with_servers, changes.additions, cluster)
    cluster = reduce(_without, changes.removals, cluster)
    return reduce(_at_rate, changes.rates, cluster)


def _with_servers(cluster: Cluster, addition: Addition) -> Cluster:
    """The cluster with more servers behind the last."""
    said, count = f"add {addition.name!r}", addition.count
    if addition.frontends:
        raise UsageError(f"{said}: a cluster has no frontends; leave out what follows @")
    size, holders = cluster.size, _holders(cluster)
    found = _meant(cluster, said, addition.name)
    stem = addition.name
    if addition.name in cluster.servers:
        original = found[0]
        rack = int(cluster.rack[original])
        copies = set(range(size, size + count))
        holders = [row | copies if original in row else row for row in holders]
    elif addition.name in cluster.racks and addition.name != SERVERS and not _unnamed(cluster):
        rack = cluster.racks.index(addition.name)
    else:
        if len(cluster.racks) > 1 and not _in_even_racks(cluster):
            known = ", ".join(map(repr, cluster.racks[:6]))
            raise UsageError(f"{said}: say in which rack, as {cluster.racks[0]}=1; known: {known}")
        rack, stem = 0, "server"
    if _unnamed(cluster):
        names = [str(number) for number in range(size, size + count)]
    else:
        names = next_names(stem, cluster.servers, count)
    servers = (*cluster.servers, *names)
    if _in_even_racks(cluster):
        placed = racks_of(len(servers), len(cluster.racks))
    else:
        placed = np.concatenate((cluster.rack, np.full(count, rack, np.int32)))
    return _placed(cluster, servers, placed, cluster.racks, holders)


def _without(cluster: Cluster, removal: Removal) -> Cluster:
    """The cluster without some of its servers."""
    said = f"remove {removal.name!r}"
    found = _meant(cluster, said, removal.name)
    if removal.count > len(found):
        raise UsageError(f"{said}: there are {len(found):,} of it; give at most that many")
    if removal.count == cluster.size:
        raise UsageError(f"{said}: no server would be left; leave at least one")
    gone = set(found[-removal.count :])
    kept = [m for m in range(cluster.size) if m not in gone]
    place = {m: i for i, m in enumerate(kept)}
    holders = [{place[m] for m in row if m in place} for row in _holders(cluster)]
    for number, row in enumerate(holders):
        if not row:
            raise UsageError(
                f"{said}: the data of tasks[{number}] would be on no server; remove another, or "
                "give the type another holder"
            )
    names = tuple(cluster.servers[m] for m in kept)
    if _unnamed(cluster) and not holders:
        names = tuple(map(str, range(len(kept))))
    if _in_even_racks(cluster) and not holders and len(kept) >= len(cluster.racks):
        return _placed(cluster, names, racks_of(len(kept), len(cluster.racks)), cluster.racks, [])
    used, rack = np.unique(cluster.rack[kept], return_inverse=True)
    racks = tuple(cluster.racks[r] for r in used.tolist())
    return _placed(cluster, names, rack.astype(np.int32), racks, holders)


def _at_rate(cluster: Cluster, change: NewRate) -> Cluster:
    """The same mixture of tasks, more or less often."""
    said = f"rate {change.text!r}"
    if change.name is not None:
        raise UsageError(
            f"{said}: the tasks of a cluster have no names; give a factor for all, as x1.5, or the "
            "rate of all together, as 900"
        )
    if change.is_factor:
        return cluster.sped_up(change.value)
    if change.value == 0.0:
        raise UsageError(f"{said}: a cluster without tasks has no plan; give a rate above 0")
    return cluster.at_rate(change.value)


def _meant(cluster: Cluster, said: str, name: str) -> list[int]:
    """Return the servers that a name means, in the order in which the last ones go first."""
    if name in cluster.servers:
        return siblings(name, cluster.servers)
    if name == SERVERS:
        return list(range(cluster.size))
    if name in cluster.racks and not _unnamed(cluster):
        return np.flatnonzero(cluster.rack == cluster.racks.index(name)).tolist()
    if _unnamed(cluster):
        raise UsageError(
            f"{said}: the servers have no names; give {SERVERS}=COUNT, or a number below "
            f"{cluster.size}"
        )
    known = [SERVERS, *(cluster.racks if len(cluster.racks) > 1 else ()), *cluster.servers]
    raise UsageError(f"{said}: there is no server or rack {name!r}; {choice(name, known)}")


def _unnamed(cluster: Cluster) -> bool:
    """Whether servers are numbered, as those of which the file gives the count."""
    return all(isinstance(label, int) for label in cluster.labels)


def _in_even_racks(cluster: Cluster) -> bool:
    """Whether racks are those of a file that gives their count: neighbours, evenly."""
    racks = len(cluster.racks)
    return _unnamed(cluster) and np.array_equal(cluster.rack, racks_of(cluster.size, racks))


def _holders(cluster: Cluster) -> Holders:
    """Return the holders of each listed type; [] where types are drawn."""
    if not isinstance(cluster.tasks, ExplicitTasks):
        return []
    graph = cluster.tasks.graph
    return [set(graph.neighbours(number).tolist()) for number in range(graph.sources)]


def _placed(
    cluster: Cluster,
    servers: Sequence[str],
    rack: IntArray,
    racks: tuple[str, ...],
    holders: Iterable[set[int]],
) -> Cluster:
    """The cluster with other servers, and these holders of the listed types."""
    tasks = cluster.tasks
    if isinstance(tasks, ExplicitTasks):
        graph = CompatibilityGraph.from_neighbours(len(servers), [sorted(row) for row in holders])
        tasks = ExplicitTasks(graph, tasks.rates)
    return replace(cluster, servers=tuple(servers), rack=rack, racks=racks, tasks=tasks)
