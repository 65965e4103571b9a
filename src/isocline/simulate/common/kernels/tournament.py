"""Next departure over all backends: a tournament over due times, O(log B) per change.

A complete binary tree over the next power of two of B leaves; an inner node holds the winner of its
two children. Unlike a heap it needs no search for the entry that changes, and its path has a fixed
length, so the loop predicts well.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint32

from isocline.compilation.compiled import inlinable


class Tournament(NamedTuple):
    """P leaves, a power of two, at least 2 and at least the number of backends (or servers).

    Made by `tournament`, and written by `schedule` alone.
    """

    # (P,) float64, s, when each backend finishes its next job; inf if it is idle, or none.
    due: npt.NDArray[np.float64]
    # (P,) int32, the backend with the least due time below each inner node: 1 is the root, the
    # children of a node n are 2 n and 2 n + 1, and 0 is not used.
    winner: npt.NDArray[np.int32]


def tournament(backends: int) -> Tournament:
    """All idle."""
    leaves = 1 << max(1, (backends - 1).bit_length())
    winner = np.zeros(leaves, np.int32)
    for node in range(leaves - 1, 0, -1):
        child = 2 * node
        winner[node] = child - leaves if child >= leaves else winner[child]
    return Tournament(np.full(leaves, np.inf), winner)


@inlinable
def schedule(t: Tournament, backend: int, due: float) -> None:
    """Set one due time and replay its matches up to the root.

    Writes `t.due` of the backend, s, and `t.winner` of the nodes above it.
    """
    # The winner so far and its time stay in registers, and indices are unsigned, as numba would
    # check others for one counted from the end.
    best, least = uint32(backend), due
    t.due[best] = due
    # The first match is between two leaves, the others between the winners of two nodes.
    rival = uint32(best ^ uint32(1))
    node = uint32((best + t.due.size) >> 1)
    while True:
        theirs = t.due[rival]
        wins = theirs < least
        best = rival if wins else best
        least = theirs if wins else least
        t.winner[node] = best
        if node == 1:
            return
        rival = uint32(t.winner[uint32(node ^ uint32(1))])
        node = uint32(node >> uint32(1))


@inlinable
def leader(t: Tournament) -> Any:
    """The backend that finishes next.

    Reads `t.winner[1]`.
    """
    return t.winner[1]
