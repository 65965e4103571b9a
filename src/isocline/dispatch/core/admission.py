"""Admission of tasks to the policy state, new or requeued, and their removal from it."""

from collections.abc import Iterable, Sequence

from isocline.dispatch.actions import Action, Cancel, Fetch
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.kernels.state import (
    FINISHED,
    RELIEVE,
    REQUEUE,
    REQUEUE_PREFETCHED,
    START_COPY,
    SUBMITTED,
    UNQUEUE,
)
from isocline.dispatch.core.reservation import reserve
from isocline.dispatch.core.starts import pipeline, starts
from isocline.dispatch.core.state import State
from isocline.dispatch.core.unplaceable import TaskSpec
from isocline.policies.scheduling.state.tasks import NONE


def admit(
    state: State, spec: TaskSpec, holders: Sequence[int], now: float, how: int = SUBMITTED
) -> list[Action]:
    """Admit a task, which may start at once; without a holder that is up it is unplaceable.

    `how` is SUBMITTED, REQUEUE or REQUEUE_PREFETCHED of `kernels.state`.
    """
    task = spec.task
    local = tuple(state.attempts.at) if task in state.anywhere else state.up(holders)
    if not local:
        state.mark_unplaceable(spec, now)
        return []
    if state.has_needs and task in state.resources.needs:
        return reserve(state, spec, local, now, first=how == REQUEUE)
    state.row[task] = state.policy_state.admit(spec, local, now, how)
    state.waiting += 1
    return after_enqueue(state, local, now)


def readmit(state: State, row: int, holders: Sequence[int], now: float, how: int) -> list[Action]:
    """Admit a waiting task anew, with these holders; see `admit`."""
    local = state.up(holders)
    task = state.policy_state.task_of[row]
    if not local or task in state.anywhere:
        return admit(state, unqueue(state, row), holders, now, how)
    spec = state.policy_state.description(row)
    state.row[task] = state.policy_state.admit(spec, local, now, how, row)
    return after_enqueue(state, local, now)


def after_enqueue(state: State, local: Sequence[int], now: float) -> list[Action]:
    """Do further work after the admission of a task that is local to these servers."""
    actions = starts(state, now)
    others = begin_fetches(state, now)
    if not actions:
        if state.attempts.copies:
            others += _take_from_copies(state, local, now)
        if state.learning.pipelining_gap:
            for server in local:
                actions += pipeline(state, server, now)
    return actions + others if others else actions


def _take_from_copies(state: State, local: Sequence[int], now: float) -> list[Action]:
    """Let a newly admitted task take a copy's server: a local one or, if none is idle, any.

    Remote servers are much alike to a policy: if one takes nothing, no other is tried.
    """
    copies = state.attempts.copies
    ask = [copies[server] for server in local if server in copies]
    if not state.policy_state.idles():
        ask += [copy for copy in copies.values() if copy not in ask][:1]
    actions: list[Action] = []
    for copy in ask:
        actions += give_way(state, copy, now)
        if copy.withdrawn:
            break
    return actions


def give_way(state: State, copy: Attempt, now: float, queue: int = NONE) -> list[Action]:
    """Let a copy's server take a task as if it were idle, which cancels the copy.

    The policy chooses the task, if any; with `queue`, it is the first of that queue. The copy runs
    on if no task is taken, or if it is the only attempt left at its task.
    """
    arrays, task, server = state.policy_state, copy.start.task, copy.start.server
    if copy.withdrawn or task not in state.row or state.attempts.serve(task) < 2:
        return []
    arrays.event(FINISHED, server, 0, now)
    actions, fetches = starts(state, now), arrays.fetches()
    if not actions and queue != NONE:
        arrays.event(RELIEVE, server, queue)
        actions = starts(state, now)
    if actions:
        state.attempts.withdraw(copy)
        actions = [Cancel(task, server), *actions]
    else:
        arrays.event(START_COPY, server, copy.row)
    return actions + _begin(state, fetches, now)


def begin_fetches(state: State, now: float) -> list[Action]:
    """Register the fetches that the last event begins."""
    fetches = state.policy_state.fetches()
    return _begin(state, fetches, now) if fetches else []


def _begin(state: State, fetches: Iterable[Sequence[int]], now: float) -> list[Action]:
    """Register fetches: server and row of each."""
    actions: list[Action] = []
    for server, row in fetches:
        task = state.policy_state.task_of[row]
        if task in state.anywhere:  # a task without data is local there, too
            state.policy_state.skip_fetch(server)
            actions += admit(state, unqueue(state, row), (), now, REQUEUE_PREFETCHED)
            continue
        holders, _, function = state.policy_state.facts(row)
        state.prefetch.begin(task, server, function, state.policy_state.far_level(holders, server))
        state.counts.fetches += 1
        actions.append(Fetch(task, server))
    return actions


def unqueue(state: State, row: int) -> TaskSpec:
    """Remove a waiting task from the policy state."""
    spec = state.policy_state.description(row)
    state.policy_state.event(UNQUEUE, 0, row)
    state.waiting -= 1
    return spec


def end_task(state: State, task: int) -> list[Action]:
    """Remove a task that is no longer wanted; returns the cancellations of its attempts."""
    row = state.row.pop(task, NONE)
    if row != NONE:
        job = state.policy_state.job(row)
        if state.policy_state.waits(row):
            unqueue(state, row)
    elif task in state.unplaceable.of:
        job = state.unplaceable.take(task).job
    else:
        job = state.resources.leave(task).spec.job
    state.shares.leave(job)
    state.anywhere.discard(task)
    if state.has_needs:
        state.resources.needs.pop(task, None)
    state.prefetch.forget(task)
    state.attempts.forget(task)
    attempts = state.attempts.of.get(task)
    if attempts is None:
        return []
    return [Cancel(task, one.start.server) for one in attempts if not one.withdrawn]
