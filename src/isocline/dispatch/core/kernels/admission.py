"""Admission of tasks, their removal from queues, and requeueing."""

from typing import Any

from numba import int64, uint32

from isocline.compilation.compiled import inlined, kernel
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
from isocline.policies.scheduling.state.fair_share import begin_to_wait, last_to_front, stand_by_job
from isocline.policies.scheduling.state.tasks import (
    BORN,
    ENTRIES,
    HIGH,
    JOB,
    LOW,
    WAITS,
    take_number,
    unref,
)
from isocline.policies.scheduling.state.transitions import SchedulerState, submit, withdraw


@inlined
def store_task(view: ClusterView, core: KernelState, born: float) -> int:
    """Allocate a row for the described task, and write it.

    Writes the task's row of `view.tasks.fact` and `view.tasks.time` and its part of `holders`,
    `view.lists.mark`, and core.described[0]; `born` is its submission, s.
    """
    task = take_number(view.tasks, view.lists)
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
    state: SchedulerState, view: ClusterView, task: int, first: bool, now: float, rng: Any
) -> int:
    """Put a task into its queue or lists, at their ends or before all others."""
    fact = view.tasks.fact[uint32(task)]
    local = view.tasks.holders[fact[LOW] : fact[HIGH]]
    queue = submit(state, view, local, task, now, rng)
    if queue < 0:
        return queue
    fact[QUEUE] = queue
    begin_to_wait(state.turns, fact[JOB])
    if state.binds:
        stand_by_job(view, state.turns, queue, task)
        if first:
            _to_front(state, view, queue, task)
        return queue
    for i in range(local.size):
        stand_by_job(view, state.turns, local[i], task)
        if first:
            _to_front(state, view, local[i], task)
    return queue


@inlined
def _to_front(state: SchedulerState, view: ClusterView, queue: Any, task: int) -> None:
    last_to_front(view, queue)
    if state.turns.served.size > 1:
        last_to_front(
            view, view.columns.shape[0] * (1 + view.tasks.fact[uint32(task), JOB]) + queue
        )


@inlined
def admit(
    state: SchedulerState,
    view: ClusterView,
    core: KernelState,
    what: int,
    born: float,
    now: float,
    rng: Any,
) -> int:
    """Admit a task; returns the queue that it joins, below 0 if the policy has named none.

    Args:
        state: `turns` is written.
        view: The task's row of `tasks`, `lists` and `columns` are written.
        core: described[0] is written; at REQUEUE_MANY unqueued[0], too.
        what: SUBMITTED, REQUEUE, REQUEUE_PREFETCHED or REQUEUE_MANY.
        born: s, when the task was submitted.
        now: s.
        rng: (2,) uint64, the policy's stream; advanced by its draws.
    """
    if what == REQUEUE_MANY:
        task = _next_requeued(view, core)
    else:
        task = store_task(view, core, born)
        if what == REQUEUE_PREFETCHED:
            view.tasks.fact[uint32(task), WAITS] = FETCH_DONE
    return _enqueue(state, view, task, what in (REQUEUE, REQUEUE_MANY), now, rng)


@inlined
def unqueue(state: SchedulerState, view: ClusterView, task: int) -> None:
    """Remove a waiting task from its queue; it keeps its row.

    Writes WAITS of the task, `view.columns`, and `state.turns.waiting` of its job.
    """
    fact = view.tasks.fact[uint32(task)]
    withdraw(state, view, fact[QUEUE], task)
    state.turns.waiting[fact[JOB]] -= 1


@inlined
def _next_requeued(view: ClusterView, core: KernelState) -> int:
    """Next of the unqueued tasks, which waits again.

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
    """Make all servers that are up local to a task; of too many, those that are idle come first.

    Writes the task's part of `view.tasks.holders`; reads `core.up`.
    """
    low, servers = view.tasks.fact[uint32(task), LOW], core.up.size
    turn = int64(view.tasks.time[uint32(task), SERIAL]) if servers > MOST_HOLDERS else 0
    count = 0
    for part in range(2):
        for i in range(servers):
            server = core.up[(turn + i) % servers]
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
    """Free the rows of these tasks, which wait and run no more.

    Args:
        tasks: A `Tasks`; ENTRIES and FREE are written.
        lists: A `Lists`; mark[LEFT] is written.
        rows: (n,) int64, rows of tasks; read-only.
    """
    for i in range(rows.size):
        unref(tasks, lists, rows[i])
