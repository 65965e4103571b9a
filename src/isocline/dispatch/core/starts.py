"""Starts of attempts, including pipelined ones and copies."""

from isocline.dispatch.actions import Action, Start
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.kernels.state import PIPELINE, START_COPY
from isocline.dispatch.core.state import State
from isocline.policies.scheduling.contract import LOCAL

WHY = ("its data is here", "helps in its rack", "helps from afar")
PREFETCHED = ", with data fetched ahead"


def starts(state: State, now: float, pipelined: bool = False) -> list[Action]:
    """Register the attempts that the last event starts; returns the actions."""
    arrays, counts = state.policy_state, state.counts
    found = arrays.starts()
    if not found:
        return []
    actions: list[Action] = []
    for server, row, distance, queue, job, function in found:
        task = arrays.task_of[row]
        level = shown = LOCAL if task in state.anywhere else distance
        why = _why(state, level, server, queue)
        if level == LOCAL and state.prefetch.has(task, server):
            shown = arrays.far_level(arrays.holders(row), server)
            why = WHY[shown] + PREFETCHED
            counts.fetched += 1
        start = Start(task, server, shown, why, pipelined)
        begin_attempt(state, start, row, job, function, level, now)
        actions.append(start)
    state.waiting -= len(actions)
    counts.pipelined += len(actions) * pipelined
    return actions


def begin_attempt(
    state: State, start: Start, row: int, job: int, function: int, level: int, now: float
) -> Attempt:
    """Register an attempt, and count its start; `level` is LOCAL if the data was prefetched."""
    state.counts.started[start.level] += 1
    return state.attempts.begin(start, row, job, function, level, now)


def _why(state: State, level: int, server: int, queue: int) -> str:
    if level == LOCAL or queue == server or queue >= state.policy_state.setting.size:
        return WHY[level]
    more = state.policy_state.waiting(queue)
    return f"{WHY[level]}: of server {queue}, where {more} more wait"


def pipeline(state: State, server: int, now: float) -> list[Action]:
    """Give a busy server its next task, if that gains time."""
    gap = state.learning.pipelining_gap
    here = state.attempts.at[server]
    if not gap or len(here) != 1 or not state.policy_state.waiting(server) or here[0].start.copy:
        return []
    if state.recalled.get(server) is here[0]:
        return []
    if state.has_needs and state.resources.wants(server):  # it shall become free
        return []
    state.policy_state.event(PIPELINE, server, 0, now, gap)
    return starts(state, now, pipelined=True)


def start_copies(state: State, now: float) -> list[Action]:
    """Start copies of the known stragglers on other servers."""
    actions: list[Action] = []
    arrays, measured = state.policy_state, state.learning.measured
    needs = state.resources.needs  # where they are met in use, no second attempt has room
    wanted = state.row.keys() - needs if needs else state.row
    found = state.speculation.copies(wanted, arrays, state.attempts, measured, now)
    for server, slow, remaining, fresh in found:
        arrays.event(START_COPY, server, slow.row)
        task = slow.start.task
        level = LOCAL if task in state.anywhere else arrays.level(server)
        why = f"copy: {remaining:.3g} s more expected there, {fresh:.3g} s here"
        start = Start(task, server, level, why, copy=True)
        slow.copied = now - slow.began
        begin_attempt(state, start, slow.row, slow.job, slow.function, level, now)
        actions.append(start)
    state.counts.copies += len(actions)
    return actions
