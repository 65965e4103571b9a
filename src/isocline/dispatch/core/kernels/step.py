"""Step: the compiled function that handles one event in the core's arrays, and calls the policy.

Transitions are the simulator's (`policies.scheduling.state.transitions`), and some that it lacks:
lost servers, pipelined tasks, copies, and tasks that leave their queue.

A server that is down is represented as running a task that never ends, with a queue so long that no
policy that compares servers would choose it.
"""

from typing import Any

from numba import int64, uint32

from isocline.compilation.compiled import inlined, kernel
from isocline.compilation.kept_arguments import kept
from isocline.dispatch.core.kernels.admission import admit, store_task, unqueue
from isocline.dispatch.core.kernels.pipelining import (
    end_pipelined,
    pipelining_gains,
    promote_pipelined,
    start_pipelined,
)
from isocline.dispatch.core.kernels.prefetch import find_prefetches, forget_prefetches
from isocline.dispatch.core.kernels.starts import record_start
from isocline.dispatch.core.kernels.state import (
    DOWN_LENGTH,
    END_PIPELINED,
    FETCHED,
    FINISHED,
    FREE,
    NEEDS_SPACE,
    PIPELINE,
    RELIEVE,
    REQUEUE_MANY,
    REQUEUE_PREFETCHED,
    SERVER_LOST,
    SERVER_UP,
    SET_PIPELINED,
    START_COPY,
    UNQUEUE,
    UNQUEUE_MANY,
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
    assign_tasks,
    change_length,
    finish,
    level_of,
    mark_busy,
    mark_idle,
    start,
)


@inlined
def _start_copy(state: SchedulerState, view: ClusterView, server: int, task: int) -> None:
    """Run a copy of a task on an idle server; it counts in that server's queue.

    Writes SERVING, RUNNING, LEVEL and LENGTH of the server, `view.idle`, and ENTRIES of the task.
    """
    row = view.columns[uint32(server)]
    mark_busy(view, server)
    view.tasks.fact[uint32(task), ENTRIES] += 1
    row[SERVING], row[RUNNING] = server, task
    row[LEVEL] = level_of(state, view, server, server, task)
    if state.binds and state.counts_service:
        change_length(state, view, server, 0, 1)


@inlined
def _lose_server(state: SchedulerState, view: ClusterView, core: KernelState, server: int) -> None:
    row = view.columns[uint32(server)]
    core.fetching[server] = 0
    if core.pipelined[server] != NONE:
        end_pipelined(state, view, core, server)
    if row[SERVING] == IDLE:
        mark_busy(view, server)
    else:
        finish(state, view, server)
    row[SERVING], row[LEVEL], row[RUNNING] = server, LOCAL, NONE
    change_length(state, view, server, 0, DOWN_LENGTH)


@inlined
def _store_running(view: ClusterView, core: KernelState) -> int:
    """Store the described task as running, without waiting; returns its row."""
    task = store_task(view, core, 0.0)
    view.tasks.fact[uint32(task), WAITS] = view.tasks.fact[uint32(task), ENTRIES] = 0
    return task


@inlined
def _update(
    state: SchedulerState,
    view: ClusterView,
    core: KernelState,
    event: int,
    server: int,
    task: int,
    gap: float,
) -> None:
    """Handle an event that calls for no decision of the policy."""
    if event == PIPELINE:
        start_pipelined(state, view, core, server, gap)
    elif event == END_PIPELINED:
        end_pipelined(state, view, core, server)
    elif event == SET_PIPELINED:
        task = _store_running(view, core) if task == NONE else task
        view.tasks.fact[uint32(task), ENTRIES] += 1
        core.pipelined[server] = task
        if state.binds and state.counts_service:
            change_length(state, view, server, 0, 1)
    elif event == START_COPY:
        task = _store_running(view, core) if task == NONE else task
        _start_copy(state, view, server, task)
    elif event == SERVER_LOST:
        _lose_server(state, view, core, server)
    elif event == RELIEVE:
        queue = task
        mark_busy(view, server)
        state.bring_next(queue, view, state.fair_share)
        start(state, view, server, queue)
        record_start(state, view, core, server, queue)
    elif event == UNQUEUE:
        unqueue(state, view, task)
        unref(view.tasks, view.lists, task)
    elif event == UNQUEUE_MANY:
        for i in range(1, core.unqueued.size):
            unqueue(state, view, int64(core.unqueued[i]))
    else:
        for queue in range(view.columns.shape[0]):
            state.rules.changed(queue, view)


