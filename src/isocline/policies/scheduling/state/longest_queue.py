"""The longest queue in O(1): queues in order of length, in which a change by one is one swap.

Queues of equal length are adjacent, the longest first, so one that grows is swapped with the first
of its length, and the boundary moves by one. A queue's key is its length above the least one that
matters to the policy; those of key 0 are not in the order, so that most changes of a length cost
nothing here, and the queues that move are those that moved lately and are still in the cache.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int32, int64, uint32

from isocline.compilation.compiled import array_of, inlinable, inlined, record_of
from isocline.policies.scheduling.state.columns import KEY, POSITION, POSITION_IN_RACK
from isocline.randomness.draws import below

IntArray = npt.NDArray[np.int32]

FIRST_KEYS = 64


class LongestQueues(NamedTuple):
    """Groups of queues: 0 is the cluster, 1 + r is rack r; keys 0 .. K - 1. Empty if not wanted.

    `set_key` below writes both, called by the policy's `changed`; the caller adds space for keys
    between two calls of its kernel.
    """

    # (M,) int32, or (2 M,) with racks: queues, group by group, within a group by falling key; of
    # each group the first `above[g, 1]` are those with a key above 0, and the rest means nothing.
    order: IntArray
    # (G, K) int32: number of queues of the group with at least this key; for key 0, instead,
    # the position in `order` at which the group begins.
    above: IntArray


ORDER = record_of(LongestQueues, array_of(int32), array_of(int32, 2))
NO_ORDER = LongestQueues(np.zeros(0, np.int32), np.zeros((0, 2), np.int32))


def zero_keys(rack: IntArray, racks: int) -> LongestQueues:
    """Give each of the M queues key 0; `racks` is 1 for none.

    `rack`, (M,) int32, has the number of each server's rack.
    """
    starts = [0]
    if racks > 1:
        count = np.bincount(rack, minlength=racks)
        starts += (rack.size + np.cumsum(count) - count).tolist()
    above = np.zeros((len(starts), FIRST_KEYS), np.int32)
    above[:, 0] = starts
    return LongestQueues(np.zeros(rack.size * (1 if racks == 1 else 2), np.int32), above)


def with_more_keys(order: LongestQueues) -> LongestQueues:
    """Copy the order to arrays for twice as many keys."""
    return order._replace(above=np.concatenate((order.above, np.zeros_like(order.above)), axis=1))


@inlinable
def is_full(o: LongestQueues) -> bool:
    """Whether a queue may have the largest key that there is space for."""
    return o.above[0, o.above.shape[1] - 1] > 0  # type: ignore[no-any-return]


@inlined
def set_key(columns: Any, o: LongestQueues, queue: int, key: int, rack: Any) -> None:
    """Change the key of a queue in the cluster and, if `rack` >= 0, in its rack.

    O(1) for each step up or down.

    Args:
        columns: (Q, columns) int32, `ClusterView.columns`; KEY of the queue is written, and
            POSITION and POSITION_IN_RACK of all queues that move.
        o: The order; both arrays are written.
        queue: Its number, below M.
        key: Tasks, at least 0; above K - 1 it counts as that.
        rack: The number of its rack; below 0 where racks make no difference.
    """
    q = uint32(queue)
    old = columns[q, KEY]
    # A key beyond the space for once is corrected at the queue's next change.
    key = min(key, o.above.shape[1] - 1)
    if old == key:
        return
    columns[q, KEY] = key
    _move(columns, o, q, old, key, 0, POSITION)
    if rack >= 0:
        _move(columns, o, q, old, key, 1 + rack, POSITION_IN_RACK)


@inlined
def _move(
    columns: Any, o: LongestQueues, queue: Any, old: int, key: int, group: int, column: int
) -> None:
    g = uint32(group)
    first = o.above[g, 0]
    if old == 0:
        old = 1
        columns[queue, column] = first + o.above[g, 1]
        o.above[g, 1] += 1
    place = columns[queue, column]
    while old < key:
        old += 1
        to = first + o.above[g, uint32(old)]
        o.above[g, uint32(old)] += 1
        place = _step(columns, o, place, to, column)
    while old > key:
        o.above[g, uint32(old)] -= 1
        to = first + o.above[g, uint32(old)]
        old -= 1
        place = _step(columns, o, place, to, column)
    o.order[uint32(place)] = queue
    columns[queue, column] = place


@inlined
def _step(columns: Any, o: LongestQueues, place: int, to: int, column: int) -> int:
    """Move the queue at `to` to `place`, which is vacant; `to` is vacant then."""
    if to != place:
        other = uint32(o.order[uint32(to)])
        o.order[uint32(place)] = other
        columns[other, column] = place
    return to


@inlined
def top_key(columns: Any, o: LongestQueues, group: int) -> int:
    """Return the largest key of a group.

    Reads `columns`, which is `ClusterView.columns`, and `o`.
    """
    g = uint32(group)
    if o.above[g, 1] == 0:
        return 0
    return int64(columns[uint32(o.order[uint32(o.above[g, 0])]), KEY])  # type: ignore[no-any-return]


@inlined
def any_longest(columns: Any, o: LongestQueues, group: int, rng: Any) -> int:
    """Return a random queue among those with the largest key, which must be above 0.

    Reads `columns`, which is `ClusterView.columns`, and `o`; `rng`, (2,) uint64, is advanced by one
    draw if queues tie.
    """
    g = uint32(group)
    at = o.above[g, 0]
    tied = o.above[g, uint32(columns[uint32(o.order[uint32(at)]), KEY])]
    if tied > 1:
        at += below(rng, tied)
    return int64(o.order[uint32(at)])  # type: ignore[no-any-return]
