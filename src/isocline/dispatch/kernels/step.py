"""What happens in the core's arrays at one event: one compiled call, which asks the policy.

The moves are those of the simulator (`policies.scheduling.moves`). What it does not know stands
here: servers that go, tasks given ahead, copies, and tasks that are taken back.

A server that is not there runs a task that never ends, before a queue so long that no policy that
compares servers would choose it.
"""

from typing import Any

from numba import int64, uint32

from isocline.compiled import inlined, kernel
from isocline.dispatch.kernels.ahead import end_ahead, gains_ahead, give_ahead, go_on
from isocline.dispatch.kernels.coming import comes, take_back, write_down
from isocline.dispatch.kernels.fetch import has_come, look
from isocline.dispatch.kernels.floor import (
    AHEAD,
    AHEAD_ENDS,
    COME,
    COMES_AGAIN,
    COMES_FETCHED,
    DOWN,
    DOWN_LENGTH,
    ENDS,
    PUT_AHEAD,
    ROOM,
    RUNS_TOO,
    TAKEN_BACK,
    UP,
    WITHDRAWN,
    Floor,
)
from isocline.dispatch.kernels.starts import takes
from isocline.policies.scheduling.contract import LOCAL, TIMER, ClusterView
from isocline.policies.scheduling.desk import IDLE, LEVEL, RUNNING, SERVING
from isocline.policies.scheduling.longest import is_full
from isocline.policies.scheduling.moves import (
    WRONG_ROUTE,
    YES,
    Book,
    change,
    finish,
    hand_out,
    level_of,
    rouse,
)
from isocline.policies.scheduling.tasks import ENTRIES, FULL, HIGH, LEFT, LOW, NONE, WAITS, let_go


@inlined
def _run_too(book: Book, view: ClusterView, server: int, task: int) -> None:
    """An idle server runs a task that runs elsewhere, counted in its own queue."""
    row = view.desk[uint32(server)]
    rouse(view, server)
    view.tasks.fact[uint32(task), ENTRIES] += 1
    row[SERVING], row[RUNNING] = server, task
    row[LEVEL] = level_of(book, view, server, server, task)
    if book.binds and book.counts_service:
        change(book, view, server, 0, 1)


@inlined
def _go_down(book: Book, view: ClusterView, floor: Floor, server: int) -> None:
    row = view.desk[uint32(server)]
    floor.coming[server] = 0
    if floor.ahead[server] != NONE:
        end_ahead(book, view, floor, server)
    if row[SERVING] == IDLE:
        rouse(view, server)
    else:
        finish(book, view, server)
    row[SERVING], row[LEVEL], row[RUNNING] = server, LOCAL, NONE
    change(book, view, server, 0, DOWN_LENGTH)


@inlined
def _runs_already(view: ClusterView, floor: Floor) -> int:
    """Write down a task that runs, and never waits."""
    task = write_down(view, floor, 0.0)
    view.tasks.fact[uint32(task), WAITS] = view.tasks.fact[uint32(task), ENTRIES] = 0
    return task


@inlined
def _other(
    book: Book, view: ClusterView, floor: Floor, what: int, server: int, task: int, gap: float
) -> None:
    """What is not followed by a decision of the policy."""
    if what == AHEAD:
        give_ahead(book, view, floor, server, gap)
    elif what == AHEAD_ENDS:
        end_ahead(book, view, floor, server)
    elif what == PUT_AHEAD:
        task = _runs_already(view, floor) if task == NONE else task
        view.tasks.fact[uint32(task), ENTRIES] += 1
        floor.ahead[server] = task
        if book.binds and book.counts_service:
            change(book, view, server, 0, 1)
    elif what == RUNS_TOO:
        task = _runs_already(view, floor) if task == NONE else task
        _run_too(book, view, server, task)
    elif what == DOWN:
        _go_down(book, view, floor, server)
    elif what == TAKEN_BACK:
        take_back(book, view, task)
        let_go(view.tasks, view.lists, task)
    elif what == WITHDRAWN:
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
    book: Book,
    view: ClusterView,
    floor: Floor,
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
    if what <= COMES_AGAIN:
        queue = comes(book, view, floor, what, born, now, rng)
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
    if what != COMES_FETCHED:
        look(view, floor, freed)
    return status


@inlined
def _goes_on(view: ClusterView, floor: Floor, gap: float) -> bool:
    """Whether the next task comes again before Python is told of anything."""
    done = floor.moved[0] + 1 == floor.moved.size or _is_full(view)
    if done or floor.starts[0] > 0 or floor.wanted[0] > 0:
        return False
    task = view.tasks.fact[uint32(floor.given[0])]
    for at in range(task[LOW], task[HIGH]):
        if gains_ahead(view, floor, view.tasks.holders[uint32(at)], gap):
            return False
    return True


@kernel
def step(
    book: Book,
    view: ClusterView,
    floor: Floor,
    what: int,
    server: int,
    task: int,
    born: float,
    now: float,
    rng: Any,
) -> int:
    """One event; `floor.starts` says which tasks have started. YES, ROOM, or what is wrong.

    `born`, s, is when a task that comes was submitted; at AHEAD and COMES_AGAIN, how long servers
    are idle between two tasks, in service times, 0 if none is given ahead. COMES_AGAIN is as many
    events as there is nothing to tell of.
    """
    floor.starts[0] = floor.wanted[0] = 0
    status = YES
    if what >= DOWN:
        _other(book, view, floor, what, server, task, born)
    elif what == COME:
        has_come(view, floor, server, task)
        look(view, floor, server)
    else:
        more = True
        while more:
            status = _decided(book, view, floor, what, server, born, now, rng)
            more = what == COMES_AGAIN and status == YES and _goes_on(view, floor, born)
    if status != YES:
        return status
    return ROOM if _is_full(view) else YES


@kernel
def next_due(book: Book, view: ClusterView, now: float) -> float:
    """When the policy wants to be asked again."""
    return book.rules.due(view, now)  # type: ignore[no-any-return]
