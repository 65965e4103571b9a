"""Transitions of a scheduler's state as tasks come, start and end, for all callers.

The simulator's kernels and the live dispatcher make the same moves, so that a policy sees the same
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
    IDLE_PLACE,
    IDLE_PLACE_IN_RACK,
    LENGTH,
    LEVEL,
    RUNNING,
    SERVING,
    WAITING,
)
from isocline.policies.scheduling.state.fair_share import NO_TURNS, FairShare, as_they_stand
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

# What `take` and `hand_out` say: no, and no other server would, either; the policy named a queue or
# a server that does not exist.
# `WRONG_ROUTE`: the queue that an arriving task was to join; `WRONG_TIME`: what `due` says is past,
# again and again, or no number.
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
"""Times in succession that `due` may say now, and nothing else happens."""


class SchedulerState(NamedTuple):
    """How one policy's moves are written down: constants of a run, but for `turns`."""

    rules: Rules
    grade: npt.NDArray[np.int8]  # (Q,) int8, level of a queue's tasks, or BY_QUEUE; read-only
    binds: bool  # tasks join one queue; else they stand in the lists of all their local servers
    counts_service: bool  # lengths count tasks in service
    keeps: bool  # each task is followed; else queues are mere numbers
    by_data: bool  # levels are by the task's data, else by its queue
    turn: Any = as_they_stand  # brings to the head of a queue the task that is to be taken
    turns: FairShare = NO_TURNS  # what it goes by; written by the dispatcher and its kernel


@inlined
def change(state: SchedulerState, view: ClusterView, queue: Any, waiting: int, length: int) -> None:
    """Add to what waits in a queue and to its length.

    Writes WAITING and LENGTH of the queue's row of `view.columns`; then the policy's `changed`
    writes what is its own.
    """
    q = uint32(queue)
    view.columns[q, WAITING] += waiting
    view.columns[q, LENGTH] += length
    state.rules.changed(int64(q), view)


@inlined
def _stand(state: SchedulerState, view: ClusterView, queue: Any, task: int) -> None:
    """A task comes to stand in a queue or list."""
    if state.keeps:
        push(view.tasks, view.lists, queue, task)
    change(state, view, queue, 1, 1)


@inlined
def submit(
    state: SchedulerState, view: ClusterView, local: Any, task: int, now: float, rng: Any
) -> int:
    """A task joins the queue that the policy says, or the lists; that queue, or NONE if wrong.

    Args:
        state: Read-only.
        view: `columns` and, if tasks are kept, `lists` and the task's ENTRIES are written.
        local: (k,) int32, the task's local servers, at least one; read-only.
        task: Its number; of no meaning unless tasks are kept.
        now: s, or slots.
        rng: (2,) uint64, the policy's stream.
    """
    queue = state.rules.route(local, view, now, rng)
    if state.binds:
        if queue < 0 or queue >= view.columns.shape[0]:
            return NONE
        _stand(state, view, queue, task)
        return queue  # type: ignore[no-any-return]
    if queue != ANY_LOCAL:
        return NONE
    for i in range(local.size):
        _stand(state, view, local[i], task)
    if view.columns.shape[0] > view.rack.size:
        _stand_in_wider(state, view, local, task)
    return int64(local[0])  # type: ignore[no-any-return]


@inlined
def _stand_in_wider(state: SchedulerState, view: ClusterView, local: Any, task: int) -> None:
    """The list of all tasks, those of the task's racks, and the last one, if there are such."""
    m, lists = view.rack.size, view.columns.shape[0]
    _stand(state, view, m, task)
    if lists == m + 1:
        return
    for i in range(local.size):
        if _first_of_its_rack(view, local, i):
            _stand(state, view, m + 1 + view.rack[local[i]], task)
    _stand(state, view, lists - 1, task)


@inlined
def _first_of_its_rack(view: ClusterView, local: Any, i: int) -> bool:
    for j in range(i):  # noqa: SIM110 - numba knows no `any` of a generator
        if view.rack[local[j]] == view.rack[local[i]]:
            return False
    return True


@inlined
def withdraw(state: SchedulerState, view: ClusterView, queue: int, task: int) -> None:
    """A task no longer waits in its queue, or its lists. It still has a number.

    Writes WAITS of the task, and WAITING and LENGTH in `view.columns`.
    """
    view.tasks.fact[uint32(task), WAITS] = 0
    if state.binds:
        change(state, view, queue, -1, -1)
    else:
        _strike_off(state, view, task)


@inlined
def _strike_off(state: SchedulerState, view: ClusterView, task: int) -> None:
    """A task no longer waits in any list; its entries are dropped when they come to the head."""
    local = view.tasks.holders[
        view.tasks.fact[uint32(task), LOW] : view.tasks.fact[uint32(task), HIGH]
    ]
    for i in range(local.size):
        change(state, view, local[i], -1, -1)
    m, lists = view.rack.size, view.columns.shape[0]
    if lists == m:
        return
    change(state, view, m, -1, -1)
    if lists == m + 1:
        return
    for i in range(local.size):
        if _first_of_its_rack(view, local, i):
            change(state, view, m + 1 + view.rack[local[i]], -1, -1)
    change(state, view, lists - 1, -1, -1)


