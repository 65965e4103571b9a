"""Waiting tasks of a policy state, and their withdrawal from a server that is gone."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.kernels import state
from isocline.dispatch.core.kernels.admission import exclude, unref_all
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.unplaceable import TaskSpec
from isocline.policies.scheduling.state.tasks import HIGH, LOW, WAITS

IndexArray = npt.NDArray[np.int64]


def described(board: PolicyState, number: int) -> tuple[TaskSpec, list[int]]:
    """Return a task and its holders."""
    holders, row, function = board.facts(number)
    return TaskSpec(board.names[number], row, function, *board.time(number)), holders


def all_waiting(board: PolicyState) -> IndexArray:
    """Return the numbers of all waiting tasks, in order of submission."""
    return _by_submission(board, np.flatnonzero(board.view.tasks.fact[:, WAITS]))


def waiting_for(board: PolicyState, server: int) -> IndexArray:
    """Return the tasks that wait for a server, or have their data there."""
    tasks, size = board.view.tasks, board.setting.size
    waits = np.flatnonzero(tasks.fact[:, WAITS])
    rows = tasks.holders.reshape(tasks.fact.shape[0], -1)[waits]
    count = tasks.fact[waits, HIGH] - tasks.fact[waits, LOW]
    among = (rows == server) & (np.arange(rows.shape[1]) < count[:, None])
    found = among.any(axis=1)
    if board.policy.binds:
        found |= tasks.fact[waits, state.QUEUE] % size == server
    return _by_submission(board, waits[found])


def _by_submission(board: PolicyState, numbers: IndexArray) -> IndexArray:
    return numbers[np.argsort(board.view.tasks.time[numbers, state.SERIAL])]


def withdraw(board: PolicyState, numbers: IndexArray) -> None:
    """Withdraw these tasks from all lists; they keep their numbers."""
    if numbers.size:
        board.set_moved(numbers, ())
        board.event(state.UNQUEUE)
        board.strike_off()


def without(
    board: PolicyState,
    numbers: IndexArray,
    server: int,
    anywhere: Collection[int],
    up: Sequence[int],
) -> tuple[IndexArray, IndexArray]:
    """Remove a server from the holders of withdrawn tasks.

    Tasks whose caller's number is in `anywhere` are local at any server that is `up`. Returns the
    tasks to requeue, and those without a local server, which leave the policy state.
    """
    tasks = board.view.tasks
    exclude(tasks, numbers, server)
    homeless = tasks.fact[numbers, LOW] == tasks.fact[numbers, HIGH]
    if anywhere:
        free = np.array([board.names[number] in anywhere for number in numbers], bool)
        tasks.fact[numbers[free], HIGH] = tasks.fact[numbers[free], LOW]
        homeless = free & (not up) | homeless & ~free
        board.widen(len(up))
    orphans = numbers[homeless]
    unref_all(board.view.tasks, board.view.lists, orphans)
    return numbers[~homeless], orphans
