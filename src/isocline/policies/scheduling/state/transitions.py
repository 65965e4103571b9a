"""Transitions of the scheduler state as tasks arrive, start and end, for all callers.

The simulator's kernels and the live scheduler make the same transitions, so a policy sees the same
view in both.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int64, uint32

from isocline.compilation.compiled import inlined
from isocline.policies.scheduling.state import idle_servers
from isocline.policies.scheduling.state.columns import (
    IDLE,
    IDLE_POSITION,
    IDLE_POSITION_IN_RACK,
    LENGTH,
    LEVEL,
    RUNNING,
    SERVING,
    WAITING,
)
from isocline.policies.scheduling.state.fair_share import NOT_SHARED, FairShare, in_order
from isocline.policies.scheduling.state.tasks import (
    HIGH,
    LOW,
    NONE,
    WAITS,
    oldest,
    pop,
    push,
    unref,
)
from isocline.policies.scheduling.state.view import (
    ANY_LOCAL,
    BY_QUEUE,
    LOCAL,
    NOBODY,
    NOTHING,
    RACK,
    REMOTE,
    ClusterView,
    Rules,
)

# Results of `take_task` and `assign_tasks`. NO_ONE: neither this server nor any other would take a
# task. The others are faults of the policy: it named a queue, a server or a route that does not
# exist, or its `due` is no number, or returns again and again a time that has passed.
NO, YES, NO_ONE, WRONG_QUEUE, WRONG_SERVER, WRONG_ROUTE, WRONG_TIME = range(7)
REASONS = {
    WRONG_QUEUE: "pick returned something else than a queue in which a task waits, NOTHING or "
    "NOBODY",
    WRONG_SERVER: "call returned something else than a server that is idle, or NOBODY",
    WRONG_ROUTE: "route returned something else than a queue, or ANY_LOCAL of a policy that does "
    "not bind",
    WRONG_TIME: "due returned, again and again, a time that has passed, or nan",
}
MOST_ASKED = 1000
"""How often in succession `due` may return the present time without anything else happening."""


class SchedulerState(NamedTuple):
    """Rules of one policy and how tasks are stored: constant in a run, except `fair_share`."""

    rules: Rules
    queue_levels: npt.NDArray[
        np.int8
    ]  # (Q,) int8, level of a queue's tasks, or BY_QUEUE; read-only
    binds: bool  # tasks join one queue; else they are in the lists of all their local servers
    counts_service: bool  # lengths count tasks in service
    keeps_tasks: bool  # each task has a row; else queues are mere numbers
    by_data: bool  # levels are by the task's data, else by its queue
    bring_next: Any = in_order  # moves the task to take next to the head of its queue
    fair_share: FairShare = (
        NOT_SHARED  # read by `bring_next`; written by the live core and its kernel
    )


@inlined
def change_length(
    state: SchedulerState, view: ClusterView, queue: Any, waiting: int, length: int
) -> None:
    """Add to the number of waiting tasks of a queue and to its length.

    Writes WAITING and LENGTH of the queue's row of `view.columns`; then the policy's `changed`
    updates its own arrays.
    """
    q = uint32(queue)
    view.columns[q, WAITING] += waiting
    view.columns[q, LENGTH] += length
    state.rules.changed(int64(q), view)


@inlined
def _append(state: SchedulerState, view: ClusterView, queue: Any, task: int) -> None:
    """Append a task to a queue or list."""
    if state.keeps_tasks:
        push(view.tasks, view.lists, queue, task)
    change_length(state, view, queue, 1, 1)


@inlined
def enqueue(
    state: SchedulerState, view: ClusterView, local: Any, task: int, now: float, rng: Any
) -> int:
    """Put a task into the queue that the policy names, or into the lists of its local servers.

    Returns the queue, or NONE if the policy named one that does not exist.

    Args:
        state: Read-only.
        view: `columns` and, if tasks are kept, `lists` and the task's ENTRIES are written.
        local: (k,) int32, the task's local servers, at least one; read-only.
        task: Its row; of no meaning unless tasks are kept.
        now: s, or slots.
        rng: (2,) uint64, the policy's stream.
    """
    queue = state.rules.route(local, view, now, rng)
    if state.binds:
        if queue < 0 or queue >= view.columns.shape[0]:
            return NONE
        _append(state, view, queue, task)
        return queue  # type: ignore[no-any-return]
    if queue != ANY_LOCAL:
        return NONE
    for i in range(local.size):
        _append(state, view, local[i], task)
    if view.columns.shape[0] > view.rack.size:
        _append_to_wide_lists(state, view, local, task)
    return int64(local[0])  # type: ignore[no-any-return]


@inlined
def _append_to_wide_lists(state: SchedulerState, view: ClusterView, local: Any, task: int) -> None:
    """Append a task to the list of all tasks, those of its racks, and the last, if they exist."""
    m, lists = view.rack.size, view.columns.shape[0]
    _append(state, view, m, task)
    if lists == m + 1:
        return
    for i in range(local.size):
        if _first_of_its_rack(view, local, i):
            _append(state, view, m + 1 + view.rack[local[i]], task)
    _append(state, view, lists - 1, task)


@inlined
def _first_of_its_rack(view: ClusterView, local: Any, i: int) -> bool:
    for j in range(i):  # noqa: SIM110 - numba knows no `any` of a generator
        if view.rack[local[j]] == view.rack[local[i]]:
            return False
    return True


@inlined
def dequeue(state: SchedulerState, view: ClusterView, queue: int, task: int) -> None:
    """Remove a waiting task from its queue or lists; it keeps its row.

    Writes WAITS of the task, and WAITING and LENGTH in `view.columns`.
    """
    view.tasks.fact[uint32(task), WAITS] = 0
    if state.binds:
        change_length(state, view, queue, -1, -1)
    else:
        _remove_from_lists(state, view, task)


@inlined
def _remove_from_lists(state: SchedulerState, view: ClusterView, task: int) -> None:
    """Remove a task from all lists; its entries are dropped once they reach the head."""
    local = view.tasks.holders[
        view.tasks.fact[uint32(task), LOW] : view.tasks.fact[uint32(task), HIGH]
    ]
    for i in range(local.size):
        change_length(state, view, local[i], -1, -1)
    m, lists = view.rack.size, view.columns.shape[0]
    if lists == m:
        return
    change_length(state, view, m, -1, -1)
    if lists == m + 1:
        return
    for i in range(local.size):
        if _first_of_its_rack(view, local, i):
            change_length(state, view, m + 1 + view.rack[local[i]], -1, -1)
    change_length(state, view, lists - 1, -1, -1)


@inlined
def level_of(state: SchedulerState, view: ClusterView, server: int, queue: int, task: int) -> int:
    """Return the locality level of a task on a server that takes it from a queue.

    Reads the task's holders if levels are by its data, else `state.queue_levels` and `view.rack`.
    """
    if state.by_data:
        local = view.tasks.holders[
            view.tasks.fact[uint32(task), LOW] : view.tasks.fact[uint32(task), HIGH]
        ]
        level = REMOTE
        for i in range(local.size):
            if local[i] == server:
                return LOCAL
            if view.racks > 1 and view.rack[local[i]] == view.rack[server]:
                level = RACK
        return level
    if queue == server:
        return LOCAL
    if state.queue_levels[queue] != BY_QUEUE:
        return int64(state.queue_levels[queue])  # type: ignore[no-any-return]
    return RACK if view.racks > 1 and view.rack[queue] == view.rack[server] else REMOTE


@inlined
def start(state: SchedulerState, view: ClusterView, server: int, queue: int) -> None:
    """Let an idle server take the first task of a queue or list in which one waits.

    Writes the server's SERVING, LEVEL and RUNNING and the queue's WAITING and LENGTH in
    `view.columns`; if tasks are kept also WAITS of the task, and `view.lists`.
    """
    m = uint32(server)
    task = NONE
    if state.keeps_tasks:
        task = oldest(view.tasks, view.lists, queue)
        pop(view.tasks, view.lists, queue)
    if state.binds:
        change_length(state, view, queue, -1, 0 if state.counts_service else -1)
    else:
        _remove_from_lists(state, view, task)
    if state.keeps_tasks:
        view.tasks.fact[uint32(task), WAITS] = 0
        view.columns[m, RUNNING] = task
    view.columns[m, SERVING] = queue
    # Own queue first: no need to ask which servers hold the data.
    own = queue == server
    view.columns[m, LEVEL] = LOCAL if own else level_of(state, view, server, queue, task)


@inlined
def finish(state: SchedulerState, view: ClusterView, server: int) -> None:
    """End the task of a server, which does not count as idle yet.

    Writes SERVING of the server, LENGTH of the queue that it served, and ENTRIES of its task.
    """
    m = uint32(server)
    if state.binds and state.counts_service:
        change_length(state, view, view.columns[m, SERVING], 0, -1)
    if state.keeps_tasks:
        unref(view.tasks, view.lists, view.columns[m, RUNNING])
    view.columns[m, SERVING] = IDLE


@inlined
def mark_idle(view: ClusterView, server: int) -> None:
    """Add a server to the idle ones.

    Writes `view.idle`, and the server's idle positions in `view.columns`.
    """
    idle_servers.add(view.columns, view.idle, server, 0, IDLE_POSITION)
    if view.racks > 1:
        rack = 1 + view.rack[uint32(server)]
        idle_servers.add(view.columns, view.idle, server, rack, IDLE_POSITION_IN_RACK)


@inlined
def mark_busy(view: ClusterView, server: int) -> None:
    """Remove a server from the idle ones.

    Writes `view.idle`, and idle positions in `view.columns`.
    """
    idle_servers.remove(view.columns, view.idle, server, 0, IDLE_POSITION)
    if view.racks > 1:
        rack = 1 + view.rack[uint32(server)]
        idle_servers.remove(view.columns, view.idle, server, rack, IDLE_POSITION_IN_RACK)


@inlined
def take_task(state: SchedulerState, view: ClusterView, server: int, now: float, rng: Any) -> int:
    """Let a server that runs nothing take a task: YES, NO, NO_ONE or WRONG_QUEUE.

    Writes what `start` and `state.bring_next` write; `rng`, (2,) uint64, is the policy's stream.
    """
    queue = state.rules.pick(server, view, now, rng)
    if queue in (NOTHING, NOBODY):
        return NO if queue == NOTHING else NO_ONE
    if queue < 0 or queue >= view.columns.shape[0] or view.columns[uint32(queue), WAITING] <= 0:
        return WRONG_QUEUE
    state.bring_next(queue, view, state.fair_share)
    start(state, view, server, queue)
    return YES


@inlined
def assign_tasks(
    state: SchedulerState,
    view: ClusterView,
    freed: int,
    local: Any,
    queue: int,
    now: float,
    rng: Any,
    started: Any,
) -> int:
    """Find a task for a server that has become free, or servers for a task that has arrived.

    Either `freed` is that server, or it is NONE and `queue` is the queue that a task with these
    `local` servers has joined, or TIMER. Returns YES, or the fault of the policy.

    Args:
        state: Read-only, but for what `state.bring_next` writes.
        view: Written as by `take_task`, `mark_idle` and `mark_busy`.
        freed: A server that runs nothing and is not yet counted as idle, or NONE.
        local: (k,) int32, the task's local servers, empty with TIMER; read-only.
        queue: The queue that it has joined, or TIMER.
        now: s.
        rng: (2,) uint64, the policy's stream.
        started: (1 + n,) int64, written: started[0] becomes the number of servers that start a
            task, and started[1], ... those servers, at most n. Further entries mean nothing.
    """
    started[0] = 0
    while started[0] + 1 < started.size:
        server = freed
        if freed < 0:
            server = state.rules.call(local, queue, view, now, rng)
            if server == NOBODY:
                return YES
            if (
                server < 0
                or server >= view.rack.size
                or view.columns[uint32(server), SERVING] != IDLE
            ):
                return WRONG_SERVER
        answer = take_task(state, view, server, now, rng)
        if answer == YES:
            started[0] += 1
            started[started[0]] = server
            if freed < 0:
                mark_busy(view, server)
        elif freed >= 0:
            mark_idle(view, server)
        if answer == WRONG_QUEUE:
            return WRONG_QUEUE
        if answer != YES or freed >= 0:
            return YES
    return YES
