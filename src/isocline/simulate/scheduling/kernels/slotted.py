"""The slotted clock of the near-data paper, Section 2.

In each slot, in this order: tasks arrive, their number drawn outside, and are routed one after the
other; idle servers are scheduled; tasks in service complete, each with the probability of its
level. Servers of whose own queue a task waits are scheduled first, for local tasks come first; then
the others, in random order. Where tasks are not bound all are scheduled in random order, and are
called even if no task waits, as a server is in continuous time that ends a task: it may measure how
busy it is. The queues are sampled before the arrivals, as Q(t) is.

Completions have a stream of their own, and cost no draw at rate 1; else the servers that complete
are found by geometric steps, so that a slot costs what happens in it. The set of idle servers in
the view is not kept: `call` is not used.
"""

from typing import Any

from numba import int64, uint32

from isocline.compilation.compiled import inlined, kernel
from isocline.policies.scheduling.contract import LOCAL, ClusterView
from isocline.policies.scheduling.state.columns import IDLE, LEVEL, SERVING
from isocline.policies.scheduling.state.columns import WAITING as OWN_WAITING
from isocline.policies.scheduling.state.transitions import (
    NO_ONE,
    WRONG_QUEUE,
    WRONG_ROUTE,
    YES,
    SchedulerState,
    take_task,
)
from isocline.randomness.draws import below, step, unit
from isocline.randomness.exponential import exponential
from isocline.simulate.scheduling.kernels.arrivals import arrival_status, arrive
from isocline.simulate.scheduling.kernels.holder_sampler import Sampler
from isocline.simulate.scheduling.kernels.lookahead import AHEAD, fetch_arrivals
from isocline.simulate.scheduling.kernels.state import (
    CLOCK,
    DONE,
    EMPTY,
    EVENTS,
    FETCHED,
    FREE,
    LOOK,
    NEXT,
    TASK_SECONDS,
    TASKS,
    TO_ARRIVE,
    WAITING,
    WAITING_SECONDS,
    Samples,
    end_task,
    note_start,
    sample_queues,
)


@inlined
def begin_slot(view: ClusterView, samples: Samples, arriving: Any, count: Any, gauge: Any) -> int:
    """Sample the queues and take the number of arrivals; EMPTY if no number is left.

    Args:
        view: Read-only.
        samples: Written as by `sample_queues`.
        arriving: (n,) int64, numbers of tasks, one per slot, of which those from count[NEXT] on are
            to be used; read-only.
        count: (COUNTERS,) int64; NEXT and TO_ARRIVE are written.
        gauge: (GAUGES,) float64; CLOCK and LOOK are read.
    """
    if count[NEXT] == arriving.size:
        return EMPTY
    if gauge[CLOCK] >= gauge[LOOK]:
        sample_queues(view, samples, 1)
    count[TO_ARRIVE] = arriving[count[NEXT]]
    count[NEXT] += 1
    return DONE


@inlined
def admit_arrivals(
    state: SchedulerState,
    view: ClusterView,
    sampler: Sampler,
    upcoming: Any,
    events: Any,
    policy: Any,
    count: Any,
    now: float,
) -> int:
    """Admit the tasks of a slot one after the other; DONE, or the reason to stop before.

    Args:
        state: Read-only.
        view: Written as by `arrive`.
        sampler: `next_row` is written; the rest is read-only.
        upcoming: (AHEAD, replicas) int32, scratch of `lookahead`; (0, replicas) where it is of no
            use.
        events: (2,) uint64, the stream of events; written.
        policy: (2,) uint64, the policy's stream.
        count: (COUNTERS,) int64; ARRIVALS, TASKS, WAITING, TO_ARRIVE, EVENTS and FETCHED are
            written.
        now: Slots.
    """
    s0, s1 = events[0], events[1]
    status = DONE
    while count[TO_ARRIVE] > 0:
        status = arrival_status(state, view, sampler)
        if status != DONE:
            break
        if upcoming.size > 0 and count[TO_ARRIVE] % AHEAD == 0:
            count[FETCHED] = fetch_arrivals(view.columns, sampler, upcoming, s0, s1)
        s0, s1, _, _, queue = arrive(state, view, sampler, s0, s1, now, policy, count)
        count[TO_ARRIVE] -= 1
        count[EVENTS] += 1
        if queue < 0:
            status = WRONG_ROUTE
            break
    events[0], events[1] = s0, s1
    return status


@inlined
def schedule_idle(
    state: SchedulerState,
    view: ClusterView,
    samples: Samples,
    free: Any,
    now: float,
    policy: Any,
    count: Any,
) -> int:
    """Offer each server that runs nothing a task; DONE or WRONG_QUEUE.

    Args:
        state: Read-only.
        view: Written as by `take_task`.
        samples: `busy` is written.
        free: (M,) int32, of which the first count[FREE] are the servers that run nothing; shuffled,
            and those that start a task are taken out.
        now: Slots.
        policy: (2,) uint64, the policy's stream.
        count: (COUNTERS,) int64; FREE, WAITING and STARTED are written.
    """
    left = count[FREE]
    for anyone in range(2):  # first those with a task of their own, then anyone
        if anyone == 1 and count[WAITING] == 0 and state.binds:
            break
        shuffled = anyone == 1 or not state.binds
        asking = True
        kept = 0
        for i in range(left):
            if asking and shuffled:
                j = uint32(i + below(policy, left - i))
                free[uint32(i)], free[j] = free[j], free[uint32(i)]
            server = free[uint32(i)]
            if asking and (anyone == 1 or view.columns[uint32(server), OWN_WAITING] > 0):
                answer = take_task(state, view, int64(server), now, policy)
                if answer == WRONG_QUEUE:
                    return WRONG_QUEUE
                if answer == YES:
                    note_start(view, samples, count, server, now)
                    continue
                asking = anyone == 0 or answer != NO_ONE
            free[uint32(kept)] = server
            kept += 1
        left = kept
    count[FREE] = left
    return DONE