@inlined
def level_of(state: SchedulerState, view: ClusterView, server: int, queue: int, task: int) -> int:
    """How far a task is from its data on a server that takes it from a queue.

    Reads the task's holders if levels are by its data, else `state.grade` and `view.rack`.
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
    if state.grade[queue] != BY_QUEUE:
        return int64(state.grade[queue])  # type: ignore[no-any-return]
    return RACK if view.racks > 1 and view.rack[queue] == view.rack[server] else REMOTE


@inlined
def start(state: SchedulerState, view: ClusterView, server: int, queue: int) -> None:
    """An idle server takes the first task of a queue or list in which one waits.

    Writes the server's SERVING, LEVEL and RUNNING and the queue's WAITING and LENGTH in
    `view.columns`; if tasks are kept also WAITS of the task, and `view.lists`.
    """
    m = uint32(server)
    task = NONE
    if state.keeps:
        task = oldest(view.tasks, view.lists, queue)
        pop(view.tasks, view.lists, queue)
    if state.binds:
        change(state, view, queue, -1, 0 if state.counts_service else -1)
    else:
        _strike_off(state, view, task)
    if state.keeps:
        view.tasks.fact[uint32(task), WAITS] = 0
        view.columns[m, RUNNING] = task
    view.columns[m, SERVING] = queue
    # Own queue first: no need to ask which servers hold the data.
    own = queue == server
    view.columns[m, LEVEL] = LOCAL if own else level_of(state, view, server, queue, task)


@inlined
def finish(state: SchedulerState, view: ClusterView, server: int) -> None:
    """A server ends its task; it is not yet counted as idle.

    Writes SERVING of the server, LENGTH of the queue that it served, and ENTRIES of its task.
    """
    m = uint32(server)
    if state.binds and state.counts_service:
        change(state, view, view.columns[m, SERVING], 0, -1)
    if state.keeps:
        unref(view.tasks, view.lists, view.columns[m, RUNNING])
    view.columns[m, SERVING] = IDLE


@inlined
def mark_idle(view: ClusterView, server: int) -> None:
    """A server that has found nothing to do is idle.

    Writes `view.idle`, and the server's idle places in `view.columns`.
    """
    idle_servers.add(view.columns, view.idle, server, 0, IDLE_PLACE)
    if view.racks > 1:
        rack = 1 + view.rack[uint32(server)]
        idle_servers.add(view.columns, view.idle, server, rack, IDLE_PLACE_IN_RACK)


@inlined
def mark_busy(view: ClusterView, server: int) -> None:
    """A server is no longer idle.

    Writes `view.idle`, and idle places in `view.columns`.
    """
    idle_servers.remove(view.columns, view.idle, server, 0, IDLE_PLACE)
    if view.racks > 1:
        rack = 1 + view.rack[uint32(server)]
        idle_servers.remove(view.columns, view.idle, server, rack, IDLE_PLACE_IN_RACK)


@inlined
def take(state: SchedulerState, view: ClusterView, server: int, now: float, rng: Any) -> int:
    """Let a server that runs nothing take a task: YES, NO, NO_ONE or WRONG_QUEUE.

    Writes what `start` writes, and what `state.turn` does; `rng`, (2,) uint64, is the policy's
    stream.
    """
    queue = state.rules.pick(server, view, now, rng)
    if queue in (NOTHING, NOBODY):
        return NO if queue == NOTHING else NO_ONE
    if queue < 0 or queue >= view.columns.shape[0] or view.columns[uint32(queue), WAITING] <= 0:
        return WRONG_QUEUE
    state.turn(queue, view, state.turns)
    start(state, view, server, queue)
    return YES


@inlined
def hand_out(
    state: SchedulerState,
    view: ClusterView,
    freed: int,
    local: Any,
    queue: int,
    now: float,
    rng: Any,
    started: Any,
) -> int:
    """Find work for a server that has just ended a task, or servers for a task that has just come.

    Either `freed` is that server, or it is NONE and `queue` is where a task with these `local`
    servers has joined, or TIMER. Returns YES, or what is wrong.

    Args:
        state: Read-only, but for what `state.turn` writes.
        view: Written as by `take`, `mark_idle` and `mark_busy`.
        freed: A server that runs nothing and is not yet counted as idle, or NONE.
        local: (k,) int32, the task's local servers, empty with TIMER; read-only.
        queue: Where it has joined, or TIMER.
        now: s.
        rng: (2,) uint64, the policy's stream.
        started: (1 + n,) int64, written: started[0] becomes how many servers start a task, and
            started[1], ... which, at most n. What lies beyond them means nothing.
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
        answer = take(state, view, server, now, rng)
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
