"""Relief: tasks that wait behind a straggler start elsewhere.

A policy without a clock decides at events only, by how many tasks wait for a server, each taken to
last a mean service time. Where the running one lasts on, none of its events comes: without relief
those behind it would wait without end beside idle servers. The straggler criterion of speculation,
with what is expected to remain as the wait, covers that here for all policies at once. A `due` of
each policy would have to know the service times that this takes, by function and with their spread,
and would change what is simulated, where exponential services have no memory. Nor would it help
while data is prefetched: then the policy has rates at which no start far from the data is worth it.

Policies say whether they admit it (`SchedulingPolicy.relieves`): not `delay_scheduling`, whose
`due` says how long a task waits, nor `random_local` and `jsq_local_only`, which by definition
start no task far from its data. `balanced_pandas` binds by expected work, and what it expected has
turned out wrong. A task pipelined behind a straggler returns to the queue under any policy, as it
was the core that bound it.

Relief comes before copies: it runs nothing twice, and a task that hangs may do so again elsewhere.
"""

from collections.abc import Sequence

from isocline.dispatch.actions import Action, Cancel
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.kernels.state import RELIEVE
from isocline.dispatch.core.starts import start_copies, starts
from isocline.dispatch.core.state import State
from isocline.policies.scheduling.contract import LOCAL
from isocline.policies.scheduling.state.tasks import NONE


def help_stragglers(state: State, now: float) -> list[Action]:
    """Look for stragglers, if it is time to; relieve their servers, then copy them."""
    seeks, measured = state.speculation, state.learning.measured
    factor = state.rules.relief
    if not seeks.look(state.policy_state, state.attempts, measured, now) or not seeks.late:
        return []
    actions: list[Action] = []
    shortest = min(measured.expected(function, LOCAL) for function, _ in measured.local_means())
    for server, late in seeks.late.items():
        if late.remaining <= factor * shortest:  # most, where all servers are busy as usual
            continue
        if state.policy_state.policy.relieves:
            for queue in state.policy_state.queues_of(server):
                actions += _relieve(state, server, queue, now)
        actions += _recall(state, server, late.attempt)
    return actions + start_copies(state, now)


def _relieve(state: State, server: int, queue: int, now: float) -> list[Action]:
    """Start on idle servers what waits in a queue of a late server, as far as that gains time."""
    arrays = state.policy_state
    actions: list[Action] = []
    while arrays.idles() and arrays.waiting(queue) and (row := arrays.first_waiting(queue)) != NONE:
        waits_for = [server] if arrays.policy.binds else arrays.facts(row)[0]
        helper = _helper(state, waits_for, row)
        if helper == NONE:
            break
        arrays.event(RELIEVE, helper, queue)
        actions += starts(state, now)
    return actions


def _recall(state: State, server: int, late: Attempt) -> list[Action]:
    """Cancel the attempt pipelined behind a late one, so that its task is requeued."""
    pipelined = state.attempts.at[server][1:]
    if not pipelined or state.recalled.get(server) is late:
        return []
    task = pipelined[0].start.task
    if task not in state.row or _helper(state, [server], pipelined[0].row) == NONE:
        return []
    state.recalled[server] = late
    return [Cancel(task, server)]


def _helper(state: State, waits_for: Sequence[int], row: int) -> int:
    """Idle server at which a task is done earlier than by any that it waits for; or NONE."""
    arrays, late = state.policy_state, state.speculation.late
    if not arrays.idles():
        return NONE
    wait = min(late[server].remaining if server in late else 0.0 for server in waits_for)
    holders, _, function = arrays.facts(row)
    helper = arrays.idle_near(holders)
    local = helper in holders or arrays.task_of[row] in state.anywhere
    level = LOCAL if local else state.far_level(holders, helper)
    fresh = state.learning.measured.expected(function, level)
    return helper if wait > state.rules.relief * fresh else NONE
