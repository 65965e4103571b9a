"""A second task at a server, given while the first one runs."""

from numba import uint32

from isocline.compiled import inlined
from isocline.dispatch.core.kernels.starts import takes
from isocline.dispatch.core.kernels.state import KernelState
from isocline.policies.scheduling.contract import LOCAL, ClusterView
from isocline.policies.scheduling.state.columns import IDLE, LEVEL, RUNNING, SERVING, WAITING
from isocline.policies.scheduling.state.tasks import HIGH, LOW, NONE, oldest, unref
from isocline.policies.scheduling.state.transitions import SchedulerState, change, start


@inlined
def gains_by_pipelining(view: ClusterView, floor: KernelState, server: int, gap: float) -> bool:
    """Whether the next of a server's own tasks is better bound to it while it runs another.

    All v tasks that wait here gain the `gap`, in service times, in which the server would be idle
    before it has the next. The one that is bound loses what it would have gained by going to the
    first of its k local servers that is free, at most 1 - 1 / k of a service time if all are busy.
    Only behind a local task, so that what a policy remembers of the server, which it is not asked
    about at the change from one to the other, stays true.

    Reads the server's row of `view.desk`, the tasks in its queue and `floor.ahead`; entries of
    tasks that no longer wait are dropped from the head of the queue.
    """
    row = view.desk[uint32(server)]
    if row[WAITING] == 0 or row[LEVEL] != LOCAL or floor.ahead[server] != NONE:
        return False
    task = view.tasks.fact[oldest(view.tasks, view.lists, server)]
    gains: bool = row[WAITING] * gap > 1.0 - 1.0 / (task[HIGH] - task[LOW])
    return gains and row[SERVING] != IDLE


@inlined
def start_pipelined(
    book: SchedulerState, view: ClusterView, floor: KernelState, server: int, gap: float
) -> None:
    """Bind the next of a server's own tasks to it, if that gains.

    Writes `floor.ahead` and `floor.starts`, and what `start` writes, but SERVING and RUNNING of the
    server; `gap` is in service times.
    """
    if not gains_by_pipelining(view, floor, server, gap):
        return
    row = view.desk[uint32(server)]
    running, serving = row[RUNNING], row[SERVING]
    book.turn(server, view, book.turns)
    start(book, view, server, server)
    takes(book, view, floor, server, server)
    floor.ahead[server] = row[RUNNING]
    row[RUNNING], row[SERVING] = running, serving


@inlined
def end_pipelined(book: SchedulerState, view: ClusterView, floor: KernelState, server: int) -> None:
    """The task given ahead leaves the server.

    Writes `floor.ahead`, ENTRIES of the task, and LENGTH of the server's queue.
    """
    if book.binds and book.counts_service:
        change(book, view, server, 0, -1)
    unref(view.tasks, view.lists, floor.ahead[server])
    floor.ahead[server] = NONE


@inlined
def go_on(view: ClusterView, floor: KernelState, server: int) -> None:
    """A server runs what it was given ahead.

    Writes SERVING, LEVEL and RUNNING of the server in `view.desk`, and `floor.ahead`.
    """
    row = view.desk[uint32(server)]
    row[SERVING], row[LEVEL], row[RUNNING] = server, LOCAL, floor.ahead[server]
    floor.ahead[server] = NONE
