"""Record of the tasks started by an event, for the core to read."""

from numba import uint32

from isocline.compilation.compiled import inlined
from isocline.dispatch.core.kernels.state import FUNCTION, START_FACTS, KernelState
from isocline.policies.scheduling.contract import ClusterView
from isocline.policies.scheduling.state.columns import LEVEL, RUNNING
from isocline.policies.scheduling.state.tasks import JOB
from isocline.policies.scheduling.state.transitions import SchedulerState


@inlined
def record_start(
    state: SchedulerState, view: ClusterView, core: KernelState, server: int, queue: int
) -> None:
    """Charge the job of the task that a server has just taken, and record the start.

    Writes `core.starts`, and `served` and `waiting` of the job in `state.fair_share`.
    """
    task = view.columns[uint32(server), RUNNING]
    fact = view.tasks.fact[uint32(task)]
    state.fair_share.waiting[fact[JOB]] -= 1
    state.fair_share.served[fact[JOB]] += (
        core.cost[fact[FUNCTION]] / state.fair_share.weight[fact[JOB]]
    )
    at = 1 + START_FACTS * core.starts[0]
    core.starts[0] += 1
    core.starts[at] = server
    core.starts[at + 1] = task
    core.starts[at + 2] = view.columns[uint32(server), LEVEL]
    core.starts[at + 3] = queue
    core.starts[at + 4] = fact[JOB]
    core.starts[at + 5] = fact[FUNCTION]
