"""Choice of the task taken from a queue: the first, or that of the job whose turn it is.

A policy names a queue, not a task. Where several jobs share the servers, the turn goes to the job
that has been served least for its weight, and within a job to its first task: start-time fair
queueing (P. Goyal, H. Vin, H. Cheng, IEEE/ACM Trans. Networking 5(5), 1997), with one virtual time
for all servers. With one job, and in the simulator, all is taken as it stands.

Besides its queue q a task stands in a list of its job's, number Q (1 + job) + q, once there is more
than one job.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import float64, int64, types, uint32

from isocline.compilation.compiled import array_of, inlined, inlined_as, record_of
from isocline.policies.scheduling.state.tasks import (
    HEAD,
    JOB,
    NONE,
    ROOM,
    SIZE,
    START,
    oldest,
    push,
)
from isocline.policies.scheduling.state.view import VIEW, ClusterView

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


class FairShare(NamedTuple):
    """J jobs, in rows that are used again.

    With one row nothing is shared. The dispatcher copies all three to larger ones as jobs come.
    """

    # (J,) float64, s of service over weight: the job's virtual time. The kernel adds what a task is
    # expected to take as it starts, and `begin_to_wait` lifts it; the dispatcher adds what it took
    # more or less.
    served: FloatArray
    # (J,) float64, share of the servers relative to other jobs, without a unit. Written by the
    # dispatcher.
    weight: FloatArray
    # (J,) int64, tasks that wait. Written by the kernel.
    waiting: IndexArray


NO_TURNS = FairShare(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
TURNS = record_of(FairShare, array_of(float64), array_of(float64), array_of(int64))
TURN = types.void(types.int64, VIEW, TURNS)


@inlined
def last_to_front(view: ClusterView, queue: int) -> None:
    """The last entry of a list becomes its first.

    Writes HEAD of the queue's row of `view.lists.ring`, and `view.lists.entry`.
    """
    ring = view.lists.ring
    q = uint32(queue)
    start, mask = ring[q, START], ring[q, ROOM] - 1
    last = view.lists.entry[uint32(start + ((ring[q, HEAD] + ring[q, SIZE] - 1) & mask))]
    ring[q, HEAD] = (ring[q, HEAD] - 1) & mask
    view.lists.entry[uint32(start + ring[q, HEAD])] = last


@inlined
def push_front(view: ClusterView, queue: int, task: int) -> None:
    """Put a task at the head; its entry further back is struck off when it has started.

    In a list that is full, and cannot be widened until the event is over, all stays as it stands.

    Writes what `push` and `last_to_front` write.
    """
    ring = view.lists.ring
    q = uint32(queue)
    if ring[q, SIZE] == ring[q, ROOM]:
        return
    push(view.tasks, view.lists, queue, task)
    last_to_front(view, queue)


@inlined_as(TURN)
def as_they_stand(queue: int, view: ClusterView, turns: FairShare) -> None:
    """The first task of the queue.

    Writes nothing.
    """


@inlined_as(TURN)
def least_served(queue: int, view: ClusterView, turns: FairShare) -> None:
    """Bring the first task of the least served job to the head of a queue in which one waits.

    Reads `turns`; writes `view.lists` as `push_front` does, and drops entries of tasks that no
    longer wait.
    """
    if turns.served.size < 2:
        return
    queues = view.columns.shape[0]
    best = NONE
    least = np.inf
    for job in range(turns.served.size):
        if turns.waiting[job] > 0 and turns.served[job] < least:
            task = oldest(view.tasks, view.lists, queues * (1 + job) + queue)
            if task != NONE:
                best, least = task, turns.served[job]
    if best != NONE and best != oldest(view.tasks, view.lists, queue):
        push_front(view, queue, best)


@inlined
def stand_by_job(view: ClusterView, turns: FairShare, queue: int, task: int) -> None:
    """A task that has come to stand in a queue stands there by its job, too.

    Writes what `push` writes.
    """
    if turns.served.size > 1:
        row = view.columns.shape[0] * (1 + view.tasks.fact[uint32(task), JOB]) + queue
        push(view.tasks, view.lists, row, task)


@inlined
def begin_to_wait(turns: FairShare, job: int) -> None:
    """A task of a job waits; one that had none gets no credit for the time before.

    Writes `turns.served` and `turns.waiting` of the job.
    """
    if turns.waiting[job] == 0:
        least, most = np.inf, 0.0
        for other in range(turns.served.size):
            most = max(most, turns.served[other])
            if turns.waiting[other] > 0:
                least = min(least, turns.served[other])
        since = most if least == np.inf else least
        turns.served[job] = max(turns.served[job], since)
    turns.waiting[job] += 1
