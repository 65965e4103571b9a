"""What has started at an event, as Python is told it."""

from numba import uint32

from isocline.compiled import inlined
from isocline.dispatch.core.kernels.state import FACTS_OF_START, FUNCTION, KernelState
from isocline.policies.scheduling.contract import ClusterView
from isocline.policies.scheduling.state.columns import LEVEL, RUNNING
from isocline.policies.scheduling.state.tasks import JOB
from isocline.policies.scheduling.state.transitions import SchedulerState


@inlined
def takes(
    book: SchedulerState, view: ClusterView, floor: KernelState, server: int, queue: int
) -> None:
    """A server has taken a task: its job is served, and the start is written down.

    Writes `floor.starts`, and `served` and `waiting` of the job in `book.turns`.
    """
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
