"""Idle servers of the cluster and of each rack: a set with a random member in O(1)."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int32, int64, uint32

from isocline.compilation.compiled import array_of, inlined, record_of
from isocline.policies.scheduling.state.columns import IDLE_POSITION, IDLE_POSITION_IN_RACK
from isocline.randomness.draws import below

IntArray = npt.NDArray[np.int32]
FIRST, COUNT = 0, 1


class IdleServers(NamedTuple):
    """Groups of idle servers: 0 is the cluster, 1 + r is rack r, if racks make a difference.

    `add` and `remove` below write both arrays, and the servers' positions in `ClusterView.columns`.
    """

    # (M,) int32, or (2 M,) with racks: servers, group by group; of each group the first `part[g,
    # COUNT]` are its members, and the rest means nothing.
    order: IntArray
    # (G, 2) int32: FIRST, where each group begins in `order` (constant), and COUNT, how many
    # members it has.
    part: IntArray


MEMBERS = record_of(IdleServers, array_of(int32), array_of(int32, 2))


def all_idle(columns: IntArray, rack: IntArray, racks: int) -> IdleServers:
    """Make all M servers members, and write their positions into `columns`.

    Args:
        columns: (Q, columns) int32, `ClusterView.columns`; IDLE_POSITION, and with racks
            IDLE_POSITION_IN_RACK, are written.
        rack: (M,) int32, the number of each server's rack.
        racks: S, or 1 where racks make no difference.
    """
    order = np.arange(rack.size, dtype=np.int32)
    columns[: rack.size, IDLE_POSITION] = order
    part = [[0, rack.size]]
    if racks > 1:
        by_rack = np.argsort(rack, kind="stable").astype(np.int32)
        columns[by_rack, IDLE_POSITION_IN_RACK] = rack.size + np.arange(rack.size)
        count = np.bincount(rack, minlength=racks)
        part += np.column_stack((rack.size + np.cumsum(count) - count, count)).tolist()
        order = np.concatenate((order, by_rack))
    return IdleServers(order, np.array(part, np.int32))


@inlined
def add(columns: Any, members: IdleServers, server: int, group: int, column: int) -> None:
    """Make a server a member of a group; it must not be one.

    Args:
        columns: (Q, columns) int32, `ClusterView.columns`; the server's position is written.
        members: The set; `order` and `part` are written.
        server: Its number, below M.
        group: 0, or 1 + the number of its rack.
        column: IDLE_POSITION of group 0, else IDLE_POSITION_IN_RACK.
    """
    g = uint32(group)
    position = members.part[g, FIRST] + members.part[g, COUNT]
    members.part[g, COUNT] += 1
    members.order[uint32(position)] = server
    columns[uint32(server), column] = position


@inlined
def remove(columns: Any, members: IdleServers, server: int, group: int, column: int) -> None:
    """Remove a server from a group; the last member takes its position.

    Args:
        columns: (Q, columns) int32, `ClusterView.columns`; the last member's position is written.
        members: The set; `order` and `part` are written.
        server: Its number, below M.
        group: 0, or 1 + the number of its rack.
        column: IDLE_POSITION of group 0, else IDLE_POSITION_IN_RACK.
    """
    g = uint32(group)
    members.part[g, COUNT] -= 1
    last = uint32(members.order[uint32(members.part[g, FIRST] + members.part[g, COUNT])])
    position = columns[uint32(server), column]
    members.order[uint32(position)] = last
    columns[last, column] = position


@inlined
def member_count(members: IdleServers, group: int) -> int:
    """Number of members of a group."""
    return int64(members.part[uint32(group), COUNT])  # type: ignore[no-any-return]


@inlined
def random_member(members: IdleServers, group: int, rng: Any) -> int:
    """Return a random member of a group that has one.

    `rng`, (2,) uint64, is advanced by one draw.
    """
    g = uint32(group)
    at = members.part[g, FIRST] + below(rng, members.part[g, COUNT])
    return int64(members.order[uint32(at)])  # type: ignore[no-any-return]
