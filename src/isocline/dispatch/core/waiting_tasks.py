"""Waiting tasks of a policy state, and their removal from the queues of a server that is gone."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.kernels.admission import drop_holder, unref_all
from isocline.dispatch.core.kernels.state import QUEUE, SERIAL, UNQUEUE_MANY
from isocline.dispatch.core.policy_state import PolicyState
from isocline.policies.scheduling.state.tasks import HIGH, LOW, WAITS

IndexArray = npt.NDArray[np.int64]


def all_waiting(policy_state: PolicyState) -> IndexArray:
    """Return the rows of all waiting tasks, in order of submission."""
    return _by_submission(policy_state, np.flatnonzero(policy_state.view.tasks.fact[:, WAITS]))


def waiting_for(policy_state: PolicyState, server: int) -> IndexArray:
    """Return the rows of the tasks that wait for a server, or have their data there."""
    tasks, size = policy_state.view.tasks, policy_state.setting.size
    waits = np.flatnonzero(tasks.fact[:, WAITS])
    holders = tasks.holders.reshape(tasks.fact.shape[0], -1)[waits]
    count = tasks.fact[waits, HIGH] - tasks.fact[waits, LOW]
    among = (holders == server) & (np.arange(holders.shape[1]) < count[:, None])
    found = among.any(axis=1)
    if policy_state.policy.binds:
        found |= tasks.fact[waits, QUEUE] % size == server
    return _by_submission(policy_state, waits[found])


def _by_submission(policy_state: PolicyState, rows: IndexArray) -> IndexArray:
    return rows[np.argsort(policy_state.view.tasks.time[rows, SERIAL])]


def unqueue_many(policy_state: PolicyState, rows: IndexArray) -> None:
    """Remove these tasks from all queues and lists; they keep their rows."""
    if rows.size:
        policy_state.set_unqueued(rows, ())
        policy_state.event(UNQUEUE_MANY)
        policy_state.compact()


def without_holder(
    policy_state: PolicyState,
    rows: IndexArray,
    server: int,
    anywhere: Collection[int],
    up: Sequence[int],
) -> tuple[IndexArray, IndexArray]:
    """Remove a server from the holders of unqueued tasks.

    Tasks of the caller's `anywhere` are local at any server that is `up`. Returns the rows of the
    tasks to requeue, and of those without a local server, which leave the policy state.
    """
    tasks = policy_state.view.tasks
    drop_holder(tasks, rows, server)
    unplaceable = tasks.fact[rows, LOW] == tasks.fact[rows, HIGH]
    if anywhere:
        free = np.array([policy_state.task_of[row] in anywhere for row in rows], bool)
        tasks.fact[rows[free], HIGH] = tasks.fact[rows[free], LOW]
        unplaceable = free & (not up) | unplaceable & ~free
        policy_state.widen(len(up))
    leaving = rows[unplaceable]
    unref_all(policy_state.view.tasks, policy_state.view.lists, leaving)
    return rows[~unplaceable], leaving
