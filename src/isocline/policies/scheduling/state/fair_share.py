"""Fair share of the servers among jobs: which task of a queue is taken next.

A policy names a queue, not a task. Where several jobs share the servers, the next task is the first
of the job that has been served least for its weight: start-time fair queueing (P. Goyal, H. Vin, H.
Cheng, IEEE/ACM Trans. Networking 5(5), 1997), with one virtual time for all servers. With one job,
and in the simulator, tasks are taken in the order of the queue.

Once there is more than one job, a task in queue q is also in a list of its job, number
Q (1 + job) + q.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import float64, int64, types, uint32

from isocline.compilation.compiled import array_of, inlined, inlined_as, record_of
from isocline.policies.scheduling.state.tasks import (
    CAPACITY,
    HEAD,
    JOB,
    NONE,
    SIZE,
    START,
    oldest,
    push,
)
from isocline.policies.scheduling.state.view import VIEW, ClusterView

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


class FairShare(NamedTuple):
    """Service received, weight and waiting tasks of J jobs, in rows that are reused.

    With one row nothing is shared. The live core copies all three to larger arrays for more jobs.
    """

    # (J,) float64, s of service over weight: the job's virtual time. The kernel adds the
    # expected time of a task as it starts, and `count_waiting` raises it; the core corrects it by
    # the time that the task took.
    served: FloatArray
    # (J,) float64, share of the servers relative to other jobs, without a unit. Written by the
    # core.
    weight: FloatArray
    # (J,) int64, tasks that wait. Written by the kernel.
    waiting: IndexArray


NOT_SHARED = FairShare(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
FAIR_SHARE = record_of(FairShare, array_of(float64), array_of(float64), array_of(int64))
BRING_NEXT = types.void(types.int64, VIEW, FAIR_SHARE)


@inlined
def move_last_to_front(view: ClusterView, queue: int) -> None:
    """Move the last entry of a list to its head.

    Writes HEAD of the queue's row of `view.lists.ring`, and `view.lists.entry`.
    """
    ring = view.lists.ring
    q = uint32(queue)
    start, mask = ring[q, START], ring[q, CAPACITY] - 1
    last = view.lists.entry[uint32(start + ((ring[q, HEAD] + ring[q, SIZE] - 1) & mask))]
    ring[q, HEAD] = (ring[q, HEAD] - 1) & mask
    view.lists.entry[uint32(start + ring[q, HEAD])] = last


@inlined
def push_front(view: ClusterView, queue: int, task: int) -> None:
    """Put a task at the head; its entry further back is dropped once it has started.

    A list that is full, and cannot be widened until the event is over, stays as it is.

    Writes what `push` and `move_last_to_front` write.
    """
    ring = view.lists.ring
    q = uint32(queue)
    if ring[q, SIZE] == ring[q, CAPACITY]:
        return
    push(view.tasks, view.lists, queue, task)
    move_last_to_front(view, queue)


@inlined_as(BRING_NEXT)
def in_order(queue: int, view: ClusterView, fair_share: FairShare) -> None:
    """Take tasks in the order of the queue.

    Writes nothing.
    """


@inlined_as(BRING_NEXT)
def least_served_first(queue: int, view: ClusterView, fair_share: FairShare) -> None:
    """Move the first task of the least served job to the head of a queue in which a task waits.

    Reads `fair_share`; writes `view.lists` as `push_front` does, and drops entries of tasks that no
    longer wait.
    """
    if fair_share.served.size < 2:
        return
    queues = view.columns.shape[0]
    best = NONE
    least = np.inf
    for job in range(fair_share.served.size):
        if fair_share.waiting[job] > 0 and fair_share.served[job] < least:
            task = oldest(view.tasks, view.lists, queues * (1 + job) + queue)
            if task != NONE:
                best, least = task, fair_share.served[job]
    if best != NONE and best != oldest(view.tasks, view.lists, queue):
        push_front(view, queue, best)


@inlined
def push_by_job(view: ClusterView, fair_share: FairShare, queue: int, task: int) -> None:
    """Append a task that has joined a queue to its job's list for that queue, too.

    Writes what `push` writes.
    """
    if fair_share.served.size > 1:
        row = view.columns.shape[0] * (1 + view.tasks.fact[uint32(task), JOB]) + queue
        push(view.tasks, view.lists, row, task)


@inlined
def count_waiting(fair_share: FairShare, job: int) -> None:
    """Count a waiting task of a job; one that had none gets no credit for the time before.

    Writes `served` and `waiting` of the job.
    """
    if fair_share.waiting[job] == 0:
        least, most = np.inf, 0.0
        for other in range(fair_share.served.size):
            most = max(most, fair_share.served[other])
            if fair_share.waiting[other] > 0:
                least = min(least, fair_share.served[other])
        since = most if least == np.inf else least
        fair_share.served[job] = max(fair_share.served[job], since)
    fair_share.waiting[job] += 1
