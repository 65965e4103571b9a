"""Placement of tasks that need resources, directly at servers with enough left."""

from collections.abc import Sequence

from isocline.dispatch.actions import Action, Cancel, Start
from isocline.dispatch.core.kernels.state import FREE, START_COPY
from isocline.dispatch.core.resources import Reserved
from isocline.dispatch.core.starts import WHY, begin_attempt
from isocline.dispatch.core.state import State
from isocline.dispatch.core.unplaceable import TaskSpec
from isocline.policies.scheduling.contract import LOCAL
from isocline.policies.scheduling.state.tasks import NONE


def reserve(
    state: State, spec: TaskSpec, local: Sequence[int], now: float, *, first: bool
) -> list[Action]:
    """Start a task that needs resources, or let it wait; `local` servers are up.

    It is unplaceable if no server that is up could ever hold it.
    """
    resources, need = state.resources, state.resources.needs[spec.task]
    state.row.pop(spec.task, None)
    if not any(resources.could_hold(server, need) for server in state.attempts.at):
        state.mark_unplaceable(spec, now)
        return []
    resources.wait(spec, tuple(local), first=first)
    others = (server for server in resources.servers() if server in state.attempts.at)
    near_first = sorted(others, key=lambda server: _level(state, spec.task, local, server))
    for server in (*local, *near_first):
        if resources.has_room(server, need) and (freed := _freed(state, server)) is not None:
            return [*freed, _start(state, resources.waiting[spec.task], server, now)]
    return []


def place_near(state: State, server: int, now: float) -> list[Action]:
    """Start waiting tasks at all servers of a site where room has come about."""
    actions: list[Action] = []
    for other in state.resources.neighbours(server):
        one = _fitting(state, other)
        if one is not None and (freed := _freed(state, other)) is not None:
            actions += [*freed, _start(state, one, other, now)]
    return actions


def place_at(state: State, server: int, now: float) -> list[Action]:
    """Start a waiting task at a server where an attempt has just ended, if one fits."""
    one = _fitting(state, server)
    if one is None:
        return []
    state.policy_state.event(FREE, server)
    return [_start(state, one, server, now)]


def lose_holder(state: State, server: int, now: float) -> None:
    """Remove a lost server from the holders of waiting tasks; some become unplaceable."""
    resources = state.resources
    for task, (spec, local) in list(resources.waiting.items()):
        left = tuple(holder for holder in local if holder != server)
        near = left or task in state.anywhere
        could = any(resources.could_hold(up, resources.needs[task]) for up in state.attempts.at)
        if near and could:
            resources.waiting[task] = Reserved(spec, left)
        else:
            resources.leave(task)
            state.mark_unplaceable(spec, now)


def _freed(state: State, server: int) -> list[Action] | None:
    """Make a server idle that is so already, or runs a copy; None: it is down, or busy."""
    if server not in state.attempts.at:
        return None
    if state.policy_state.is_idle(server):
        return []
    copy = state.attempts.copies.get(server)
    if copy is None or copy.withdrawn or copy.start.task not in state.row:
        return None
    if state.attempts.serve(copy.start.task) < 2:
        return None
    state.policy_state.event(FREE, server)
    state.attempts.withdraw(copy)
    return [Cancel(copy.start.task, server)]


def _fitting(state: State, server: int) -> Reserved | None:
    """Task to start at a server: of those that fit, the oldest of the nearest level."""
    fits = state.resources.fitting(server)
    return min(fits, key=lambda one: _level(state, one.spec.task, one.local, server), default=None)


def _level(state: State, task: int, local: Sequence[int], server: int) -> int:
    """Locality level of a server for a task whose data is at the `local` ones."""
    if task in state.anywhere or server in local:
        return LOCAL
    return state.policy_state.far_level(local, server)


def _start(state: State, one: Reserved, server: int, now: float) -> Start:
    """Start a task at an idle server."""
    spec, local = state.resources.leave(one.spec.task)
    arrays, task = state.policy_state, one.spec.task
    arrays.describe(spec, local)
    arrays.event(START_COPY, server, NONE)
    row = state.row[task] = arrays.described_row(task)
    level = _level(state, task, local, server)
    start = Start(task, server, level, WHY[level])
    attempt = begin_attempt(state, start, row, spec.job, spec.function, level, now)
    state.resources.take(attempt.number, server, state.resources.needs[task])
    state.policy_state.charge(spec.job, spec.function)
    return start
