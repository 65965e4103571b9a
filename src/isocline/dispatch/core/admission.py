"""Admission of tasks to the policy state, new or requeued, and their removal from it."""

from collections.abc import Sequence

from isocline.dispatch.actions import Action, Cancel, Fetch
from isocline.dispatch.core.kernels.state import REQUEUE_PREFETCHED, SUBMITTED, UNQUEUE
from isocline.dispatch.core.starts import pipeline, starts
from isocline.dispatch.core.state import State
from isocline.dispatch.core.unplaceable import TaskSpec


def admit(
    state: State, spec: TaskSpec, holders: Sequence[int], now: float, how: int = SUBMITTED
) -> list[Action]:
    """Add a waiting task, which may start; without a holder that is up it is unplaceable.

    `how` is SUBMITTED, REQUEUE or REQUEUE_PREFETCHED of `kernels.state`.
    """
    task = spec.task
    local = tuple(state.attempts.at) if task in state.anywhere else state.up(holders)
    if not local:
        state.mark_unplaceable(spec, now)
        return []
    state.row[task] = state.policy_state.admit(spec, local, now, how)
    state.waiting += 1
    return after_enqueue(state, local, now)


def after_enqueue(state: State, local: Sequence[int], now: float) -> list[Action]:
    """Do what follows the admission of a task to which these servers are local."""
    actions = starts(state, now)
    fetches = begin_fetches(state, now)
    if state.learning.pipelining_gap and not actions:
        for server in local:
            actions += pipeline(state, server, now)
    return actions + fetches


def begin_fetches(state: State, now: float) -> list[Action]:
    """Register the fetches that begin with the last event."""
    actions: list[Action] = []
    for server, row in state.policy_state.fetches():
        task = state.policy_state.task_of[row]
        if task in state.anywhere:  # it has no data, so it is local there, too
            state.policy_state.skip_fetch(server)
            actions += admit(state, unqueue(state, row), (), now, REQUEUE_PREFETCHED)
            continue
        holders, _, function = state.policy_state.facts(row)
        state.prefetch.begin(task, server, function, state.far_level(holders, server))
        state.counts.fetches += 1
        actions.append(Fetch(task, server))
    return actions


def unqueue(state: State, row: int) -> TaskSpec:
    """Take a waiting task out of the policy state."""
    spec, _ = state.policy_state.spec(row)
    state.policy_state.event(UNQUEUE, 0, row)
    state.waiting -= 1
    return spec


def end_task(state: State, task: int) -> list[Action]:
    """Remove a task that is no longer wanted; returns cancellations of its attempts."""
    if task in state.unplaceable:
        job = state.unplaceable.take(task).job
    else:
        row = state.row.pop(task)
        job = state.policy_state.facts(row)[1]
        if state.policy_state.waits(row):
            unqueue(state, row)
    state.shares.leave(job)
    state.anywhere.discard(task)
    state.prefetch.forget(task)
    state.attempts.forget(task)
    return [Cancel(task, attempt.start.server) for attempt in state.attempts.of.get(task, ())]
