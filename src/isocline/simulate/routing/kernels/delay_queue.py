"""Queue of jobs and news under way, in order of time.

As each delay is constant, what is sent first arrives first, and a ring of entries does what else
would take a heap: O(1) for each.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint32

from isocline.compilation.compiled import kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

HEAD, SIZE = 0, 1
FIRST_ROOM = 1024


class DelayQueue(NamedTuple):
    """Room for Q entries, Q a power of two.

    Made by `ring`; written by `push` and `pop`; `widened` makes a larger one between two calls of a
    kernel.
    """

    # (Q,) float64, s, when it arrives; not decreasing from the first entry on.
    due: FloatArray
    # (Q,) int32, the edge or the backend that it is about.
    who: IntArray
    # (Q,) int32, what is said of it: of news ENDED, THERE, or WORKLOAD + jobs of `delayed`; of jobs
    # 0.
    what: IntArray
    # (Q,) float64, s: of jobs when they were sent; of news ENDED how long the job took, else 0.
    since: FloatArray
    # (2,) int64: HEAD, place of the first entry, and SIZE, number of entries.
    ends: npt.NDArray[np.int64]


def ring() -> DelayQueue:
    """Nothing under way."""
    return DelayQueue(
        np.zeros(FIRST_ROOM),
        np.zeros(FIRST_ROOM, np.int32),
        np.zeros(FIRST_ROOM, np.int32),
        np.zeros(FIRST_ROOM),
        np.zeros(2, np.int64),
    )


def widened(r: DelayQueue) -> DelayQueue:
    """The same entries with twice the room."""
    order = (r.ends[HEAD] + np.arange(r.due.size)) % r.due.size
    return DelayQueue(
        np.concatenate((r.due[order], np.zeros_like(r.due))),
        np.concatenate((r.who[order], np.zeros_like(r.who))),
        np.concatenate((r.what[order], np.zeros_like(r.what))),
        np.concatenate((r.since[order], np.zeros_like(r.since))),
        np.array([0, r.ends[SIZE]]),
    )


@kernel
def push(r: DelayQueue, due: float, who: int, what: int, since: float) -> None:
    """Send an entry; there must be room.

    Writes the next place of all arrays of `r`, and its `ends`; `due` and `since` are in s.
    """
    at = uint32((r.ends[HEAD] + r.ends[SIZE]) & (r.due.size - 1))
    r.due[at] = due
    r.who[at] = who
    r.what[at] = what
    r.since[at] = since
    r.ends[SIZE] += 1


@kernel
def pop(r: DelayQueue) -> Any:
    """Take the entry that arrives next; its place, valid until the next `push`.

    Writes `r.ends`.
    """
    at = r.ends[HEAD]
    r.ends[HEAD] = (at + 1) & (r.due.size - 1)
    r.ends[SIZE] -= 1
    return uint32(at)


@kernel
def next_due(r: DelayQueue) -> float:
    """When that is, s; inf if nothing is under way.

    Reads `r.due` and `r.ends`.
    """
    return r.due[uint32(r.ends[HEAD])] if r.ends[SIZE] > 0 else np.inf


@kernel
def is_full(r: DelayQueue, more: int) -> bool:
    """Whether there is no room for `more` entries.

    Reads `r.ends`.
    """
    return r.ends[SIZE] + more > r.due.size  # type: ignore[no-any-return]