@inlined
def _is_full(view: ClusterView) -> bool:
    """Whether space may be too short for another event."""
    full: bool = view.lists.mark[LEFT] == 0 or view.lists.mark[FULL] != 0
    if view.longest.above.shape[0] > 0:
        full = full or is_full(view.longest)
    return full


@inlined
def _decide(
    state: SchedulerState,
    view: ClusterView,
    core: KernelState,
    event: int,
    server: int,
    task: int,
    born: float,
    now: float,
    rng: Any,
) -> int:
    """Handle an event that calls for a decision of the policy."""
    freed, queue, status = NONE, TIMER, YES
    low = high = 0
    idle = True
    if event <= REQUEUE_MANY:
        queue = admit(state, view, core, event, task, born, now, rng)
        if queue < 0:
            return WRONG_ROUTE
        low = view.tasks.fact[uint32(core.described[0]), LOW]
        high = view.tasks.fact[uint32(core.described[0]), HIGH]
    elif event == FINISHED:
        finish(state, view, server)
        freed = server
        if core.pipelined[server] != NONE:
            promote_pipelined(view, core, server)
            idle = False
    elif event == SERVER_UP:
        view.columns[uint32(server), SERVING] = IDLE
        change_length(state, view, server, 0, -DOWN_LENGTH)
        freed = server
    if idle:
        local = view.tasks.holders[low:high]
        status = assign_tasks(state, view, freed, local, queue, now, rng, core.started)
        for i in range(core.started[0]):
            at = core.started[i + 1]
            record_start(state, view, core, at, view.columns[uint32(at), SERVING])
    if event != REQUEUE_PREFETCHED:
        find_prefetches(view, core, freed)
    return status


@inlined
def _requeues_next(view: ClusterView, core: KernelState, gap: float) -> bool:
    """Whether to requeue the next unqueued task in this call, as there is nothing to report."""
    done = core.unqueued[0] + 1 == core.unqueued.size or _is_full(view)
    if done or core.starts[0] > 0 or core.fetches[0] > 0:
        return False
    if gap == 0.0:  # no pipelining
        return True
    task = view.tasks.fact[uint32(core.described[0])]
    for at in range(task[LOW], task[HIGH]):
        if pipelining_gains(view, core, view.tasks.holders[uint32(at)], gap):
            return False
    return True


@kernel
def _handle(
    state: SchedulerState,
    view: ClusterView,
    core: KernelState,
    event: int,
    server: int,
    task: int,
    born: float,
    now: float,
    rng: Any,
) -> int:
    """Handle one event: see `step`.

    A function of its own, as one whose arrays are loaded from memory took a third longer for each
    of many requeued tasks.
    """
    core.starts[0] = core.fetches[0] = 0
    status = YES
    if event == FREE:
        finish(state, view, server)
        mark_idle(view, server)
    elif event >= SERVER_LOST:
        _update(state, view, core, event, server, task, born)
    elif event == FETCHED:
        forget_prefetches(view, core, server, task)
        find_prefetches(view, core, server)
    else:
        more = True
        while more:
            status = _decide(state, view, core, event, server, task, born, now, rng)
            more = event == REQUEUE_MANY and status == YES and _requeues_next(view, core, born)
    if status != YES:
        return status
    return NEEDS_SPACE if _is_full(view) else YES


@kernel
def step(arguments: Any, event: int, server: int, task: int, born: float, now: float) -> int:
    """Handle one event; `core.starts` then has the tasks that start.

    REQUEUE_MANY handles tasks until there is something to report.

    Args:
        arguments: Where four are kept (`KeptArguments`): a `SchedulerState`, of which `fair_share`
            is written; a `ClusterView`, written, except `rack`, `rate` and `option`; a
            `KernelState`, written as stated there; and (2,) uint64, the policy's stream, advanced
            by its draws.
        event: One of `kernels.state`.
        server: Server of the event, if any.
        task: Row of its task, if any; NONE at SET_PIPELINED and START_COPY for the task in
            `core.described`. At RELIEVE, the queue. Of an admitted task the row that it leaves, or
            NONE.
        born: Submission time of an admitted task, s; at PIPELINE and REQUEUE_MANY, the idle time
            of servers between two tasks, in service times, 0 without pipelining.
        now: s.

    Returns:
        YES, NEEDS_SPACE, or an error: one of `transitions.REASONS`.
    """
    state, view, core, rng = kept(arguments)
    return _handle(state, view, core, event, server, task, born, now, rng)


@kernel
def next_due(arguments: Any, now: float) -> float:
    """Return the time at which the policy must be called again, s; inf: never.

    Reads the view among the arguments, which are those of `step`.
    """
    state, view, _, _ = kept(arguments)
    return state.rules.due(view, now)  # type: ignore[no-any-return]
