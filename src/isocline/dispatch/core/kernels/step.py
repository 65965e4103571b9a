"""What happens in the core's arrays at one event: one compiled call, which asks the policy.

The moves are those of the simulator (`policies.scheduling.moves`). What it does not know stands
here: servers that go, tasks given ahead, copies, and tasks that are taken back.

A server that is not there runs a task that never ends, before a queue so long that no policy that
compares servers would choose it.
"""

from typing import Any

from numba import int64, uint32

from isocline.compiled import inlined, kernel
from isocline.dispatch.core.kernels.admission import admit, take_back, write_down
from isocline.dispatch.core.kernels.pipelining import (
    end_pipelined,
    gains_by_pipelining,
    go_on,
    start_pipelined,
)
from isocline.dispatch.core.kernels.prefetch import find_prefetches, forget_prefetches
from isocline.dispatch.core.kernels.starts import takes
from isocline.dispatch.core.kernels.state import (
    AHEAD,
    AHEAD_ENDS,
    DOWN,
    DOWN_LENGTH,
    ENDS,
    PREFETCH_DONE,
    REQUEUE,
    ROOM,
    SET_PIPELINED,
    START_COPY,
    SUBMIT_PREFETCHED,
    TAKEN_BACK,
    UNQUEUE,
    UP,
    KernelState,
)
from isocline.policies.scheduling.contract import LOCAL, TIMER, ClusterView
from isocline.policies.scheduling.state.columns import IDLE, LEVEL, RUNNING, SERVING
from isocline.policies.scheduling.state.longest_queue import is_full
from isocline.policies.scheduling.state.tasks import (
    ENTRIES,
    FULL,
    HIGH,
    LEFT,
    LOW,
    NONE,
    WAITS,
    unref,
)
from isocline.policies.scheduling.state.transitions import (
    WRONG_ROUTE,
    YES,
    SchedulerState,
    change,
    finish,
    hand_out,
    level_of,
    mark_busy,
)


@inlined
def _run_too(book: SchedulerState, view: ClusterView, server: int, task: int) -> None:
    """An idle server runs a task that runs elsewhere, counted in its own queue.

    Writes SERVING, RUNNING, LEVEL and LENGTH of the server, `view.idle`, and ENTRIES of the task.
    """
    row = view.desk[uint32(server)]
    mark_busy(view, server)
    view.tasks.fact[uint32(task), ENTRIES] += 1
    row[SERVING], row[RUNNING] = server, task
    row[LEVEL] = level_of(book, view, server, server, task)
    if book.binds and book.counts_service:
        change(book, view, server, 0, 1)


@inlined
def _go_down(book: SchedulerState, view: ClusterView, floor: KernelState, server: int) -> None:
    row = view.desk[uint32(server)]
    floor.coming[server] = 0
    if floor.ahead[server] != NONE:
        end_pipelined(book, view, floor, server)
    if row[SERVING] == IDLE:
        mark_busy(view, server)
    else:
        finish(book, view, server)
    row[SERVING], row[LEVEL], row[RUNNING] = server, LOCAL, NONE
    change(book, view, server, 0, DOWN_LENGTH)


@inlined
def _runs_already(view: ClusterView, floor: KernelState) -> int:
    """Write down a task that runs, and never waits."""
    task = write_down(view, floor, 0.0)
    view.tasks.fact[uint32(task), WAITS] = view.tasks.fact[uint32(task), ENTRIES] = 0
    return task


@inlined
def _other(
    book: SchedulerState,
    view: ClusterView,
    floor: KernelState,
    what: int,
    server: int,
    task: int,
    gap: float,
) -> None:
    """What is not followed by a decision of the policy."""
    if what == AHEAD:
        start_pipelined(book, view, floor, server, gap)
    elif what == AHEAD_ENDS:
        end_pipelined(book, view, floor, server)
    elif what == SET_PIPELINED:
        task = _runs_already(view, floor) if task == NONE else task
        view.tasks.fact[uint32(task), ENTRIES] += 1
        floor.ahead[server] = task
        if book.binds and book.counts_service:
            change(book, view, server, 0, 1)
    elif what == START_COPY:
        task = _runs_already(view, floor) if task == NONE else task
        _run_too(book, view, server, task)
    elif what == DOWN:
        _go_down(book, view, floor, server)
    elif what == TAKEN_BACK:
        take_back(book, view, task)
        unref(view.tasks, view.lists, task)
    elif what == UNQUEUE:
        for i in range(1, floor.moved.size):
            take_back(book, view, int64(floor.moved[i]))
    else:
        for queue in range(view.desk.shape[0]):
            book.rules.changed(queue, view)


