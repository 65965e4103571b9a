"""Tasks in the system, and the queues and lists that contain them.

A task has a row while it is in the system. A queue or list is a ring of row numbers, in a segment
of an arena that doubles when it is full. A task bound to a queue is in that one; one that is not
yet bound is in the list of every server that holds its data, and is removed lazily: an entry of a
task that has started is dropped once it reaches the head.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import float64, int32, int64, uint32

from isocline.compilation.compiled import array_of, inlinable, inlined, kernel, record_of

IntArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

FIRST_CAPACITY, FIRST_TASKS = 4, 1024
NONE = -1

# Columns of `Tasks.fact`, all int32; two more are the live core's (see its `kernels.state`).
#
#     LOW, HIGH  its local servers are holders[LOW : HIGH]
#     JOB        the job that it belongs to, or NONE without a list of jobs
#     WAITS      0 once it has started; 1 before, or, in the live core, FETCHING or FETCH_DONE
#     ENTRIES    number of lists that it is in, and 1 more until it completes
#     FREE       not of the row's own task: a stack of the free rows, of which the first
#                mark[LEFT] count
LOW, HIGH, JOB, WAITS, ENTRIES, FREE = range(6)
FACTS = 8
# Columns of `Tasks.time`, float64.
#
#     BORN  when it arrived, s, or slots on the slotted clock
#     WORK  its service time over the mean of its level, 1 where the simulator draws none; the
#           live core has SERIAL here
BORN, WORK = 0, 1
# Columns of `Lists.ring`, int32.
#
#     START     position of the segment in `entry`
#     CAPACITY  length of the segment, a power of two
#     HEAD      position of the first entry, counted from START
#     SIZE      entries, those of tasks that no longer wait included
START, CAPACITY, HEAD, SIZE = range(4)
# Entries of `Lists.mark`, int64.
#
#     LEFT  free rows of tasks
#     USED  length of all segments in `entry`
#     FULL  1 if a list is full, and stays so until the caller makes space
LEFT, USED, FULL = range(3)


class Tasks(NamedTuple):
    """Arrays for T tasks.

    The caller's kernel writes all three; once they are full the caller copies them to larger ones.
    The live core also writes HIGH, WAITS and `holders`, between two events. If tasks are not kept,
    T is 1, and the row has the local servers of the task that is arriving.
    """

    # (T, FACTS) int32: the columns LOW, ... above.
    fact: IntArray
    # (T, 2) float64: the columns BORN and WORK above.
    time: FloatArray
    # (T * replicas,) int32, servers: `replicas` entries for each row, which the kernel writes as
    # the task arrives. Or, read-only, the table of all types (or chunks) of tasks.
    holders: IntArray


class Lists(NamedTuple):
    """Q queues or lists, with space for J entries.

    The functions below and the live core's kernels write all three; Q is that of
    `ClusterView.columns`, 0 if no tasks are kept, and (1 + jobs) times as much with lists by job
    (see `fair_share`).
    """

    # (Q, 4) int32, the segment of each: the columns START, ... above.
    ring: IntArray
    # (J,) int32, rows of tasks; what lies outside the segments' entries means nothing.
    entry: IntArray
    # (3,) int64: the entries LEFT, ... above.
    mark: IndexArray


TASKS = record_of(Tasks, array_of(int32, 2), array_of(float64, 2), array_of(int32))
LISTS = record_of(Lists, array_of(int32, 2), array_of(int32), array_of(int64))


def empty_tasks(capacity: int, holders: IntArray, replicas: int) -> Tasks:
    """Tasks of an empty system; with `replicas` > 0 each row has a part of `holders` of its own.

    `holders`, (n,) int32, is the table of all types that is used, without a copy, if `replicas` is
    0.
    """
    fact = np.zeros((capacity, FACTS), np.int32)
    numbers = np.arange(capacity)
    fact[:, LOW], fact[:, HIGH] = numbers * replicas, (numbers + 1) * replicas
    fact[:, JOB] = NONE
    fact[:, FREE] = numbers[::-1]
    own = np.zeros(capacity * replicas, np.int32) if replicas else holders
    return Tasks(fact, np.ones((capacity, 2)), own)


def with_more_tasks(tasks: Tasks, lists: Lists, replicas: int) -> Tasks:
    """Copy the tasks, none of whose rows was free, to arrays of twice the size."""
    capacity = tasks.fact.shape[0]
    more = empty_tasks(2 * capacity, tasks.holders, replicas)
    more.fact[:capacity, :FREE] = tasks.fact[:, :FREE]
    more.fact[:capacity, FREE] = np.arange(2 * capacity - 1, capacity - 1, -1)
    more.time[:capacity] = tasks.time
    if replicas:
        more.holders[: tasks.holders.size] = tasks.holders
    lists.mark[LEFT] = capacity
    return more


def empty_lists(count: int, tasks: int) -> Lists:
    """Make `count` empty lists with a small segment each, and `tasks` free rows."""
    ring = np.zeros((count, 4), np.int32)
    ring[:, START] = np.arange(count) * FIRST_CAPACITY
    ring[:, CAPACITY] = FIRST_CAPACITY
    used = count * FIRST_CAPACITY
    return Lists(ring, np.zeros(2 * used, np.int32), np.array([tasks, used, 0]))


def with_more_entries(lists: Lists) -> Lists:
    """Copy the lists to an arena of twice the size or more, with space in every list."""
    while True:
        lists = lists._replace(entry=np.concatenate((lists.entry, np.zeros_like(lists.entry))))
        if _widen_all(lists):
            lists.mark[FULL] = 0
            return lists


@kernel
def _widen_all(lists: Lists) -> bool:
    """Widen the lists that are full; returns False if the arena has too little space."""
    for queue in range(lists.ring.shape[0]):
        if lists.ring[queue, SIZE] == lists.ring[queue, CAPACITY] and not _widen(lists, queue):
            return False
    return True


@inlinable
def _widen(lists: Lists, queue: int) -> bool:
    """Move a list to a segment of twice the length, at the end of the used part."""
    ring = lists.ring[queue]
    capacity, head, start = ring[CAPACITY], ring[HEAD], ring[START]
    target = lists.mark[USED]
    if target + 2 * capacity > lists.entry.size:
        return False
    for i in range(ring[SIZE]):
        lists.entry[target + i] = lists.entry[start + ((head + i) & (capacity - 1))]
    ring[START] = target
    ring[CAPACITY] = 2 * capacity
    ring[HEAD] = 0
    lists.mark[USED] = target + 2 * capacity
    return True


@inlined
def take_row(tasks: Tasks, lists: Lists) -> int:
    """Take a free row; there must be one.

    Reads `tasks.fact[:, FREE]` and writes `lists.mark[LEFT]`.
    """
    lists.mark[LEFT] -= 1
    return int64(tasks.fact[uint32(lists.mark[LEFT]), FREE])  # type: ignore[no-any-return]


@inlined
def unref(tasks: Tasks, lists: Lists, task: int) -> None:
    """Count one entry less; a task with none has left the system, and its row is free.

    Writes the columns ENTRIES and FREE of `tasks.fact`, and `lists.mark[LEFT]`.
    """
    t = uint32(task)
    tasks.fact[t, ENTRIES] -= 1
    if tasks.fact[t, ENTRIES] == 0:
        tasks.fact[uint32(lists.mark[LEFT]), FREE] = task
        lists.mark[LEFT] += 1


@inlined
def push(tasks: Tasks, lists: Lists, queue: int, task: int) -> None:
    """Append a task. Space for the next is made now, so that no event stops half way.

    Writes the queue's row of `lists.ring`, `lists.entry`, the marks USED and FULL, and the task's
    ENTRIES.
    """
    q = uint32(queue)
    size, capacity = lists.ring[q, SIZE], lists.ring[q, CAPACITY]
    at = (lists.ring[q, HEAD] + size) & (capacity - 1)
    lists.entry[uint32(lists.ring[q, START] + at)] = task
    lists.ring[q, SIZE] = size + 1
    tasks.fact[uint32(task), ENTRIES] += 1
    if size + 1 == capacity and not _widen(lists, queue):
        lists.mark[FULL] = 1


@inlined
def first(lists: Lists, queue: int) -> int:
    """Return the first entry of a list that is not empty.

    Reads `lists` only.
    """
    q = uint32(queue)
    return int64(lists.entry[uint32(lists.ring[q, START] + lists.ring[q, HEAD])])  # type: ignore[no-any-return]


@inlined
def pop(tasks: Tasks, lists: Lists, queue: int) -> int:
    """Remove the first entry of a list, and return it.

    Writes the queue's row of `lists.ring`, and what `unref` writes.
    """
    q = uint32(queue)
    task = first(lists, queue)
    lists.ring[q, HEAD] = (lists.ring[q, HEAD] + 1) & (lists.ring[q, CAPACITY] - 1)
    lists.ring[q, SIZE] -= 1
    unref(tasks, lists, task)
    return task


@inlined
def oldest(tasks: Tasks, lists: Lists, queue: int) -> int:
    """Return the first task of a list that still waits, or NONE; O(1) amortised.

    Drops entries of tasks that no longer wait from the head, as `pop` does.
    """
    q = uint32(queue)
    while lists.ring[q, SIZE] > 0:
        task = first(lists, queue)
        if tasks.fact[uint32(task), WAITS] != 0:
            return task
        pop(tasks, lists, queue)
    return NONE