@inlined
def complete(
    state: SchedulerState,
    view: ClusterView,
    samples: Samples,
    free: Any,
    leaving: Any,
    count: Any,
    gauge: Any,
    histogram: Any,
    mean_step: float,
    timed: bool,
) -> None:
    """Complete each task in service with the probability of its level.

    Args:
        state: Read-only.
        view: Written as by `finish`.
        samples: `busy` is written.
        free: (M,) int32, of which the first count[FREE] are the servers that run nothing; those
            that end a task are added.
        leaving: (2,) uint64, the stream of completions; written.
        count: (COUNTERS,) int64; TASKS, COMPLETIONS, TIMED, FREE and EVENTS are written.
        gauge: (GAUGES,) float64; CLOCK is read, and SOJOURN written.
        histogram: (BUCKETS,) int32, tasks by completion time; those that are timed are added.
        mean_step: 1 / -log(1 - alpha), 0 if alpha is 1.
        timed: Whether completion times are recorded.
    """
    s0, s1 = leaving[0], leaving[1]
    end = gauge[CLOCK] + 1.0
    servers = view.rack.size
    server = -1
    while True:
        server += 1
        if mean_step > 0.0:
            s0, s1, skipped = exponential(s0, s1)
            server += int(min(skipped * mean_step, float(servers)))
        if server >= servers:
            break
        if view.columns[uint32(server), SERVING] == IDLE:
            continue
        level = view.columns[uint32(server), LEVEL]
        if level != LOCAL:
            s0, s1, coin = step(s0, s1)
            if unit(coin) * view.rate[LOCAL] >= view.rate[uint32(level)]:
                continue
        end_task(state, view, samples, count, gauge, histogram, server, end, timed)
        free[uint32(count[FREE])] = server
        count[FREE] += 1
        count[EVENTS] += 1
    leaving[0], leaving[1] = s0, s1


@kernel
def run_slots(
    state: SchedulerState,
    view: ClusterView,
    sampler: Sampler,
    samples: Samples,
    arriving: Any,
    free: Any,
    upcoming: Any,
    events: Any,
    policy: Any,
    leaving: Any,
    count: Any,
    gauge: Any,
    histogram: Any,
    mean_step: float,
    between: float,
    until: float,
    timed: bool,
) -> int:
    """Run the slots that begin before `until`; returns the reason to stop.

    Args:
        state: Read-only.
        view: Written, but for `rack`, `rate`, `option` and `idle`.
        sampler: `next_row` is written; the rest is read-only.
        samples: Written: see there.
        arriving: (n,) int64, numbers of tasks, one per slot, of which those from count[NEXT] on are
            to be used; read-only, filled by the engine.
        free: (M,) int32, of which the first count[FREE] are the servers that run nothing; written.
        upcoming: (AHEAD, replicas) int32, scratch of `lookahead`; (0, replicas) where it is of no
            use.
        events: (2,) uint64, the stream of events; written.
        policy: (2,) uint64, the policy's stream.
        leaving: (2,) uint64, the stream of completions; written.
        count: (COUNTERS,) int64, written: see `state`; count[TO_ARRIVE] is below 0 if the next
            slot has not begun.
        gauge: (GAUGES,) float64, in slots, written: see `state`.
        histogram: (BUCKETS,) int32, tasks by completion time; those that are timed are added.
        mean_step: 1 / -log(1 - alpha), 0 if alpha is 1.
        between: Slots between two samples of the queues.
        until: Slots.
        timed: Whether completion times are recorded.

    Returns:
        DONE, FULL, EMPTY, or one of `transitions.REASONS`.
    """
    while gauge[CLOCK] < until:
        now = gauge[CLOCK]
        status = DONE
        if count[TO_ARRIVE] < 0:
            status = begin_slot(view, samples, arriving, count, gauge)
        if status == DONE:
            status = admit_arrivals(state, view, sampler, upcoming, events, policy, count, now)
        if status == DONE:
            status = schedule_idle(state, view, samples, free, now, policy, count)
        if status != DONE:
            return status
        count[TO_ARRIVE] = -1
        if now >= gauge[LOOK]:
            gauge[LOOK] += between
        gauge[TASK_SECONDS] += count[TASKS]
        gauge[WAITING_SECONDS] += count[WAITING]
        complete(state, view, samples, free, leaving, count, gauge, histogram, mean_step, timed)
        gauge[CLOCK] = now + 1.0
    return DONE
