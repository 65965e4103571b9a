"""A second task at a server, given while the first one runs."""

from numba import uint32

from isocline.compiled import inlined
from isocline.dispatch.kernels.floor import Floor
from isocline.dispatch.kernels.starts import takes
from isocline.policies.scheduling.contract import LOCAL, ClusterView
from isocline.policies.scheduling.desk import IDLE, LEVEL, RUNNING, SERVING, WAITING
from isocline.policies.scheduling.moves import Book, change, start
from isocline.policies.scheduling.tasks import HIGH, LOW, NONE, let_go, oldest


@inlined
def gains_ahead(view: ClusterView, floor: Floor, server: int, gap: float) -> bool:
    """Whether the next of a server's own tasks is better bound to it while it runs another.

    All v tasks that wait here gain the `gap`, in service times, in which the server would be idle
    before it has the next. The one that is bound loses what it would have gained by going to the
    first of its k local servers that is free, at most 1 - 1 / k of a service time if all are busy.
    Only behind a local task, so that what a policy remembers of the server, which it is not asked
    about at the change from one to the other, stays true.
    """
    row = view.desk[uint32(server)]
    if row[WAITING] == 0 or row[LEVEL] != LOCAL or floor.ahead[server] != NONE:
        return False
    task = view.tasks.fact[oldest(view.tasks, view.lists, server)]
    gains: bool = row[WAITING] * gap > 1.0 - 1.0 / (task[HIGH] - task[LOW])
    return gains and row[SERVING] != IDLE


@inlined
def give_ahead(book: Book, view: ClusterView, floor: Floor, server: int, gap: float) -> None:
    """Bind the next of a server's own tasks to it, if that gains."""
    if not gains_ahead(view, floor, server, gap):
        return
    row = view.desk[uint32(server)]
    running, serving = row[RUNNING], row[SERVING]
    book.turn(server, view, book.turns)
    start(book, view, server, server)
    takes(book, view, floor, server, server)
    floor.ahead[server] = row[RUNNING]
    row[RUNNING], row[SERVING] = running, serving


@inlined
def end_ahead(book: Book, view: ClusterView, floor: Floor, server: int) -> None:
    """The task given ahead leaves the server."""
    if book.binds and book.counts_service:
        change(book, view, server, 0, -1)
    let_go(view.tasks, view.lists, floor.ahead[server])
    floor.ahead[server] = NONE


@inlined
def go_on(view: ClusterView, floor: Floor, server: int) -> None:
    """A server runs what it was given ahead."""
    row = view.desk[uint32(server)]
    row[SERVING], row[LEVEL], row[RUNNING] = server, LOCAL, floor.ahead[server]
    floor.ahead[server] = NONE
