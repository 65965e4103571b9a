"""Means only: the uniformised jump chain, for Poisson arrivals and exponential sizes.

All events come from one Poisson clock at rate U = sum of arrival rates + sum of peak rates: an
arrival at f with probability rate_f / U, a possible departure at b with peak_b / U, which happens
with probability l_b(N_b) / peak_b. By PASTA the mean over the clock's ticks is the mean over time,
so no time is drawn at all, and the cost of an event does not depend on the number of backends.
Every policy consumes one event draw per tick: arrivals and possible departures are the same.
"""

from typing import Any

from numba import types

from isocline.compiled import array_of, kernel_as
from isocline.draws import uniform
from isocline.policies.contract import CHOOSE, VIEW, View
from isocline.simulate.kernels.alias import draw
from isocline.simulate.kernels.chain import (
    AREA,
    ARRIVALS,
    CLOCK,
    COMPLETIONS,
    DONE,
    EVENTS,
    JOBS,
    NOT_A_CANDIDATE,
    RATE,
    RATE_SECONDS,
    STREAMS,
    SYSTEM,
    TABLE_FULL,
    Streams,
    System,
)

SIGNATURE = types.int64(
    types.FunctionType(CHOOSE),
    VIEW,
    SYSTEM,
    STREAMS,
    array_of(types.int64),
    array_of(types.float64),
    types.int64,
)


@kernel_as(SIGNATURE)
def jump(
    choose: Any, view: View, system: System, streams: Streams, count: Any, gauge: Any, ticks: int
) -> int:
    """Run until count[EVENTS] is `ticks`; returns why it stopped. AREA sums jobs over ticks."""
    first = system.first
    frontends = first.size - 1
    limit = system.rate.shape[1] - 1
    gap = 1.0 / system.speed
    jobs = count[JOBS]
    area = 0
    arrivals = 0
    rate = gauge[RATE]
    rate_sum = 0.0
    start = jobs
    done = count[EVENTS]
    status = DONE
    while done < ticks:
        event = draw(system.events, streams.events)
        if event < frontends:
            candidates = system.edges[first[event] : first[event + 1]]
            edge = choose(candidates, view, gauge[CLOCK] + done * gap, streams.policy)
            if edge < first[event] or edge >= first[event + 1]:
                status = NOT_A_CANDIDATE
                break
            backend = view.backend[edge]
            row = view.row[backend]
            n = view.workload[backend] + 1
            view.workload[backend] = n
            rate += system.rate[row, n] - system.rate[row, n - 1]
            jobs += 1
            arrivals += 1
            if n == limit:
                status = TABLE_FULL
        else:
            backend = event - frontends
            row = view.row[backend]
            n = view.workload[backend]
            served = system.rate[row, n]
            if uniform(streams.events) * system.peak[row] < served:
                view.workload[backend] = n - 1
                rate += system.rate[row, n - 1] - served
                jobs -= 1
        area += jobs
        rate_sum += rate
        done += 1
        if status == TABLE_FULL:
            break
    count[JOBS] = jobs
    count[AREA] += area
    count[ARRIVALS] += arrivals
    count[COMPLETIONS] += start + arrivals - jobs
    count[EVENTS] = done
    gauge[RATE] = rate
    gauge[RATE_SECONDS] += rate_sum
    return status
