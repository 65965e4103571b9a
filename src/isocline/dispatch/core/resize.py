"""Loss of a server, with requeueing of its tasks, and resizing to more columns."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from isocline.dispatch.actions import Action
from isocline.dispatch.core.admission import after_enqueue
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.kernels.admission import drop_holder, unref_all
from isocline.dispatch.core.kernels.state import (
    QUEUE,
    REQUEUE_MANY,
    SERIAL,
    SERVER_LOST,
    SET_PIPELINED,
    START_COPY,
    UNQUEUE_MANY,
)
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.state import State
from isocline.policies.scheduling.state.tasks import HIGH, LOW, WAITS


def lose_server(state: State, server: int, now: float) -> list[Action]:
    """Take a lost server down; tasks that waited for it are requeued elsewhere, in order."""
    arrays = state.policy_state
    # All are unqueued before any is requeued, as a down server's queue must be empty.
    rows = waiting_for(arrays, server)
    unqueue_many(arrays, rows)
    state.waiting -= int(rows.size)
    state.drop_holder(server)
    state.forget_prefetches(server)
    arrays.event(SERVER_LOST, server)
    up = tuple(state.attempts.at)
    again, unplaceable = without_holder(arrays, rows, server, state.anywhere, up)
    # In reverse, each to the front, so that they keep their order.
    for row in reversed(unplaceable.tolist()):
        state.mark_unplaceable(arrays.spec(row)[0], now)
    arrays.set_unqueued(again[::-1], up)
    return _requeue_many(state, now)


def _requeue_many(state: State, now: float) -> list[Action]:
    """Requeue the unqueued tasks to the front, each before the previous one."""
    arrays, rows = state.policy_state, state.policy_state.core.unqueued[1:]
    actions: list[Action] = []
    requeued = 0
    while requeued < rows.size:
        arrays.event(REQUEUE_MANY, 0, 0, now, state.learning.pipelining_gap)
        before, requeued = requeued, arrays.requeued()
        state.waiting += requeued - before
        holders = arrays.holders(int(rows[requeued - 1]))
        actions += after_enqueue(state, holders, now)
    return actions


def fits(policy_state: PolicyState, server: int, rack: int) -> bool:
    """Whether the policy state has a column for this server in this rack."""
    if server >= policy_state.setting.size:
        return False
    return not policy_state.has_racks or int(policy_state.setting.rack[server]) == rack


def move(state: State, now: float) -> list[Action]:
    """Move everything to a policy state with more columns."""
    old = state.policy_state
    rows = all_waiting(old)
    state.policy_state = wider = _wider(state)
    live = wider.adopt_tasks(old, rows, [one.row for one in _served(state)])
    state.shares.move_to(wider)
    wider.reserve(old, live)
    for server in state.prefetch.servers():
        wider.core.fetching[server] += 1
    state.apply_rates(anew=True)
    for attempt in _served(state):
        wider.event(
            SET_PIPELINED if attempt.ahead else START_COPY, attempt.start.server, attempt.row
        )
    state.waiting = 0
    wider.set_unqueued(rows[::-1], tuple(state.attempts.at))
    return _requeue_many(state, now)


def _served(state: State) -> Iterator[Attempt]:
    """Yield all attempts that the policy state has at servers."""
    for attempts in state.attempts.at.values():
        yield from (attempt for attempt in attempts if not attempt.withdrawn)


def _wider(state: State) -> PolicyState:
    """Build a policy state with columns for all servers; the policy's memory is kept."""
    old, racks = state.policy_state, state.racks
    last = max(racks)
    size = old.setting.size if last < old.setting.size else 2 * (last + 1)
    rack = np.full(size, racks[last], np.int32)
    for server, its in racks.items():
        rack[server] = its
    count = int(rack.max()) + 1 if old.has_racks else 1
    setting = replace(old.setting, rack=rack, racks=count)
    wider = PolicyState(setting, old.policy, old.rng, has_racks=old.has_racks)
    # From the last column down, as removal from the set of idle servers moves its last member.
    for server in range(size - 1, -1, -1):
        if server not in state.attempts.at:
            wider.event(SERVER_LOST, server)
    known = old.policy.remembers * old.setting.size
    wider.view.memory[:known] = old.view.memory[:known]
    return wider


IndexArray = npt.NDArray[np.int64]


def all_waiting(policy_state: PolicyState) -> IndexArray:
    """Return the rows of all waiting tasks, in order of submission."""
    return _by_submission(policy_state, np.flatnonzero(policy_state.view.tasks.fact[:, WAITS]))


def waiting_for(policy_state: PolicyState, server: int) -> IndexArray:
    """Return the rows of the tasks that wait for a server or have their data there."""
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
    # Rows that are given one after the other are in runs, which a stable sort merges.
    return rows[np.argsort(policy_state.view.tasks.time[rows, SERIAL], kind="stable")]


def unqueue_many(policy_state: PolicyState, rows: IndexArray) -> None:
    """Remove these tasks from all queues and lists; their rows stay allocated."""
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

    Tasks in `anywhere` (by the caller's numbers) are local to every server in `up`. Returns the
    rows of the tasks to requeue, and of tasks without a local server, which leave the policy state.
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
