"""Arrival of a task at a cluster."""

from typing import Any

from numba import uint32

from isocline.compilation.compiled import inlined
from isocline.policies.scheduling.contract import ClusterView
from isocline.policies.scheduling.state.longest_queue import is_full
from isocline.policies.scheduling.state.tasks import (
    BORN,
    ENTRIES,
    HIGH,
    JOB,
    LEFT,
    LOW,
    NONE,
    WAITS,
    take_row,
)
from isocline.policies.scheduling.state.tasks import FULL as LIST_FULL
from isocline.policies.scheduling.state.transitions import SchedulerState, enqueue
from isocline.simulate.scheduling.kernels.holder_sampler import (
    BUFFERED,
    LISTED,
    Sampler,
    draw_servers,
    type_of,
)
from isocline.simulate.scheduling.kernels.state import (
    ARRIVALS,
    DONE,
    EMPTY,
    FULL,
    TASKS,
    WAITING,
)


@inlined
def arrival_status(state: SchedulerState, view: ClusterView, sampler: Sampler) -> int:
    """DONE if there is space for the next task, else what is needed first: EMPTY or FULL.

    Reads `sampler.next_row`, `view.lists.mark` and `view.longest`.
    """
    if sampler.kind == BUFFERED and sampler.next_row[0] == sampler.rows.shape[0]:
        return EMPTY
    mark = view.lists.mark
    if state.keeps_tasks and (mark[LEFT] == 0 or mark[LIST_FULL] != 0):
        return FULL
    if view.longest.above.shape[0] > 0 and is_full(view.longest):
        return FULL
    return DONE


@inlined
def draw_task(
    state: SchedulerState, view: ClusterView, sampler: Sampler, s0: Any, s1: Any, now: float
) -> tuple[Any, Any, int]:
    """Draw a new task and its local servers; returns the stream's next state, and the task's row.

    Args:
        state: Read-only.
        view: The task's row of `tasks.fact` and `tasks.time` is written; its part of
            `tasks.holders`, unless types are listed; and `lists.mark`.
        sampler: `next_row` is written; the rest is read-only.
        s0: With `s1` the state of the stream of events, uint64 each.
        s1: See `s0`.
        now: s or slots.
    """
    tasks = view.tasks
    task = take_row(tasks, view.lists) if state.keeps_tasks else 0
    who = uint32(task)
    if sampler.kind == LISTED:
        s0, s1, kind = type_of(sampler, s0, s1)
        tasks.fact[who, LOW] = sampler.first[kind]
        tasks.fact[who, HIGH] = sampler.first[uint32(kind + uint32(1))]
    elif sampler.kind == BUFFERED:
        row = sampler.next_row[0]
        low = tasks.fact[who, LOW]
        for i in range(sampler.replicas):
            tasks.holders[low + i] = sampler.rows[row, i]
        sampler.next_row[0] = row + 1
    else:
        low = tasks.fact[who, LOW]
        s0, s1 = draw_servers(sampler, s0, s1, tasks.holders[low : low + sampler.replicas])
    if state.keeps_tasks:
        tasks.time[who, BORN] = now
        tasks.fact[who, JOB] = NONE
        tasks.fact[who, WAITS] = 1
        tasks.fact[who, ENTRIES] = 1
    return s0, s1, task


@inlined
def admit(
    state: SchedulerState,
    view: ClusterView,
    local: Any,
    task: int,
    now: float,
    rng: Any,
    count: Any,
) -> int:
    """Put a task into its queue or lists, and count it; returns the queue, NONE if there is none.

    Args:
        state: Read-only.
        view: Written as by `enqueue`.
        local: (k,) int32, the task's local servers; read-only.
        task: Its row; of no meaning unless tasks are kept.
        now: s or slots.
        rng: (2,) uint64, the policy's stream.
        count: (COUNTERS,) int64; ARRIVALS, TASKS and WAITING are written.
    """
    count[ARRIVALS] += 1
    count[TASKS] += 1
    count[WAITING] += 1
    return enqueue(state, view, local, task, now, rng)


@inlined
def arrive(
    state: SchedulerState,
    view: ClusterView,
    sampler: Sampler,
    s0: Any,
    s1: Any,
    now: float,
    rng: Any,
    count: Any,
) -> tuple[Any, Any, int, int, int]:
    """Draw and admit a new task.

    Args:
        state: Read-only.
        view: Written as by `draw_task` and `enqueue`.
        sampler: `next_row` is written; the rest is read-only.
        s0: With `s1` the state of the stream of events, uint64 each.
        s1: See `s0`.
        now: s or slots.
        rng: (2,) uint64, the policy's stream.
        count: (COUNTERS,) int64; ARRIVALS, TASKS and WAITING are written.

    Returns:
        s0, s1, low, high, queue: `view.tasks.holders[low:high]` are the local servers; the queue is
        NONE if it does not exist.
    """
    s0, s1, task = draw_task(state, view, sampler, s0, s1, now)
    low = view.tasks.fact[uint32(task), LOW]
    high = view.tasks.fact[uint32(task), HIGH]
    queue = admit(state, view, view.tasks.holders[low:high], task, now, rng, count)
    return s0, s1, low, high, queue
