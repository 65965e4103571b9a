"""The slotted clock of the GMSR paper, Section 3, with its frontend queues G_f.

In slot n every frontend f gets Poisson(rate_f * slot) jobs; all are routed at the workloads N(n) of
the slot's beginning, each on its own draw; a job held (HOLD) waits at its frontend and is offered
again, first come first served, before the new ones of every later slot. Meanwhile D_b(n) jobs leave
each backend, whose law is that of `departures`, and N(n + 1) = N(n) + A(n) - D(n). So a job that
comes in slot n and leaves in slot m > n was there for m - n slots; Little's law is exact for it.
Which of the jobs leave is drawn uniformly, as all get the same share of the service.

A slot costs O(B + jobs that move), and O(F) more while jobs are held. All arrivals are drawn as one
Poisson number and then the frontend of each, which is the same law.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint32, uint64

from isocline.compilation.compiled import kernel
from isocline.policies.routing.contract import HOLD, View
from isocline.randomness.draws import below, bits, uniform
from isocline.simulate.common.kernels.alias_tables import BITS, column_of
from isocline.simulate.common.kernels.counters import (
    ARENA_FULL,
    ARRIVALS,
    CLOCK,
    COMPLETIONS,
    DONE,
    EVENTS,
    JOB_SECONDS,
    JOBS,
    NEXT,
    NOT_A_CANDIDATE,
    RATE,
    RATE_SECONDS,
    TABLE_FULL,
    Streams,
    System,
)
from isocline.simulate.routing.kernels.departures import Departures, departing, poisson
from isocline.simulate.routing.kernels.held_jobs import Held, choose_or_hold, hold, release
from isocline.simulate.routing.kernels.job_arena import Jobs, add, move, reserve
from isocline.simulate.routing.kernels.sojourns import record_sojourn

# A slot that ends this share of a slot after `until` ends there: both are sums of rounded numbers.
ROUNDING = 1e-9

# Entries of `Slotted.left`, int64: jobs of this slot still to be routed (-1 between slots), and the
# frontend whose held jobs are to be offered next (F when that is over): a slot can be left for more
# room and taken up again. And how many of the times to look at are past.
JOBS_LEFT, TURN, LOOKED = 0, 1, 2


class Slotted(NamedTuple):
    """Constants and state of the slotted clock; F frontends, B backends."""

    # Length of a slot, s.
    length: float
    # Jobs that arrive in a slot.
    mean: float
    # e^-mean, or 0 where that would underflow.
    none: float
    # How many jobs leave. Read-only.
    law: Departures
    # (2,) uint64, the stream of arrivals; advanced by the kernel.
    arrivals: Any
    # (B,) int32, jobs of this slot on their way to each backend; 0 between slots. Written by the
    # kernel.
    arrived: npt.NDArray[np.int32]
    # (3,) int64, the entries above. Written by the kernel; the engine sets LOOKED back.
    left: npt.NDArray[np.int64]
    # (T,) float64, s, increasing: when to look at the workloads; (0,) for never. Read-only.
    times: npt.NDArray[np.float64]
    # (T, B) int32, jobs at each backend at those times. Written by the kernel.
    seen: npt.NDArray[np.int32]


@kernel
def run_slots(
    choose: Any,
    observe: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    held: Held,
    slotted: Slotted,
    count: Any,
    gauge: Any,
    histogram: Any,
    until: float,
    timed: bool,
    observing: bool,
) -> int:
    """Run all slots that end by `until`; returns why it stopped. `count[NEXT]` counts slots.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        observe: Its function of type `OBSERVE`.
        view: The kernel writes `workload`; the policy, `memory`.
        system: `numbers` is scratch; the rest is read-only.
        streams: Advanced by the draws.
        jobs: The jobs at backends, those of this slot behind the others; written if `timed`, but
            for `key`.
        held: The jobs at frontends; written.
        slotted: `arrivals`, `arrived`, `left` and `seen` are written.
        count: (COUNTERS,) int64, written: JOBS (those held included), ARRIVALS, COMPLETIONS,
            EVENTS, TIMED and NEXT, which counts slots.
        gauge: (GAUGES,) float64, written: CLOCK, RATE, JOB_SECONDS, RATE_SECONDS and SOJOURN.
        histogram: (BUCKETS,) int32, jobs by sojourn; those completed are added, unless they were
            there at the start.
        until: s.
        timed: Whether each job is kept, and its sojourn noted.
        observing: Whether `observe` is called.

    Returns:
        DONE, TABLE_FULL, ARENA_FULL or NOT_A_CANDIDATE of `counters`.
    """
    frontends = system.first.size - 1
    left = slotted.left
    while True:
        if left[JOBS_LEFT] < 0:
            sample_workloads(view, slotted, (count[NEXT] + 1) * slotted.length)
            if not wait(slotted, count, gauge, until):
                return DONE
            left[TURN] = 0 if held.total[0] > 0 else frontends
        now = gauge[CLOCK]
        while True:
            found = next_job(system, held, slotted)
            if found < 0:
                break
            source: Any = uint32(found)
            offered_again = left[TURN] < frontends
            # Behind a job that is held again, the others of its frontend wait, too.
            edge = HOLD
            if offered_again or held.waiting[source] == 0:
                edge = choose_or_hold(choose, view, system, source, now, streams.policy)
            status = DONE
            if edge < HOLD:
                status = NOT_A_CANDIDATE
            elif edge >= 0:
                born = release(held, source) if offered_again else now
                status = add_job(view, system, jobs, slotted, edge, born, timed)
            elif offered_again:
                left[TURN] += 1
            elif not hold(held, source, now, 1.0):
                status = ARENA_FULL
            if status != DONE:
                return status
        depart(observe, view, system, streams, jobs, slotted, count, gauge, histogram, timed,
               observing)  # fmt: skip
        left[JOBS_LEFT] = -1
        count[NEXT] += 1


@kernel
def wait(slotted: Slotted, count: Any, gauge: Any, until: float) -> bool:
    """Go on to the slot's end and draw how many jobs came in it; False if that is too late.

    Args:
        slotted: `arrivals` and `left` are written.
        count: (COUNTERS,) int64, written: ARRIVALS, JOBS and EVENTS; NEXT is read.
        gauge: (GAUGES,) float64, written: CLOCK, JOB_SECONDS and RATE_SECONDS.
        until: s.
    """
    end = (count[NEXT] + 1) * slotted.length
    then = min(end, until)
    gauge[JOB_SECONDS] += count[JOBS] * (then - gauge[CLOCK])
    gauge[RATE_SECONDS] += gauge[RATE] * (then - gauge[CLOCK])
    gauge[CLOCK] = then
    if end - until > ROUNDING * slotted.length:
        return False
    mark = uniform(slotted.arrivals)
    came = poisson(mark, slotted.mean, slotted.none, slotted.arrivals)
    slotted.left[JOBS_LEFT] = came
    count[ARRIVALS] += came
    count[JOBS] += came
    count[EVENTS] += came
    return True


@kernel
def sample_workloads(view: View, slotted: Slotted, end: float) -> None:
    """Record the workloads at all sampling times before the slot's end.

    Writes `slotted.seen` and `slotted.left`; `end` is in s.
    """
    looked = slotted.left[LOOKED]
    while looked < slotted.times.size and end - slotted.times[looked] > ROUNDING * slotted.length:
        for b in range(view.workload.size):
            slotted.seen[looked, b] = view.workload[b]
        looked += 1
    slotted.left[LOOKED] = looked


@kernel
def next_job(system: System, held: Held, slotted: Slotted) -> int:
    """The frontend of the next job to route, held ones first; -1 if the slot has no more.

    Writes `slotted.left`, and advances `slotted.arrivals`.
    """
    left = slotted.left
    while left[TURN] < held.waiting.size:
        if held.waiting[left[TURN]] > 0:
            return left[TURN]  # type: ignore[no-any-return]
        left[TURN] += 1
    if left[JOBS_LEFT] == 0:
        return -1
    left[JOBS_LEFT] -= 1
    return column_of(system.sources, bits(slotted.arrivals) >> uint64(64 - BITS))


@kernel
def add_job(
    view: View, system: System, jobs: Jobs, slotted: Slotted, edge: int, born: float, timed: bool
) -> int:
    """Add a job to the backend at the end of `edge`, behind those sent before.

    Writes `slotted.arrived` and, if `timed`, `jobs`; `born` is in s.
    """
    backend = uint32(view.backend[uint32(edge)])
    n = view.workload[backend] + slotted.arrived[backend]
    slotted.arrived[backend] += 1
    if timed:
        add(jobs, backend, n, system.places[backend], born, edge)
    if n + 1 == system.rate.shape[1] - 1:
        return TABLE_FULL
    if timed and not reserve(jobs, backend, n + 1, system.places[backend]):
        return ARENA_FULL
    return DONE


@kernel
def depart(
    observe: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    slotted: Slotted,
    count: Any,
    gauge: Any,
    histogram: Any,
    timed: bool,
    observing: bool,
) -> None:
    """Jobs leave every backend, of those that it held at the slot's beginning; new ones join.

    Args:
        observe: Its function of type `OBSERVE`.
        view: The kernel writes `workload`; the policy, `memory`.
        system: Read-only.
        streams: `events` and `leaving` are advanced by the draws.
        jobs: Written if `timed`.
        slotted: `arrived` becomes 0.
        count: (COUNTERS,) int64, written: JOBS, COMPLETIONS, EVENTS and TIMED.
        gauge: (GAUGES,) float64; CLOCK is read, and RATE and SOJOURN are written.
        histogram: (BUCKETS,) int32, jobs by sojourn; those completed are added, unless they were
            there at the start.
        timed: Whether each job is kept.
        observing: Whether `observe` is called.
    """
    rate = 0.0
    total = 0
    for b in range(view.workload.size):
        backend = uint32(b)
        row = uint32(view.row[backend])
        n = view.workload[backend]
        new = slotted.arrived[backend]
        leaving = departing(slotted.law, row, n, streams.events)
        if timed:
            for i in range(leaving):
                # Old jobs stand before new ones: close the gap from the end of each group.
                start = jobs.start[backend]
                at = start + below(streams.leaving, n - i)
                born, edge = jobs.born[at], jobs.edge[at]
                move(jobs, start + n - i - 1, at)
                move(jobs, start + n + new - i - 1, start + n - i - 1)
                if record_sojourn(count, gauge, histogram, born, 0.0) and observing:
                    observe(edge, gauge[CLOCK] - born, gauge[CLOCK], view)
        slotted.arrived[backend] = 0
        view.workload[backend] = n + new - leaving
        rate += system.rate[row, uint32(n + new - leaving)]
        total += leaving
    gauge[RATE] = rate
    count[JOBS] -= total
    count[COMPLETIONS] += total
    count[EVENTS] += total
