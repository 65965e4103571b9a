"""Relief: tasks that wait behind a straggler start elsewhere.

A policy without a clock decides only at events, by the number of tasks that wait for a server, each
assumed to take a mean service time. While a straggler runs, no event occurs at its server; without
relief, tasks behind it could wait forever beside idle servers. The straggler criterion of
speculation, with the expected remaining time as the wait, solves this for all policies at once. A
`due` in each policy would need the measured service times, by function and with their spread, and
would change the simulated policies, although exponential services have no memory. It would not help
while data is prefetched, either: the policy then has rates at which no remote start is worthwhile.

Policies declare whether they allow relief (`SchedulingPolicy.relieves`). `delay_scheduling` does
not, as its `due` determines how long a task waits; nor do `random_local` and `jsq_local_only`,
which by definition start no task far from its data. `balanced_pandas` does: it binds by expected
work, and a straggler disproves the expectation. A task pipelined behind a straggler returns to the
queue under any policy, because it was the core that bound it.

Relief comes before copies: it runs nothing twice, and a task that hangs may hang again elsewhere.
For the same reason, a copy keeps its server only as long as no other task would take it (`give_way`
in `admission`): to a new task, and to relief when no server is idle, that server counts as idle.
Two alternatives fail: starting copies only in quiet times, as a copy that hangs does not end with
them; and ending copies as soon as any task waits, as the policy may want the task to wait for
another server. The policy therefore decides.
"""

from collections.abc import Sequence

from isocline.dispatch.actions import Action, Cancel
from isocline.dispatch.core.admission import give_way
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.kernels.state import RELIEVE
from isocline.dispatch.core.starts import start_copies, starts
from isocline.dispatch.core.state import State
from isocline.policies.scheduling.contract import LOCAL
from isocline.policies.scheduling.state.tasks import NONE


def help_stragglers(state: State, now: float) -> list[Action]:
    """Look for stragglers, if due; relieve their servers, then copy them."""
    seeks, measured = state.speculation, state.learning.measured
    factor = state.rules.relief
    if not seeks.look(state.policy_state, state.attempts, measured, now) or not seeks.late:
        return []
    actions: list[Action] = []
    if state.policy_state.policy.waits and state.waiting:  # the policy may let them start now
        for copy in list(state.attempts.copies.values()):
            actions += give_way(state, copy, now)
    recalls: list[Action] = []
    shortest = min(measured.expected(function, LOCAL) for function, _ in measured.local_means())
    for server, late in seeks.late.items():
        # Usually most attempts if all servers are busy; or the attempt is a withdrawn copy.
        if late.remaining <= factor * shortest or late.attempt.withdrawn:
            continue
        if state.policy_state.policy.relieves:
            for queue in state.policy_state.queues_of(server):
                actions += _relieve(state, server, queue, now)
        recalls += _recall(state, server, late.attempt)
    # Recalled tasks will wait for a server in a moment.
    return actions + (recalls or start_copies(state, now))


def _relieve(state: State, server: int, queue: int, now: float) -> list[Action]:
    """Start tasks from a queue of a late server on other servers, if that saves time."""
    arrays, copies = state.policy_state, state.attempts.copies
    actions: list[Action] = []
    while arrays.waiting(queue) and (row := arrays.first_waiting(queue)) != NONE:
        waits_for = [server] if arrays.policy.binds else arrays.holders(row)
        helper = _helper(state, waits_for, row)
        if helper == NONE:
            break
        if helper in copies:
            actions += give_way(state, copies[helper], now, queue)
        else:
            arrays.event(RELIEVE, helper, queue)
            actions += starts(state, now)
    return actions


def _recall(state: State, server: int, late: Attempt) -> list[Action]:
    """Cancel the attempt pipelined behind a late one, which requeues its task."""
    pipelined = state.attempts.at[server][1:]
    if not pipelined or state.recalled.get(server) is late:
        return []
    task = pipelined[0].start.task
    if task not in state.row or _helper(state, [server], pipelined[0].row) == NONE:
        return []
    state.recalled[server] = late
    return [Cancel(task, server)]


def _helper(state: State, waits_for: Sequence[int], row: int) -> int:
    """Server that would finish a task before any for which it waits, or NONE.

    The server is idle or, if none is, runs a copy.
    """
    arrays, late = state.policy_state, state.speculation.late
    wait = min(
        late[server].remaining if server in late and not late[server].attempt.withdrawn else 0.0
        for server in waits_for
    )
    holders, _, function = arrays.facts(row)
    if arrays.idles():
        helper = arrays.idle_near(holders)
    else:
        helper = _runs_copy(state, holders)
    if helper == NONE:
        return NONE
    local = helper in holders or arrays.task_of[row] in state.anywhere
    level = LOCAL if local else arrays.far_level(holders, helper)
    fresh = state.learning.measured.expected(function, level)
    return helper if wait > state.rules.relief * fresh else NONE


def _runs_copy(state: State, holders: Sequence[int]) -> int:
    """Server of a copy that may give way, preferably one of these holders; or NONE."""
    attempts = state.attempts
    found = [
        server
        for server, copy in attempts.copies.items()
        if copy.start.task in state.row and attempts.serve(copy.start.task) > 1
    ]
    return next((server for server in holders if server in found), found[0] if found else NONE)
