"""Starts: attempts at tasks that servers take, pipelined ones and copies included."""

from isocline.dispatch.actions import Action, Start
from isocline.dispatch.core.kernels.state import PIPELINE, START_COPY
from isocline.dispatch.core.state import State
from isocline.policies.scheduling.contract import LOCAL

WHY = ("its data is here", "helps in its rack", "helps from afar")
PREFETCHED = ", with data fetched ahead"


def starts(state: State, now: float, pipelined: bool = False) -> list[Action]:
    """Register the attempts that begin with the last event; returns their starts."""
    actions: list[Action] = []
    arrays, counts = state.policy_state, state.counts
    for server, row, distance, queue, job, function in arrays.starts():
        task = arrays.task_of[row]
        level = shown = LOCAL if task in state.anywhere else distance
        why = _why(state, level, server, queue)
        if level == LOCAL and state.prefetch.has(task, server):
            shown = state.far_level(arrays.facts(row)[0], server)
            why = WHY[shown] + PREFETCHED
            counts.fetched += 1
        start = Start(task, server, shown, why, pipelined)
        state.attempts.begin(start, row, job, function, level, now)
        state.waiting -= 1
        counts.started[shown] += 1
        actions.append(start)
    counts.pipelined += len(actions) * pipelined
    return actions


def _why(state: State, level: int, server: int, queue: int) -> str:
    if level == LOCAL or queue == server or queue >= state.policy_state.setting.size:
        return WHY[level]
    more = state.policy_state.waiting(queue)
    return f"{WHY[level]}: of server {queue}, where {more} more wait"


def pipeline(state: State, server: int, now: float) -> list[Action]:
    """Give a busy server its next task, if that is worth it."""
    gap = state.learning.pipelining_gap
    here = state.attempts.at[server]
    if not gap or not state.policy_state.waiting(server) or len(here) != 1:
        return []
    if state.recalled.get(server) is here[0]:
        return []
    state.policy_state.event(PIPELINE, server, 0, now, gap)
    return starts(state, now, pipelined=True)


def start_copies(state: State, now: float) -> list[Action]:
    """Start copies of the stragglers that were found on other servers."""
    actions: list[Action] = []
    arrays, attempts, counts = state.policy_state, state.attempts, state.counts
    found = state.speculation.copies(state.row, arrays, attempts, state.learning.measured)
    for server, slow, remaining, fresh in found:
        arrays.event(START_COPY, server, slow.row)
        task = slow.start.task
        level = LOCAL if task in state.anywhere else arrays.level(server)
        why = f"copy: {remaining:.3g} s more expected there, {fresh:.3g} s here"
        start = Start(task, server, level, why, copy=True)
        attempts.begin(start, slow.row, slow.job, slow.function, level, now)
        counts.copies += 1
        counts.started[level] += 1
        actions.append(start)
    return actions
