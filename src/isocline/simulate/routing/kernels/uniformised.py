"""Means only: the uniformised chain, for Poisson arrivals and exponential sizes.

All events come from one Poisson clock at rate U = sum of arrival rates + sum of peak rates: an
arrival at f with probability rate_f / U, a possible departure at b with peak_b / U, which happens
with probability l_b(N_b) / peak_b. By PASTA the mean over the clock's ticks is the mean over time,
so no time is drawn at all, and the cost of an event does not depend on the number of backends.
Every policy consumes one event draw per tick: arrivals and possible departures are the same.
"""

from typing import Any

import numpy as np
from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlined, kernel
from isocline.policies.routing.contract import View
from isocline.randomness.draws import step, unit
from isocline.simulate.common.kernels.alias_tables import BITS, column_of
from isocline.simulate.common.kernels.counters import (
    AREA,
    ARRIVALS,
    COMPLETIONS,
    DONE,
    EVENTS,
    FETCHED,
    JOB_RATE,
    JOBS,
    NOT_A_CANDIDATE,
    RATE,
    RATE_SECONDS,
    REST,
    SAMPLED,
    TABLE_FULL,
    Streams,
    System,
)
from isocline.simulate.routing.kernels import candidates
from isocline.simulate.routing.kernels.blocks import Blocks, end_block
from isocline.simulate.routing.kernels.lookahead import AHEAD, fetch

# Ticks of which one is a sample for JOB_RATE. A product and a sum at each would take a tenth of the
# time; jobs and rate change by little between samples, and their mean is the same.
SAMPLED_EVERY = 8


@inlined
def _run_until(
    choose: Any, view: View, system: System, streams: Streams, count: Any, gauge: Any, ticks: int
) -> int:
    """Run until count[EVENTS] is `ticks`; returns why it stopped.

    Its other arguments are those of `run_chain`.
    """
    first = system.first
    limit = system.rate.shape[1] - 1
    gap = 1.0 / system.speed
    s0, s1 = streams.events[0], streams.events[1]
    before = count[JOBS]
    jobs = before
    area = 0
    arrivals = sampled = 0
    rate = gauge[RATE]
    rate_sum = job_rate = 0.0
    done = count[EVENTS]
    status = DONE
    fetched = np.int64(0)
    ahead = system.upcoming.size > 0
    while done < ticks and status == DONE:
        begun, until = done, min(done + SAMPLED_EVERY, ticks)
        while done < until and status == DONE:
            if ahead and done % AHEAD == 0:
                fetched += fetch(view, system, s0, s1, system.upcoming)
            s0, s1, event = step(s0, s1)
            done += 1
            if event >> uint64(BITS) < system.arriving:
                # Unsigned: a signed index makes numba check for one counted from the end.
                source = uint32(column_of(system.sources, event & REST))
                low, high = first[source], first[uint32(source + 1)]
                start = candidates.at(system, low, high)
                allowed = system.numbers[start : start + high - low]
                edge = choose(allowed, view, done * gap, streams.policy)
                if edge < low or edge >= high:
                    status = NOT_A_CANDIDATE
                    break
                backend = uint32(view.backend[uint32(edge)])
                row = uint32(view.row[backend])
                n = uint32(view.workload[backend] + 1)
                view.workload[backend] = n
                rate += system.rate[row, n] - system.rate[row, uint32(n - 1)]
                jobs += 1
                arrivals += 1
                if n == limit:
                    status = TABLE_FULL
            else:
                backend = uint32(column_of(system.sinks, event & REST))
                row = uint32(view.row[backend])
                n = uint32(view.workload[backend])
                served = system.rate[row, n]
                s0, s1, thinning = step(s0, s1)
                # Arithmetic in place of a branch that no predictor could learn.
                leaves = int64(unit(thinning) * system.peak[row] < served)
                view.workload[backend] = n - leaves
                rate += system.rate[row, uint32(n - leaves)] - served
                jobs -= leaves
            area += jobs
            rate_sum += rate
        weighed = (done - begun) * jobs
        sampled += weighed
        job_rate += weighed * rate
    streams.events[0], streams.events[1] = s0, s1
    count[JOBS] = jobs
    count[AREA] += area
    count[ARRIVALS] += arrivals
    count[COMPLETIONS] += before + arrivals - jobs
    count[EVENTS] = done
    count[FETCHED] = fetched
    count[SAMPLED] += sampled
    gauge[RATE] = rate
    gauge[RATE_SECONDS] += rate_sum
    gauge[JOB_RATE] += job_rate
    return status


@kernel
def run_chain(
    choose: Any,
    view: View,
    system: System,
    streams: Streams,
    count: Any,
    gauge: Any,
    blocks: Blocks,
    ticks: Any,
    last: int,
) -> int:
    """Run until `last` blocks have ended; returns the reason to stop. AREA sums jobs over ticks.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        view: The kernel writes `workload`; the policy, `memory`.
        system: `numbers` and `upcoming` are scratch; the rest is read-only.
        streams: `events` and `policy` are advanced by the draws.
        count: (COUNTERS,) int64, written: JOBS, AREA, ARRIVALS, COMPLETIONS, EVENTS, FETCHED and
            SAMPLED.
        gauge: (GAUGES,) float64, written: RATE, and RATE_SECONDS and JOB_RATE, sums over ticks. The
            clock is that of the ticks.
        blocks: All but `end` is written, unless nothing is to be noted: then only `done`.
        ticks: (n,) int64, events from the start of the run to the end of each block; read-only.
        last: How many blocks have ended when the kernel is done.

    Returns:
        DONE, TABLE_FULL or NOT_A_CANDIDATE of `counters`.
    """
    while blocks.done[0] < last:
        end = ticks[blocks.done[0]]
        status = _run_until(choose, view, system, streams, count, gauge, end)
        if status != DONE:
            return status
        end_block(blocks, count, gauge, view.workload)
    return DONE
