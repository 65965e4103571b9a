"""Admission of tasks, their removal from queues, and requeueing."""

from typing import Any

from numba import int64, uint32

from isocline.compilation.compiled import inlined, kernel
from isocline.dispatch.core.kernels.longest_lists import note_longer
from isocline.dispatch.core.kernels.state import (
    FETCH_DONE,
    FUNCTION,
    MOST_HOLDERS,
    QUEUE,
    REQUEUE,
    REQUEUE_MANY,
    REQUEUE_PREFETCHED,
    SERIAL,
    KernelState,
)
from isocline.policies.scheduling.contract import ClusterView
from isocline.policies.scheduling.state.columns import IDLE, SERVING
from isocline.policies.scheduling.state.fair_share import (
    count_waiting,
    move_last_to_front,
    push_by_job,
)
from isocline.policies.scheduling.state.tasks import (
    BORN,
    ENTRIES,
    HIGH,
    JOB,
    LOW,
    NONE,
    WAITS,
    take_row,
    unref,
)
from isocline.policies.scheduling.state.transitions import SchedulerState, dequeue, enqueue


@inlined
def store_task(view: ClusterView, core: KernelState, born: float) -> int:
    """Allocate a row for the described task, and write it.

    Writes the task's row of `view.tasks.fact` and `view.tasks.time` and its part of `holders`,
    `view.lists.mark`, and core.described[0]; `born` is its submission, s.
    """
    task = take_row(view.tasks, view.lists)
    fact = view.tasks.fact[uint32(task)]
    low = fact[LOW]
    fact[HIGH] = low + core.described[3]
    fact[JOB], fact[FUNCTION] = core.described[0], core.described[1]
    fact[WAITS] = fact[ENTRIES] = 1
    view.tasks.time[uint32(task), BORN] = born
    view.tasks.time[uint32(task), SERIAL] = core.described[2]
    for i in range(core.described[3]):
        view.tasks.holders[low + i] = core.described[4 + i]
    core.described[0] = task
    return task


@inlined
def _enqueue(
    state: SchedulerState,
    view: ClusterView,
    core: KernelState,
    task: int,
    first: bool,
    now: float,
    rng: Any,
) -> int:
    """Put a task into its queue or lists, at the end or, with `first`, at the front."""
    fact = view.tasks.fact[uint32(task)]
    local = view.tasks.holders[fact[LOW] : fact[HIGH]]
    queue = enqueue(state, view, local, task, now, rng)
    if queue < 0:
        return queue
    fact[QUEUE] = queue
    count_waiting(state.fair_share, fact[JOB])
    if state.binds:
        push_by_job(view, state.fair_share, queue, task)
        if first:
            _to_front(state, view, queue, task)
        note_longer(view, core, queue)
        return queue
    for i in range(local.size):
        push_by_job(view, state.fair_share, local[i], task)
        if first:
            _to_front(state, view, local[i], task)
        note_longer(view, core, local[i])
    return queue


@inlined
def _to_front(state: SchedulerState, view: ClusterView, queue: Any, task: int) -> None:
    move_last_to_front(view, queue)
    if state.fair_share.served.size > 1:
        move_last_to_front(
            view, view.columns.shape[0] * (1 + view.tasks.fact[uint32(task), JOB]) + queue
        )


@inlined
def unqueue(state: SchedulerState, view: ClusterView, task: int) -> None:
    """Remove a waiting task from its queue; its row stays allocated.

    Writes WAITS of the task, `view.columns`, and `state.fair_share.waiting` of its job.
    """
    fact = view.tasks.fact[uint32(task)]
    dequeue(state, view, fact[QUEUE], task)
    state.fair_share.waiting[fact[JOB]] -= 1


@inlined
def admit(
    state: SchedulerState,
    view: ClusterView,
    core: KernelState,
    event: int,
    old: int,
    born: float,
    now: float,
    rng: Any,
) -> int:
    """Admit a task; returns the queue that it joins, below 0 if the policy returned none.

    Args:
        state: `fair_share` is written.
        view: The task's row of `tasks`, `lists` and `columns` are written.
        core: described[0] and `longest` are written; at REQUEUE_MANY unqueued[0], too.
        event: SUBMITTED, REQUEUE, REQUEUE_PREFETCHED or REQUEUE_MANY.
        old: Row under which the task has waited so far, which it leaves; NONE: it did not wait.
        born: Submission time of the task, s.
        now: s.
        rng: (2,) uint64, the policy's stream; advanced by its draws.
    """
    if event == REQUEUE_MANY:
        task = _next_requeued(view, core)
    else:
        task = store_task(view, core, born)
        if event == REQUEUE_PREFETCHED:
            view.tasks.fact[uint32(task), WAITS] = FETCH_DONE
        if old != NONE:
            unqueue(state, view, old)
            unref(view.tasks, view.lists, old)
    return _enqueue(state, view, core, task, event in (REQUEUE, REQUEUE_MANY), now, rng)


@inlined
def _next_requeued(view: ClusterView, core: KernelState) -> int:
    """Take the next of the unqueued tasks, and mark it as waiting.

    Writes unqueued[0] and described[0] of `core`, and WAITS and HIGH of the task.
    """
    core.unqueued[0] += 1
    task = int64(core.unqueued[core.unqueued[0]])
    fact = view.tasks.fact[uint32(task)]
    fact[WAITS] = 1
    if fact[HIGH] == fact[LOW]:
        fact[HIGH] = fact[LOW] + _local_anywhere(view, core, task)
    core.described[0] = task
    return task  # type: ignore[no-any-return]


@inlined
def _local_anywhere(view: ClusterView, core: KernelState, task: int) -> int:
    """Make all servers that are up local to a task; if there are too many, idle ones first.

    Writes the task's part of `view.tasks.holders`; reads `core.up`.
    """
    low, servers = view.tasks.fact[uint32(task), LOW], core.up.size
    first = int64(view.tasks.time[uint32(task), SERIAL]) if servers > MOST_HOLDERS else 0
    count = 0
    for part in range(2):
        for i in range(servers):
            server = core.up[(first + i) % servers]
            comes_first = servers <= MOST_HOLDERS or view.columns[uint32(server), SERVING] == IDLE
            if comes_first == (part == 0) and count < MOST_HOLDERS:
                view.tasks.holders[low + count] = server
                count += 1
    return count


@kernel
def drop_holder(tasks: Any, rows: Any, server: int) -> None:
    """Remove a server from the holders of these tasks.

    Args:
        tasks: A `Tasks`; HIGH and `holders` of these tasks are written.
        rows: (n,) int64, rows of tasks; read-only.
        server: Its number.
    """
    for i in range(rows.size):
        fact = tasks.fact[uint32(rows[i])]
        kept = fact[LOW]
        for at in range(fact[LOW], fact[HIGH]):
            if tasks.holders[at] != server:
                tasks.holders[kept] = tasks.holders[at]
                kept += 1
        fact[HIGH] = kept


@kernel
def unref_all(tasks: Any, lists: Any, rows: Any) -> None:
    """Free the rows of these tasks, which neither wait nor run.

    Args:
        tasks: A `Tasks`; ENTRIES and FREE are written.
        lists: A `Lists`; mark[LEFT] is written.
        rows: (n,) int64, rows of tasks; read-only.
    """
    for i in range(rows.size):
        unref(tasks, lists, rows[i])
