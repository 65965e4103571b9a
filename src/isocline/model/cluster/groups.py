"""Servers that are alike: the small problem that has the sampled system's balanced loads."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.model.cluster.placement import (
    HotSpotPlacement,
    IntArray,
    Part,
    Placement,
    UniformPlacement,
)
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class ServerGroups:
    """Servers of one of G groups are exchangeable: permuting them leaves every type's rate as is.

    The balanced load (near-data paper, Lemma 2) is unique, so it is the same on all servers of a
    group, and is that of the flow on `graph` from classes of types to groups over `sizes`. A class
    is all the types whose replicas lie in the same groups.
    """

    group: IntArray  # (M,) the group of each server
    sizes: npt.NDArray[np.int64]  # (G,) servers in each group
    graph: CompatibilityGraph  # classes of types -> groups
    rates: FloatArray  # tasks/s of each class


def server_groups(placement: Placement, servers: int, rate: float) -> ServerGroups | None:
    """The groups of a placement on M servers, with `rate` tasks/s in all.

    Groups are the hot and the other servers. Under the hdfs placement with racks of different
    sizes each of the two falls into its racks; None there for more than three replicas, whose
    classes are too many to be worth listing.
    """
    cells = [(part, share * rate, _cells(part)) for part, share in _parts(placement)]
    group = np.full(servers, -1, np.int32)
    neighbours: list[tuple[int, ...]] = []
    rates: list[float] = []
    groups = 0
    for part, part_rate, found in cells:
        if found is None:
            return None
        cell, shares = found
        group[part.servers] = groups + cell
        neighbours += [tuple(groups + number for number in numbers) for numbers in shares]
        rates += [share * part_rate for share in shares.values()]
        groups += int(cell.max()) + 1
    if (group < 0).any():  # servers without data
        group[group < 0] = groups
        groups += 1
    graph = CompatibilityGraph.from_neighbours(groups, neighbours)
    sizes = np.bincount(group, minlength=groups).astype(np.int64)
    return ServerGroups(group, sizes, graph, np.array(rates))


def _parts(placement: Placement) -> list[tuple[Part, float]]:
    """The sets of servers that are placed on separately, each with its share of the tasks."""
    if not isinstance(placement, HotSpotPlacement):
        return [(placement, 1.0)]
    parts = [(placement.hot, placement.share)]
    if placement.cold is not None:
        parts.append((placement.cold, 1.0 - placement.share))
    return parts


def _cells(part: Part) -> tuple[IntArray, dict[tuple[int, ...], float]] | None:
    """The cell of each server of a part, and the share of the part's tasks on each set of cells."""
    alike: tuple[IntArray, dict[tuple[int, ...], float]]
    alike = np.zeros(part.servers.size, np.int32), {(0,): 1.0}
    if isinstance(part, UniformPlacement) or part.replicas == 1:
        return alike
    _, cell, sizes = np.unique(part.rack, return_inverse=True, return_counts=True)
    if (sizes == sizes[0]).all():  # racks can be exchanged, too
        return alike
    if part.replicas > 3:
        return None
    # First in rack r with probability n_r / n, then in another rack s with n_s / (n - n_r).
    n = int(sizes.sum())
    shares: dict[tuple[int, ...], float] = {
        (r, s): float(n_r * n_s) / n * (1.0 / (n - n_r) + 1.0 / (n - n_s))
        for s, n_s in enumerate(sizes)
        for r, n_r in enumerate(sizes[:s])
    }
    return cell.astype(np.int32), shares