@inlined
def _is_full(view: ClusterView) -> bool:
    """Whether there may be no room for another event."""
    full: bool = view.lists.mark[LEFT] == 0 or view.lists.mark[FULL] != 0
    if view.longest.above.shape[0] > 0:
        full = full or is_full(view.longest)
    return full


@inlined
def _decided(
    book: SchedulerState,
    view: ClusterView,
    floor: KernelState,
    what: int,
    server: int,
    born: float,
    now: float,
    rng: Any,
) -> int:
    """What is followed by a decision of the policy."""
    freed, queue, status = NONE, TIMER, YES
    low = high = 0
    idle = True
    if what <= REQUEUE:
        queue = admit(book, view, floor, what, born, now, rng)
        if queue < 0:
            return WRONG_ROUTE
        low = view.tasks.fact[uint32(floor.given[0]), LOW]
        high = view.tasks.fact[uint32(floor.given[0]), HIGH]
    elif what == ENDS:
        finish(book, view, server)
        freed = server
        if floor.ahead[server] != NONE:
            go_on(view, floor, server)
            idle = False
    elif what == UP:
        view.desk[uint32(server), SERVING] = IDLE
        change(book, view, server, 0, -DOWN_LENGTH)
        freed = server
    if idle:
        local = view.tasks.holders[low:high]
        status = hand_out(book, view, freed, local, queue, now, rng, floor.started)
        for i in range(floor.started[0]):
            at = floor.started[i + 1]
            takes(book, view, floor, at, view.desk[uint32(at), SERVING])
    if what != SUBMIT_PREFETCHED:
        find_prefetches(view, floor, freed)
    return status


@inlined
def _goes_on(view: ClusterView, floor: KernelState, gap: float) -> bool:
    """Whether the next task comes again before Python is told of anything."""
    done = floor.moved[0] + 1 == floor.moved.size or _is_full(view)
    if done or floor.starts[0] > 0 or floor.wanted[0] > 0:
        return False
    task = view.tasks.fact[uint32(floor.given[0])]
    for at in range(task[LOW], task[HIGH]):
        if gains_by_pipelining(view, floor, view.tasks.holders[uint32(at)], gap):
            return False
    return True


@kernel
def step(
    book: SchedulerState,
    view: ClusterView,
    floor: KernelState,
    what: int,
    server: int,
    task: int,
    born: float,
    now: float,
    rng: Any,
) -> int:
    """One event; `floor.starts` says which tasks have started.

    REQUEUE is as many events as there is nothing to tell of.

    Args:
        book: `turns` is written; the rest is read-only.
        view: Written, but for `rack`, `rate` and `option`.
        floor: Written: see there.
        what: The event, of those of `state`.
        server: The one that it is about, if there is one.
        task: Likewise; NONE at SET_PIPELINED and START_COPY for one as `floor.given` describes it.
        born: s, when a task that comes was submitted; at AHEAD and REQUEUE, how long servers are
            idle between two tasks, in service times, 0 if none is given ahead.
        now: s.
        rng: (2,) uint64, the policy's stream; advanced by its draws.

    Returns:
        YES, ROOM, or what is wrong: one of `transitions.REASONS`.
    """
    floor.starts[0] = floor.wanted[0] = 0
    status = YES
    if what >= DOWN:
        _other(book, view, floor, what, server, task, born)
    elif what == PREFETCH_DONE:
        forget_prefetches(view, floor, server, task)
        find_prefetches(view, floor, server)
    else:
        more = True
        while more:
            status = _decided(book, view, floor, what, server, born, now, rng)
            more = what == REQUEUE and status == YES and _goes_on(view, floor, born)
    if status != YES:
        return status
    return ROOM if _is_full(view) else YES


@kernel
def next_due(book: SchedulerState, view: ClusterView, now: float) -> float:
    """When the policy wants to be asked again, s; inf for never.

    Reads `view`.
    """
    return book.rules.due(view, now)  # type: ignore[no-any-return]
