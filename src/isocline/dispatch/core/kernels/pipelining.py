"""Pipelining: a second task is bound to a server while the first runs."""

from numba import uint32

from isocline.compilation.compiled import inlined
from isocline.dispatch.core.kernels.starts import record_start
from isocline.dispatch.core.kernels.state import KernelState
from isocline.policies.scheduling.contract import LOCAL, ClusterView
from isocline.policies.scheduling.state.columns import IDLE, LEVEL, RUNNING, SERVING, WAITING
from isocline.policies.scheduling.state.tasks import HIGH, LOW, NONE, oldest, unref
from isocline.policies.scheduling.state.transitions import SchedulerState, change_length, start


@inlined
def pipelining_gains(view: ClusterView, core: KernelState, server: int, gap: float) -> bool:
    """Whether it gains time to bind the next of a server's own tasks to it while it runs another.

    All v tasks waiting there gain the `gap`, in service times, for which the server would be idle
    before its next task. The bound task loses its choice of the first free server among its k local
    ones, which is worth at most 1 - 1 / k of a service time if all are busy. Only behind a local
    task, because the policy is not called at the change from one task to the next, and its memory
    of the server must stay true.

    Reads the server's row of `view.columns`, the tasks in its queue and `core.pipelined`; stale
    entries are dropped from the head of the queue.
    """
    row = view.columns[uint32(server)]
    if row[WAITING] == 0 or row[LEVEL] != LOCAL or core.pipelined[server] != NONE:
        return False
    task = view.tasks.fact[oldest(view.tasks, view.lists, server)]
    gains: bool = row[WAITING] * gap > 1.0 - 1.0 / (task[HIGH] - task[LOW])
    return gains and row[SERVING] != IDLE


@inlined
def start_pipelined(
    state: SchedulerState, view: ClusterView, core: KernelState, server: int, gap: float
) -> None:
    """Bind the next of a server's own tasks to it, if that gains.

    Writes `core.pipelined` and `core.starts`, and the same as `start` except SERVING and RUNNING of
    the server; `gap` is in service times.
    """
    if not pipelining_gains(view, core, server, gap):
        return
    row = view.columns[uint32(server)]
    running, serving = row[RUNNING], row[SERVING]
    state.bring_next(server, view, state.fair_share)
    start(state, view, server, server)
    record_start(state, view, core, server, server)
    core.pipelined[server] = row[RUNNING]
    row[RUNNING], row[SERVING] = running, serving


@inlined
def end_pipelined(state: SchedulerState, view: ClusterView, core: KernelState, server: int) -> None:
    """Remove the pipelined task from a server.

    Writes `core.pipelined`, ENTRIES of the task, and LENGTH of the server's queue.
    """
    if state.binds and state.counts_service:
        change_length(state, view, server, 0, -1)
    unref(view.tasks, view.lists, core.pipelined[server])
    core.pipelined[server] = NONE


@inlined
def promote_pipelined(view: ClusterView, core: KernelState, server: int) -> None:
    """Make the pipelined task of a server its running one.

    Writes SERVING, LEVEL and RUNNING of the server in `view.columns`, and `core.pipelined`.
    """
    row = view.columns[uint32(server)]
    row[SERVING], row[LEVEL], row[RUNNING] = server, LOCAL, core.pipelined[server]
    core.pipelined[server] = NONE
