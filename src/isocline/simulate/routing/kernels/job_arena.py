"""Storage of jobs: one arena, in which each backend has a segment that doubles when full.

The first `serving` places of a segment hold the jobs in service, in no order; the places after them
form a ring of waiting jobs in order of arrival, from `head`. With processor sharing all places are
for service and the ring is empty. Memory follows the number of jobs, not the longest queue times
the number of backends.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import inlinable

FloatArray = npt.NDArray[np.float64]


class Jobs(NamedTuple):
    """B backends (or frontends, of held jobs), room for J jobs.

    Made by `arena`; written by the functions below and by the kernels. `enlarged` makes a larger
    one between two calls of a kernel. Places of a segment that hold no job mean nothing.
    """

    # (B,) int64, first place of each segment.
    start: npt.NDArray[np.int64]
    # (B,) int64, places in each segment.
    room: npt.NDArray[np.int64]
    # (B,) int64, the longest waiting job, counted from the ring's first place.
    head: npt.NDArray[np.int64]
    # (1,) int64, the first place that no segment has.
    free: npt.NDArray[np.int64]
    # (J,) float64, s, arrival time of each job; negative if it was there at the start.
    born: FloatArray
    # (J,) int32, the edge that each job came by; its number in kernel `abandonment`.
    edge: npt.NDArray[np.int32]
    # (J,) float64, mean jobs. Processor sharing: `Clocks.work` at which a job in service ends, or
    # the size of one that waits. Held jobs: the size. Means nothing to other kernels.
    key: FloatArray


FIRST_ROOM = 8


def arena(backends: int) -> Jobs:
    """An empty arena with a small segment for each backend."""
    start = np.arange(backends, dtype=np.int64) * FIRST_ROOM
    size = backends * FIRST_ROOM * 2
    return Jobs(
        start,
        np.full(backends, FIRST_ROOM, np.int64),
        np.zeros(backends, np.int64),
        np.array([backends * FIRST_ROOM], np.int64),
        np.zeros(size),
        np.zeros(size, np.int32),
        np.zeros(size),
    )


def enlarged(jobs: Jobs) -> Jobs:
    """The same jobs in an arena of twice the size."""
    return jobs._replace(
        born=np.concatenate((jobs.born, np.zeros_like(jobs.born))),
        edge=np.concatenate((jobs.edge, np.zeros_like(jobs.edge))),
        key=np.concatenate((jobs.key, np.zeros_like(jobs.key))),
    )


@inlinable
def place(jobs: Jobs, backend: int, index: int, serving: int) -> int:
    """Where job `index` of a backend is: 0 .. serving - 1 in service, then those that wait.

    Reads `jobs` only.
    """
    if index < serving:
        return jobs.start[backend] + index  # type: ignore[no-any-return]
    ring = jobs.room[backend] - serving
    at = jobs.head[backend] + index - serving
    return jobs.start[backend] + serving + (at - ring if at >= ring else at)  # type: ignore[no-any-return]


@inlinable
def move(jobs: Jobs, source: int, target: int) -> None:
    """Copy one job.

    Writes `jobs.born`, `edge` and `key` at `target`; both are places of the arena.
    """
    jobs.born[target] = jobs.born[source]
    jobs.edge[target] = jobs.edge[source]
    jobs.key[target] = jobs.key[source]


@inlinable
def reserve(jobs: Jobs, backend: int, count: int, serving: int) -> bool:
    """Make room for one more than `count` jobs; False if the arena itself is full.

    Copies the segment to a larger one where it is full: writes all of `jobs`.
    """
    room = jobs.room[backend]
    if count < room:
        return True
    target = jobs.free[0]
    if target + 2 * room > jobs.born.size:
        return False
    for index in range(count):
        move(jobs, place(jobs, backend, index, min(serving, room)), target + index)
    jobs.start[backend] = target
    jobs.room[backend] = 2 * room
    jobs.head[backend] = 0
    jobs.free[0] = target + 2 * room
    return True


@inlinable
def add(jobs: Jobs, backend: int, count: int, serving: int, born: float, edge: int) -> int:
    """Put a job behind the `count` that are there, for which `reserve` made room; its place.

    Writes `jobs.born`, s, and `jobs.edge` there; `key` is the caller's.
    """
    at = place(jobs, backend, count, serving)
    jobs.born[at] = born
    jobs.edge[at] = edge
    return at


@inlinable
def remove(jobs: Jobs, backend: int, index: int, count: int, serving: int) -> None:
    """Take out job `index` (in service) of `count`; the longest waiting one gets its place.

    Writes the backend's segment of `jobs`, and its `head`.
    """
    hole = jobs.start[backend] + index
    if count <= serving:
        move(jobs, jobs.start[backend] + count - 1, hole)
        return
    move(jobs, place(jobs, backend, serving, serving), hole)
    ring = jobs.room[backend] - serving
    head = jobs.head[backend] + 1
    jobs.head[backend] = 0 if head == ring else head
