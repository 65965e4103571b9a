"""A set of servers with a random member in O(1): the idle ones, of the cluster and of each rack."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int32, int64, uint32

from isocline.compilation.compiled import array_of, inlined, record_of
from isocline.policies.scheduling.state.columns import IDLE_PLACE, IDLE_PLACE_IN_RACK
from isocline.randomness.draws import below

IntArray = npt.NDArray[np.int32]
FIRST, COUNT = 0, 1


class IdleServers(NamedTuple):
    """Group 0 is the cluster, group 1 + r is rack r; without racks there is only the first.

    `add` and `remove` below write both, together with the servers' places in `ClusterView.columns`.
    """

    # (M,) int32, or (2 M,) with racks: servers, group by group; of each group the first `part[g,
    # COUNT]` are its members, and the rest means nothing.
    order: IntArray
    # (G, 2) int32: FIRST, where each group begins in `order` (constant), and COUNT, how many
    # members it has.
    part: IntArray


MEMBERS = record_of(IdleServers, array_of(int32), array_of(int32, 2))


def everyone(columns: IntArray, rack: IntArray, racks: int) -> IdleServers:
    """All M servers are members; writes their places into `columns`. `racks` is 1 for none.

    Args:
        columns: (Q, columns) int32, `ClusterView.columns`; IDLE_PLACE, and with racks
            IDLE_PLACE_IN_RACK, are written.
        rack: (M,) int32, the number of each server's rack.
        racks: S, or 1 where racks make no difference.
    """
    order = np.arange(rack.size, dtype=np.int32)
    columns[: rack.size, IDLE_PLACE] = order
    part = [[0, rack.size]]
    if racks > 1:
        by_rack = np.argsort(rack, kind="stable").astype(np.int32)
        columns[by_rack, IDLE_PLACE_IN_RACK] = rack.size + np.arange(rack.size)
        count = np.bincount(rack, minlength=racks)
        part += np.column_stack((rack.size + np.cumsum(count) - count, count)).tolist()
        order = np.concatenate((order, by_rack))
    return IdleServers(order, np.array(part, np.int32))


@inlined
def add(columns: Any, members: IdleServers, server: int, group: int, column: int) -> None:
    """Make a server a member of a group; it must not be one.

    Args:
        columns: (Q, columns) int32, `ClusterView.columns`; the server's place is written.
        members: The set; `order` and `part` are written.
        server: Its number, below M.
        group: 0, or 1 + the number of its rack.
        column: IDLE_PLACE of group 0, else IDLE_PLACE_IN_RACK.
    """
    g = uint32(group)
    place = members.part[g, FIRST] + members.part[g, COUNT]
    members.part[g, COUNT] += 1
    members.order[uint32(place)] = server
    columns[uint32(server), column] = place


@inlined
def remove(columns: Any, members: IdleServers, server: int, group: int, column: int) -> None:
    """Make a member none any more: the last one takes its place.

    Args:
        columns: (Q, columns) int32, `ClusterView.columns`; the place of the last member is written.
        members: The set; `order` and `part` are written.
        server: Its number, below M.
        group: 0, or 1 + the number of its rack.
        column: IDLE_PLACE of group 0, else IDLE_PLACE_IN_RACK.
    """
    g = uint32(group)
    members.part[g, COUNT] -= 1
    last = uint32(members.order[uint32(members.part[g, FIRST] + members.part[g, COUNT])])
    place = columns[uint32(server), column]
    members.order[uint32(place)] = last
    columns[last, column] = place


@inlined
def how_many(members: IdleServers, group: int) -> int:
    """IdleServers of a group."""
    return int64(members.part[uint32(group), COUNT])  # type: ignore[no-any-return]


@inlined
def anyone(members: IdleServers, group: int, rng: Any) -> int:
    """A random member; the group must have one.

    `rng`, (2,) uint64, is advanced by one draw.
    """
    g = uint32(group)
    at = members.part[g, FIRST] + below(rng, members.part[g, COUNT])
    return int64(members.order[uint32(at)])  # type: ignore[no-any-return]
