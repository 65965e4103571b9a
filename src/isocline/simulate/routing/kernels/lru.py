"""Least-recently-used sets of numbers: prefix caches of backends, and what frontends know of them.

C sets share one arena. Each has a table of slots with open addressing (linear probing, no more than
half full, deletion by shifting back) and a doubly linked list through its nodes in order of use,
both in arrays: O(1) per number, whatever a set's capacity.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel

IntArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.int64]

NONE = -1  # in place of a node

# Columns of `Lru.link`: the node used next before, and next after.
OLDER, NEWER = 0, 1
# Columns of `Lru.ends`: the node used least recently, and most recently; and the number of nodes.
OLDEST, NEWEST, SIZE = 0, 1, 2
# 2^32 over the square of the golden ratio: multiples of it spread numbers that follow each other
# (Knuth, 6.4), and those of an int32 are within an int64.
_SPREAD = 1640531527
_LOW = 0xFFFFFFFF


class Lru(NamedTuple):
    """C sets with room for T numbers together, in S slots.

    Made by `lru`; written by `use`.
    """

    # (C + 1,) int64, the nodes of set c are first[c] : first[c + 1], its capacity their number.
    first: IndexArray
    # (C + 1,) int64, likewise its slots, a power of 2.
    slots: IndexArray
    # (S,) int32, the node whose number is here, NONE where there is none.
    slot: IntArray
    # (T,) int32, the number in each node.
    number: IntArray
    # (T, 2) int32, OLDER and NEWER.
    link: IntArray
    # (C, 3) int32, OLDEST, NEWEST and SIZE.
    ends: IntArray


def lru(capacities: IndexArray) -> Lru:
    """Empty sets; `capacities` is (C,), numbers, each 0 or more."""
    # A slot more than twice the capacity, so that each search ends at an empty one.
    slots = 2 ** np.ceil(np.log2(2 * capacities + 1)).astype(np.int64)
    first = np.concatenate(([0], np.cumsum(capacities))).astype(np.int64)
    begin = np.concatenate(([0], np.cumsum(slots))).astype(np.int64)
    ends = np.full((capacities.size, 3), NONE, np.int32)
    ends[:, SIZE] = 0
    return Lru(
        first,
        begin,
        np.full(begin[-1], NONE, np.int32),
        np.zeros(first[-1], np.int32),
        np.full((first[-1], 2), NONE, np.int32),
        ends,
    )


@kernel
def home(sets: Lru, which: int, number: int) -> int:
    """The slot at which a search for a number begins."""
    begin = sets.slots[which]
    mask = sets.slots[which + 1] - begin - 1
    spread = (np.int64(number) * _SPREAD) & _LOW
    return begin + ((spread >> 4) & mask)  # type: ignore[no-any-return]


@kernel
def slot_of(sets: Lru, which: int, number: int) -> int:
    """The slot of a number in a set, or the empty one in which it would be."""
    begin = sets.slots[which]
    mask = sets.slots[which + 1] - begin - 1
    at = home(sets, which, number)
    while sets.slot[at] != NONE and sets.number[sets.slot[at]] != number:
        at = begin + ((at - begin + 1) & mask)
    return at


@kernel
def leading(sets: Lru, which: int, numbers: IntArray, low: int, high: int) -> int:
    """How many of numbers[low : high], from the first on, are in a set. Reads alone."""
    for i in range(low, high):
        if sets.slot[slot_of(sets, which, numbers[i])] == NONE:
            return i - low
    return high - low


@kernel
def use(sets: Lru, which: int, number: int) -> None:
    """Make a number the one used most recently; where a set is full, the oldest one leaves it.

    Writes the set's parts of `sets`, whose capacity must not be 0.
    """
    at = slot_of(sets, which, number)
    node = sets.slot[at]
    if node == sets.ends[which, NEWEST] and node != NONE:
        return
    if node == NONE:
        size = sets.ends[which, SIZE]
        if size < sets.first[which + 1] - sets.first[which]:
            node = sets.first[which] + size
            sets.ends[which, SIZE] = size + 1
        else:
            node = sets.ends[which, OLDEST]
            detach(sets, which, node)
            vacate(sets, which, slot_of(sets, which, sets.number[node]))
            at = slot_of(sets, which, number)  # what was shifted back may have freed a nearer one
        sets.number[node] = number
        sets.slot[at] = node
    else:
        detach(sets, which, node)
    newest = sets.ends[which, NEWEST]
    sets.link[node, OLDER] = newest
    sets.link[node, NEWER] = NONE
    if newest == NONE:
        sets.ends[which, OLDEST] = node
    else:
        sets.link[newest, NEWER] = node
    sets.ends[which, NEWEST] = node


@kernel
def detach(sets: Lru, which: int, node: int) -> None:
    """Take a node out of its list. Writes `sets.link` and `sets.ends`."""
    older, newer = sets.link[node, OLDER], sets.link[node, NEWER]
    if older == NONE:
        sets.ends[which, OLDEST] = newer
    else:
        sets.link[older, NEWER] = newer
    if newer == NONE:
        sets.ends[which, NEWEST] = older
    else:
        sets.link[newer, OLDER] = older


@kernel
def vacate(sets: Lru, which: int, at: int) -> None:
    """Empty a slot, and shift back those behind it that a search would no longer reach.

    Writes `sets.slot` of the set.
    """
    begin = sets.slots[which]
    mask = sets.slots[which + 1] - begin - 1
    hole = at
    while True:
        at = begin + ((at - begin + 1) & mask)
        if sets.slot[at] == NONE:
            break
        start = home(sets, which, sets.number[sets.slot[at]])
        # Whether `start` is not behind the hole, going around.
        if ((at - start) & mask) >= ((at - hole) & mask):
            sets.slot[hole] = sets.slot[at]
            hole = at
    sets.slot[hole] = NONE


@kernel
def use_all(sets: Lru, which: int, numbers: IntArray, low: int, high: int) -> None:
    """Use numbers[low : high], the first one last, as many from the first on as there is room for.

    So of the blocks of a prompt those at its end leave first: without those before them they would
    be of no use. vLLM frees them in this order, too. Writes as `use`.
    """
    high = min(high, low + sets.first[which + 1] - sets.first[which])
    for i in range(high - 1, low - 1, -1):
        use(sets, which, numbers[i])


@kernel
def clear(sets: Lru, which: int) -> None:
    """Empty a set. Writes its parts of `sets`."""
    sets.slot[sets.slots[which] : sets.slots[which + 1]] = NONE
    sets.ends[which, OLDEST] = sets.ends[which, NEWEST] = NONE
    sets.ends[which, SIZE] = 0
