"""Loss of a server, and moves to more columns, with requeueing of displaced tasks."""

from dataclasses import replace

import numpy as np

from isocline.dispatch.actions import Action
from isocline.dispatch.core.admission import admit, after_enqueue
from isocline.dispatch.core.kernels.state import (
    REQUEUE_MANY,
    SERVER_LOST,
    SET_PIPELINED,
    START_COPY,
)
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.state import State
from isocline.dispatch.core.waiting_tasks import (
    all_waiting,
    unqueue_many,
    waiting_for,
    without_holder,
)
from isocline.policies.scheduling.state.tasks import NONE


def lose_server(state: State, server: int, now: float) -> list[Action]:
    """Take a lost server down; tasks that waited for it are requeued elsewhere, in their order."""
    arrays = state.policy_state
    # All are unqueued before any is requeued: the queue of a server that is down must be empty.
    rows = waiting_for(arrays, server)
    unqueue_many(arrays, rows)
    state.waiting -= int(rows.size)
    state.drop_holder(server)
    state.forget_prefetches(server)
    arrays.event(SERVER_LOST, server)
    up = tuple(state.attempts.at)
    again, unplaceable = without_holder(arrays, rows, server, state.anywhere, up)
    # The last first, each before all others, so that they keep their order.
    for row in reversed(unplaceable.tolist()):
        state.mark_unplaceable(arrays.spec(row)[0], now)
    arrays.set_unqueued(again[::-1], up)
    return _requeue_many(state, now)


def _requeue_many(state: State, now: float) -> list[Action]:
    """Requeue unqueued tasks before all others, each before the one that was requeued before."""
    arrays, rows = state.policy_state, state.policy_state.core.unqueued[1:]
    actions: list[Action] = []
    requeued = 0
    while requeued < rows.size:
        arrays.event(REQUEUE_MANY, 0, 0, now, state.learning.pipelining_gap)
        before, requeued = requeued, arrays.requeued()
        state.waiting += requeued - before
        holders, _, _ = arrays.facts(int(rows[requeued - 1]))
        actions += after_enqueue(state, holders, now)
    return actions


def fits(policy_state: PolicyState, server: int, rack: int) -> bool:
    """Whether the policy state has a column for this server, in this rack."""
    if server >= policy_state.setting.size:
        return False
    return not policy_state.has_racks or int(policy_state.setting.rack[server]) == rack


def move(state: State, now: float) -> list[Action]:
    """Move everything to a policy state with more columns."""
    old = state.policy_state
    state.policy_state = _wider(state)
    state.shares.move_to(state.policy_state)
    for server in state.prefetch.servers():
        state.policy_state.core.fetching[server] += 1
    state.apply_rates(anew=True)
    _move_attempts(old, state)
    state.waiting = 0
    actions: list[Action] = []
    for row in all_waiting(old).tolist():
        actions += admit(state, *old.spec(row), now)
    return actions


def _wider(state: State) -> PolicyState:
    """Build a policy state with columns for all servers; the policy keeps its memory."""
    old, racks = state.policy_state, state.racks
    last = max(racks)
    size = old.setting.size if last < old.setting.size else 2 * (last + 1)
    rack = np.full(size, racks[last], np.int32)
    for server, its in racks.items():
        rack[server] = its
    count = int(rack.max()) + 1 if old.has_racks else 1
    setting = replace(old.setting, rack=rack, racks=count)
    wider = PolicyState(setting, old.policy, old.rng, has_racks=old.has_racks)
    # From the last column on, as a set of idle servers is closed up by its last member.
    for server in range(size - 1, -1, -1):
        if server not in state.attempts.at:
            wider.event(SERVER_LOST, server)
    known = old.policy.remembers * old.setting.size
    wider.view.memory[:known] = old.view.memory[:known]
    return wider


def _move_attempts(old: PolicyState, state: State) -> None:
    """Enter all attempts into the wider policy state, and give their tasks rows there."""
    wider = state.policy_state
    moved: dict[int, int] = {}  # row -> row there
    for server, attempts in state.attempts.at.items():
        for i, attempt in enumerate(attempts):
            row = moved.get(attempt.row, NONE)
            if row == NONE:
                wider.describe(*old.spec(attempt.row))
            wider.event(SET_PIPELINED if i else START_COPY, server, row)
            row = wider.described_row() if row == NONE else row
            moved[attempt.row] = row
            attempt.row = row
            if attempt.start.task in state.row:
                state.row[attempt.start.task] = row
