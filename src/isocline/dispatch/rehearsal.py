"""Compilation of the kernels that the core needs only now and then, before the first task comes.

One that is not compiled yet would stop every server for as long as that takes.
"""

import numpy as np

from isocline.dispatch import room
from isocline.dispatch.board import Board
from isocline.dispatch.kernels.coming import all_let_go, leave_out
from isocline.policies.scheduling.longest import is_full


def rehearse(board: Board) -> None:
    """Have them compiled for this board, which has no tasks and stays as it is."""
    view, nobody = board.view, np.zeros(0, np.int64)
    room.relisted(view, 1, board.policy.binds)
    leave_out(view.tasks, nobody, 0)
    all_let_go(view.tasks, view.lists, nobody)
    if view.longest.order.size:
        is_full(view.longest)
