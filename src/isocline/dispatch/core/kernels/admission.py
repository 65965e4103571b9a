"""Tasks that come, are taken back, and come again."""

from typing import Any

from numba import int64, uint32

from isocline.compiled import inlined, kernel
from isocline.dispatch.core.kernels.state import (
    FUNCTION,
    MOST_HOLDERS,
    NO_MORE,
    QUEUE,
    REQUEUE,
    SERIAL,
    SUBMIT_FIRST,
    SUBMIT_PREFETCHED,
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
def write_down(view: ClusterView, floor: KernelState, born: float) -> int:
    """Give a task a number and write down its facts.

    Writes the task's row of `view.tasks.fact` and `view.tasks.time` and its part of `holders`,
    `view.lists.mark`, and floor.given[0]; `born` is in s.
    """
    task = take_number(view.tasks, view.lists)
    fact = view.tasks.fact[uint32(task)]
    low = fact[LOW]
    fact[HIGH] = low + floor.given[3]
    fact[JOB], fact[FUNCTION] = floor.given[0], floor.given[1]
    fact[WAITS] = fact[ENTRIES] = 1
    view.tasks.time[uint32(task), BORN] = born
    view.tasks.time[uint32(task), SERIAL] = floor.given[2]
    for i in range(floor.given[3]):
        view.tasks.holders[low + i] = floor.given[4 + i]
    floor.given[0] = task
    return task


@inlined
def _join(
    book: SchedulerState, view: ClusterView, task: int, first: bool, now: float, rng: Any
) -> int:
    """A task joins its queue or lists, at their ends or before all others."""
    fact = view.tasks.fact[uint32(task)]
    local = view.tasks.holders[fact[LOW] : fact[HIGH]]
    queue = submit(book, view, local, task, now, rng)
    if queue < 0:
        return queue
    fact[QUEUE] = queue
    begin_to_wait(book.turns, fact[JOB])
    if book.binds:
        stand_by_job(view, book.turns, queue, task)
        if first:
            _to_front(book, view, queue, task)
        return queue
    for i in range(local.size):
        stand_by_job(view, book.turns, local[i], task)
        if first:
            _to_front(book, view, local[i], task)
    return queue


@inlined
def _to_front(book: SchedulerState, view: ClusterView, queue: Any, task: int) -> None:
    last_to_front(view, queue)
    if book.turns.served.size > 1:
        last_to_front(view, view.desk.shape[0] * (1 + view.tasks.fact[uint32(task), JOB]) + queue)


@inlined
def admit(
    book: SchedulerState,
    view: ClusterView,
    floor: KernelState,
    what: int,
    born: float,
    now: float,
    rng: Any,
) -> int:
    """A task comes; the queue that it joins, below 0 if the policy has named none.

    Args:
        book: `turns` is written.
        view: The task's row of `tasks`, `lists` and `desk` are written.
        floor: given[0] is written; at REQUEUE moved[0], too.
        what: SUBMIT, SUBMIT_FIRST, SUBMIT_PREFETCHED or REQUEUE.
        born: s, when the task was submitted.
        now: s.
        rng: (2,) uint64, the policy's stream; advanced by its draws.
    """
    if what == REQUEUE:
        task = _next_again(view, floor)
    else:
        task = write_down(view, floor, born)
        if what == SUBMIT_PREFETCHED:
            view.tasks.fact[uint32(task), WAITS] = NO_MORE
    return _join(book, view, task, what in (SUBMIT_FIRST, REQUEUE), now, rng)


@inlined
def take_back(book: SchedulerState, view: ClusterView, task: int) -> None:
    """A task that waits does so no longer; it keeps its number.

    Writes WAITS of the task, `view.desk`, and `book.turns.waiting` of its job.
    """
    fact = view.tasks.fact[uint32(task)]
    withdraw(book, view, fact[QUEUE], task)
    book.turns.waiting[fact[JOB]] -= 1


@inlined
def _next_again(view: ClusterView, floor: KernelState) -> int:
    """The next of those that were taken back, which is to wait again.

    Writes moved[0] and given[0] of `floor`, and WAITS and HIGH of the task.
    """
    floor.moved[0] += 1
    task = int64(floor.moved[floor.moved[0]])
    fact = view.tasks.fact[uint32(task)]
    fact[WAITS] = 1
    if fact[HIGH] == fact[LOW]:
        fact[HIGH] = fact[LOW] + _local_anywhere(view, floor, task)
    floor.given[0] = task
    return task  # type: ignore[no-any-return]


@inlined
def _local_anywhere(view: ClusterView, floor: KernelState, task: int) -> int:
    """All servers that are up are local to a task; of too many, those that are idle come first.

    Writes the task's part of `view.tasks.holders`; reads `floor.up`.
    """
    low, servers = view.tasks.fact[uint32(task), LOW], floor.up.size
    turn = int64(view.tasks.time[uint32(task), SERIAL]) if servers > MOST_HOLDERS else 0
    count = 0
    for part in range(2):
        for i in range(servers):
            server = floor.up[(turn + i) % servers]
            comes_first = servers <= MOST_HOLDERS or view.desk[uint32(server), SERVING] == IDLE
            if comes_first == (part == 0) and count < MOST_HOLDERS:
                view.tasks.holders[low + count] = server
                count += 1
    return count


@kernel
def exclude(tasks: Any, numbers: Any, server: int) -> None:
    """A server no longer holds the data of these tasks.

    Args:
        tasks: A `Tasks`; HIGH and `holders` of these tasks are written.
        numbers: (n,) int64, numbers of tasks; read-only.
        server: Its number.
    """
    for i in range(numbers.size):
        fact = tasks.fact[uint32(numbers[i])]
        kept = fact[LOW]
        for at in range(fact[LOW], fact[HIGH]):
            if tasks.holders[at] != server:
                tasks.holders[kept] = tasks.holders[at]
                kept += 1
        fact[HIGH] = kept


@kernel
def unref_all(tasks: Any, lists: Any, numbers: Any) -> None:
    """These tasks have left the board.

    Args:
        tasks: A `Tasks`; ENTRIES and FREE are written.
        lists: A `Lists`; mark[LEFT] is written.
        numbers: (n,) int64, numbers of tasks; read-only.
    """
    for i in range(numbers.size):
        unref(tasks, lists, numbers[i])
