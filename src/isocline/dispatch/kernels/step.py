"""What happens in the core's arrays at one event: one compiled call, which asks the policy.

The moves are those of the simulator (`policies.scheduling.moves`). What it does not know stands
here: servers that go, tasks given ahead, copies, and tasks that are taken back.

A server that is not there runs a task that never ends, before a queue so long that no policy that
compares servers would choose it.
"""

from typing import Any

from numba import uint32

from isocline.compiled import inlined, kernel
from isocline.dispatch.kernels.fetch import has_come, look
from isocline.dispatch.kernels.floor import (
    AHEAD,
    AHEAD_ENDS,
    COME,
    COMES_FETCHED,
    COMES_FIRST,
    DOWN,
    DOWN_LENGTH,
    ENDS,
    FACTS_OF_START,
    FUNCTION,
    NO_MORE,
    PUT_AHEAD,
    QUEUE,
    ROOM,
    RUNS_TOO,
    SERIAL,
    TAKEN_BACK,
    UP,
    Floor,
)
from isocline.policies.scheduling.contract import LOCAL, TIMER, ClusterView
from isocline.policies.scheduling.desk import IDLE, LEVEL, RUNNING, SERVING, WAITING
from isocline.policies.scheduling.longest import is_full
from isocline.policies.scheduling.moves import (
    WRONG_QUEUE,
    YES,
    Book,
    change,
    finish,
    hand_out,
    level_of,
    rouse,
    start,
    submit,
    withdraw,
)
from isocline.policies.scheduling.tasks import (
    BORN,
    ENTRIES,
    FULL,
    HIGH,
    JOB,
    LEFT,
    LOW,
    NONE,
    WAITS,
    let_go,
    oldest,
    take_number,
)
from isocline.policies.scheduling.turns import begin_to_wait, last_to_front, stand_by_job


@inlined
def _write_down(view: ClusterView, floor: Floor, born: float) -> int:
    """Give a task a number and write down its facts."""
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
def _join(book: Book, view: ClusterView, task: int, first: bool, now: float, rng: Any) -> int:
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
def _to_front(book: Book, view: ClusterView, queue: Any, task: int) -> None:
    last_to_front(view, queue)
    if book.turns.served.size > 1:
        last_to_front(view, view.desk.shape[0] * (1 + view.tasks.fact[uint32(task), JOB]) + queue)


@inlined
def _comes(
    book: Book, view: ClusterView, floor: Floor, what: int, born: float, now: float, rng: Any
) -> int:
    """A task comes; the queue that it joins, below 0 if the policy has named none."""
    task = _write_down(view, floor, born)
    if what == COMES_FETCHED:
        view.tasks.fact[uint32(task), WAITS] = NO_MORE
    return _join(book, view, task, what == COMES_FIRST, now, rng)


@inlined
def _takes(book: Book, view: ClusterView, floor: Floor, server: int, queue: int) -> None:
    """A server has taken a task: its job is served, and the start is written down."""
    task = view.desk[uint32(server), RUNNING]
    fact = view.tasks.fact[uint32(task)]
    book.turns.waiting[fact[JOB]] -= 1
    book.turns.served[fact[JOB]] += floor.cost[fact[FUNCTION]] / book.turns.weight[fact[JOB]]
    at = 1 + FACTS_OF_START * floor.starts[0]
    floor.starts[0] += 1
    floor.starts[at] = server
    floor.starts[at + 1] = task
    floor.starts[at + 2] = view.desk[uint32(server), LEVEL]
    floor.starts[at + 3] = queue
    floor.starts[at + 4] = fact[JOB]
    floor.starts[at + 5] = fact[FUNCTION]


