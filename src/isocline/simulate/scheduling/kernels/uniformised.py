"""Continuous time, Poisson arrivals, exponential service: the uniformised chain.

All events come from one clock at rate U = arrivals + M alpha: an arrival, or a tick of one of the M
servers, all alike, at which its task ends with probability rate / alpha if it runs one. By PASTA
ticks need no time of their own: without percentiles each lasts 1 / U. An event costs the same
whatever M is, and all policies meet the same events, one draw each, and the same local servers.
"""

from typing import Any

from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlined, kernel
from isocline.policies.scheduling.contract import TIMER, ClusterView
from isocline.policies.scheduling.state.columns import IDLE, LEVEL, SERVING
from isocline.policies.scheduling.state.tasks import NONE
from isocline.policies.scheduling.state.transitions import (
    WRONG_ROUTE,
    YES,
    SchedulerState,
    assign_tasks,
)
from isocline.randomness.draws import step
from isocline.randomness.exponential import exponential
from isocline.simulate.common.kernels.alias_tables import BITS
from isocline.simulate.common.kernels.counters import REST
from isocline.simulate.scheduling.kernels.arrivals import arrival_status, arrive
from isocline.simulate.scheduling.kernels.holder_sampler import Sampler
from isocline.simulate.scheduling.kernels.lookahead import AHEAD, fetch
from isocline.simulate.scheduling.kernels.state import (
    CLOCK,
    DONE,
    EVENTS,
    FETCHED,
    TICK,
    Samples,
    advance_clock,
    count_past_dues,
    end_task,
    note_start,
    unless_stuck,
)

_FRACTION = uint64((1 << BITS) - 1)


@inlined
def ended_server(view: ClusterView, accept: Any, event: Any) -> int:
    """Return the server whose task a tick ends, or NONE.

    Args:
        view: Read-only.
        accept: (3,) uint64, the probability that a tick ends a task of each level, in units of
            2^-40; read-only.
        event: The tick's draw, a uint64.
    """
    product = (event & REST) * uint64(view.rack.size)
    server = uint32(product >> uint64(BITS))
    if view.columns[server, SERVING] == IDLE:
        return NONE
    # The rest of the draw decides.
    ends = product & _FRACTION < accept[uint32(view.columns[server, LEVEL])]
    return int64(server) if ends else NONE


@inlined
def next_gap(s0: Any, s1: Any, clocked: bool) -> tuple[Any, Any, float]:
    """Return the stream's next state, and a gap of mean 1, drawn if the clock matters.

    `s0` and `s1` are the state of the stream of events, uint64 each.
    """
    if clocked:
        return exponential(s0, s1)
    return s0, s1, 1.0


@kernel
def run_chain(
    state: SchedulerState,
    view: ClusterView,
    sampler: Sampler,
    samples: Samples,
    events: Any,
    policy: Any,
    accept: Any,
    count: Any,
    gauge: Any,
    histogram: Any,
    started: Any,
    upcoming: Any,
    arriving: int,
    gap: float,
    between: float,
    until: float,
    timed: bool,
    clocked: bool,
) -> int:
    """Run ticks until the clock is at `until`; returns the reason to stop.

    Args:
        state: Read-only.
        view: Written, but for `rack`, `rate` and `option`.
        sampler: `next_row` is written; the rest is read-only.
        samples: Written: see there.
        events: (2,) uint64, the stream of events: read when the kernel is called, written when it
            returns.
        policy: (2,) uint64, the policy's stream.
        accept: (3,) uint64, the probability that a tick ends a task of each level, in units of
            2^-40; read-only.
        count: (COUNTERS,) int64, written: see `state`.
        gauge: (GAUGES,) float64, written: see `state`.
        histogram: (BUCKETS,) int32, tasks by completion time; those that are timed are added.
        started: (1 + n,) int64, scratch for `assign_tasks`.
        upcoming: (AHEAD, replicas) int32, scratch of `lookahead`; (0, replicas) where it is of no
            use.
        arriving: Probability that a tick is an arrival, in units of 2^-24.
        gap: s, the mean time between ticks, 1 / U.
        between: s between two samples of the queues.
        until: s.
        timed: Whether completion times are recorded.
        clocked: Whether gaps between ticks are drawn; else each is `gap`.

    Returns:
        DONE, FULL, EMPTY, or one of `transitions.REASONS`.
    """
    s0, s1 = events[0], events[1]
    now = gauge[CLOCK]
    tick = gauge[TICK]
    ticks = 0
    asked = started[0] = 0
    fetched = int64(0)
    ahead = upcoming.size > 0 and not clocked
    while True:
        due = state.rules.due(view, now)
        asked = count_past_dues(asked, due, now, started)
        status = unless_stuck(asked, arrival_status(state, view, sampler))
        if status != DONE:
            break
        if tick <= now:
            s0, s1, pause = next_gap(s0, s1, clocked)
            tick = now + pause * gap
        now = advance_clock(view, samples, count, gauge, max(min(tick, until, due), now), between)
        if now >= until:
            break
        freed, queue = NONE, TIMER
        low = high = 0
        if due > now:
            if ahead and ticks % AHEAD == 0:
                fetched += fetch(view.columns, sampler, arriving, upcoming, s0, s1)
            ticks += 1
            s0, s1, event = step(s0, s1)
            if event >> uint64(BITS) < uint64(arriving):
                s0, s1, low, high, queue = arrive(state, view, sampler, s0, s1, now, policy, count)
                if queue < 0:
                    status = WRONG_ROUTE
                    break
            else:
                freed = ended_server(view, accept, event)
                if freed < 0:
                    continue
                end_task(state, view, samples, count, gauge, histogram, freed, now, timed)
        local = view.tasks.holders[low:high]
        status = assign_tasks(state, view, freed, local, queue, now, policy, started)
        for i in range(started[0]):
            note_start(view, samples, count, started[i + 1], now)
        if status != YES:
            break
    events[0], events[1] = s0, s1
    count[EVENTS] += ticks
    count[FETCHED] = fetched
    gauge[TICK] = tick
    return status
