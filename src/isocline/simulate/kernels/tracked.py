"""Means and percentiles: every job is followed, for Poisson arrivals and exponential sizes.

The same uniformised events, and the same draws, as in `jumps`, with a clock: gaps of mean 1 / U.
Which job leaves is drawn among those in service, all alike as exponential sizes forget. At the end
of a block the clock is set to it and the rest of the gap forgotten, for the same reason.
"""

import math
from typing import Any

from numba import types, uint64

from isocline.compiled import array_of, kernel_as
from isocline.draws import below, bits, uniform
from isocline.policies.contract import CHOOSE, OBSERVE, VIEW, View
from isocline.simulate.kernels.alias import BITS, column_of
from isocline.simulate.kernels.arena import JOBS_TYPE, Jobs, add, remove, reserve
from isocline.simulate.kernels.chain import (
    ARENA_FULL,
    ARRIVALS,
    CLOCK,
    COMPLETIONS,
    DONE,
    EVENTS,
    JOB_SECONDS,
    JOBS,
    NOT_A_CANDIDATE,
    RATE,
    RATE_SECONDS,
    SOJOURN,
    STREAMS,
    SYSTEM,
    TABLE_FULL,
    TIMED,
    Streams,
    System,
)
from isocline.simulate.kernels.latencies import record

REST = uint64((1 << BITS) - 1)

SIGNATURE = types.int64(
    types.FunctionType(CHOOSE),
    types.FunctionType(OBSERVE),
    VIEW,
    SYSTEM,
    STREAMS,
    JOBS_TYPE,
    array_of(types.int64),
    array_of(types.float64),
    array_of(types.int32),
    types.float64,
    types.boolean,
)


@kernel_as(SIGNATURE)
def track(
    choose: Any,
    observe: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    count: Any,
    gauge: Any,
    histogram: Any,
    until: float,
    observing: bool,
) -> int:
    """Run until the clock is at `until`; returns why it stopped."""
    first = system.first
    limit = system.rate.shape[1] - 1
    gap = 1.0 / system.speed
    now = gauge[CLOCK]
    total = count[JOBS]
    rate = gauge[RATE]
    status = DONE
    while status == DONE:
        pause = -math.log(1.0 - uniform(streams.events)) * gap
        if now + pause >= until:
            gauge[JOB_SECONDS] += total * (until - now)
            gauge[RATE_SECONDS] += rate * (until - now)
            now = until
            break
        now += pause
        gauge[JOB_SECONDS] += total * pause
        gauge[RATE_SECONDS] += rate * pause
        count[EVENTS] += 1
        event = bits(streams.events)
        if event >> uint64(BITS) < system.arriving:
            source = column_of(system.sources, event & REST)
            candidates = system.edges[first[source] : first[source + 1]]
            edge = choose(candidates, view, now, streams.policy)
            if edge < first[source] or edge >= first[source + 1]:
                status = NOT_A_CANDIDATE
                break
            backend = view.backend[edge]
            n = view.workload[backend]
            add(jobs, backend, n, system.places[backend], now, edge)
            view.workload[backend] = n + 1
            row = view.row[backend]
            rate += system.rate[row, n + 1] - system.rate[row, n]
            total += 1
            count[ARRIVALS] += 1
            # Room for the next job is made now, so that a full arena stops between two events.
            if n + 1 == limit:
                status = TABLE_FULL
            elif not reserve(jobs, backend, n + 1, system.places[backend]):
                status = ARENA_FULL
            continue
        backend = column_of(system.sinks, event & REST)
        row = view.row[backend]
        n = view.workload[backend]
        served = system.rate[row, n]
        if uniform(streams.events) * system.peak[row] < served:
            places = system.places[backend]
            index = below(streams.leaving, min(n, places))
            at = jobs.start[backend] + index
            born = jobs.born[at]
            edge = jobs.edge[at]
            remove(jobs, backend, index, n, places)
            view.workload[backend] = n - 1
            rate += system.rate[row, n - 1] - served
            total -= 1
            count[COMPLETIONS] += 1
            if born >= 0.0:
                record(histogram, now - born)
                gauge[SOJOURN] += now - born
                count[TIMED] += 1
                if observing:
                    observe(edge, now - born, now, view)
    gauge[CLOCK] = now
    gauge[RATE] = rate
    count[JOBS] = total
    return status