@inlined
def _give_ahead(book: Book, view: ClusterView, floor: Floor, server: int, gap: float) -> None:
    """The next of a server's own tasks is bound to it, if that gains more than it may lose.

    All v tasks that wait here gain the `gap`, in service times, in which the server would be idle
    before it has the next. The one that is bound loses what it would have gained by going to the
    first of its k local servers that is free, at most 1 - 1 / k of a service time if all are busy.
    Only behind a local task, so that what a policy remembers of the server, which it is not asked
    about at the change from one to the other, stays true.
    """
    row = view.desk[uint32(server)]
    if row[WAITING] == 0 or row[LEVEL] != LOCAL or floor.ahead[server] != NONE:
        return
    task = view.tasks.fact[oldest(view.tasks, view.lists, server)]
    if row[WAITING] * gap <= 1.0 - 1.0 / (task[HIGH] - task[LOW]):
        return
    running, serving = row[RUNNING], row[SERVING]
    book.turn(server, view, book.turns)
    start(book, view, server, server)
    _takes(book, view, floor, server, server)
    floor.ahead[server] = row[RUNNING]
    row[RUNNING], row[SERVING] = running, serving


@inlined
def _end_ahead(book: Book, view: ClusterView, floor: Floor, server: int) -> None:
    """The task given ahead leaves the server."""
    if book.binds and book.counts_service:
        change(book, view, server, 0, -1)
    let_go(view.tasks, view.lists, floor.ahead[server])
    floor.ahead[server] = NONE


@inlined
def _go_on(view: ClusterView, floor: Floor, server: int) -> None:
    """A server runs what it was given ahead."""
    row = view.desk[uint32(server)]
    row[SERVING], row[LEVEL], row[RUNNING] = server, LOCAL, floor.ahead[server]
    floor.ahead[server] = NONE


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
        _end_ahead(book, view, floor, server)
    if row[SERVING] == IDLE:
        rouse(view, server)
    else:
        finish(book, view, server)
    row[SERVING], row[LEVEL], row[RUNNING] = server, LOCAL, NONE
    change(book, view, server, 0, DOWN_LENGTH)


@inlined
def _runs_already(view: ClusterView, floor: Floor) -> int:
    """Write down a task that runs, and never waits."""
    task = _write_down(view, floor, 0.0)
    view.tasks.fact[uint32(task), WAITS] = view.tasks.fact[uint32(task), ENTRIES] = 0
    return task


@inlined
def _other(
    book: Book, view: ClusterView, floor: Floor, what: int, server: int, task: int, gap: float
) -> None:
    """What is not followed by a decision of the policy."""
    if what == AHEAD:
        _give_ahead(book, view, floor, server, gap)
    elif what == AHEAD_ENDS:
        _end_ahead(book, view, floor, server)
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
        fact = view.tasks.fact[uint32(task)]
        withdraw(book, view, fact[QUEUE], task)
        book.turns.waiting[fact[JOB]] -= 1
        let_go(view.tasks, view.lists, task)
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

    `born`, s, is when a task that comes was submitted; at AHEAD, how long servers are idle between
    two tasks, in service times.
    """
    floor.starts[0] = floor.wanted[0] = 0
    status = YES
    if what >= DOWN:
        _other(book, view, floor, what, server, task, born)
    elif what == COME:
        has_come(view, floor, server, task)
        look(view, floor, server)
    else:
        freed, queue = NONE, TIMER
        low = high = 0
        idle = True
        if what <= COMES_FETCHED:
            queue = _comes(book, view, floor, what, born, now, rng)
            if queue < 0:
                return WRONG_QUEUE
            low = view.tasks.fact[uint32(floor.given[0]), LOW]
            high = view.tasks.fact[uint32(floor.given[0]), HIGH]
        elif what == ENDS:
            finish(book, view, server)
            freed = server
            if floor.ahead[server] != NONE:
                _go_on(view, floor, server)
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
                _takes(book, view, floor, at, view.desk[uint32(at), SERVING])
        if what != COMES_FETCHED:
            look(view, floor, freed)
    if status != YES:
        return status
    return ROOM if _is_full(view) else YES


@kernel
def next_due(book: Book, view: ClusterView, now: float) -> float:
    """When the policy wants to be asked again."""
    return book.rules.due(view, now)  # type: ignore[no-any-return]
