"""Early compilation of the kernels that the core needs only now and then.

One that is not compiled yet would stop every server for as long as that takes.
"""

import numpy as np

from isocline.dispatch.core import allocation
from isocline.dispatch.core.kernels.admission import exclude, unref_all
from isocline.dispatch.core.policy_state import PolicyState
from isocline.policies.scheduling.state.longest_queue import is_full


def rehearse(board: PolicyState) -> None:
    """Compile the kernels for this policy state, which has no tasks and stays as it is."""
    view, nobody = board.view, np.zeros(0, np.int64)
    allocation.relisted(view, 1, board.policy.binds)
    exclude(view.tasks, nobody, 0)
    unref_all(view.tasks, view.lists, nobody)
    if view.longest.order.size:
        is_full(view.longest)
