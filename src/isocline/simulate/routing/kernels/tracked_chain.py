"""Means and percentiles: every job is followed, for Poisson arrivals and exponential sizes.

The same uniformised events, and the same draws, as in `uniformised`, with a clock: gaps of mean 1 /
U. Which job leaves is drawn among those in service, all alike as exponential sizes forget. At the
end of a block the clock is set to it and the rest of the gap forgotten, for the same reason.

Every event may be told to a learner of curves. Whether there is one is known when the kernel is
compiled, as None is a type of its own: without one it costs nothing.
"""

from typing import Any

from numba import uint32, uint64

from isocline.compilation.compiled import inlinable, inlined, kernel
from isocline.learn.observed import Observed, leave
from isocline.policies.routing.contract import View
from isocline.randomness.draws import below, step, unit
from isocline.randomness.exponential import exponential
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
    LEARN,
    NOT_A_CANDIDATE,
    RATE,
    RATE_SECONDS,
    REST,
    SOJOURN,
    TABLE_FULL,
    TIMED,
    Streams,
    System,
)
from isocline.simulate.common.kernels.latency_histogram import record
from isocline.simulate.routing.kernels import candidates
from isocline.simulate.routing.kernels.blocks import Blocks, end_block
from isocline.simulate.routing.kernels.job_arena import Jobs, add, remove, reserve


@inlinable
def record_stay(
    observed: Observed | None, backend: Any, n: Any, now: float, finished: bool
) -> None:
    """Record for the learner, if there is one, that a backend no longer holds n jobs.

    `observed` is written as by `leave` of `learn.observed`.
    """
    if observed is not None:
        leave(observed, backend, uint32(n), now, finished)


@inlinable
def is_due(observed: Observed | None, batch: int) -> bool:
    """Whether there is a learner, and curves for it to fit.

    Reads `observed.due`.
    """
    if observed is None:
        return False
    return observed.due[0] >= batch or observed.due[1] > 0  # type: ignore[no-any-return]


@inlined
def _track_until(  # noqa: C901  (one loop: a call per event costs as much as its work)
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
    observed: Observed | None,
    batch: int,
) -> int:
    """Run until the clock is at `until`, s, or the last job has left; returns why it stopped.

    Its other arguments are those of `track`.
    """
    first = system.first
    limit = system.rate.shape[1] - 1
    gap = 1.0 / system.speed
    s0, s1 = streams.events[0], streams.events[1]
    now = gauge[CLOCK]
    total = count[JOBS]
    rate = gauge[RATE]
    job_seconds = rate_seconds = sojourn = 0.0
    arrivals = completions = timed = events = 0
    status = DONE
    while status == DONE:
        s0, s1, pause = exponential(s0, s1)
        pause = min(pause * gap, until - now)
        job_seconds += total * pause
        rate_seconds += rate * pause
        now += pause
        if now >= until:
            now = until
            break
        events += 1
        s0, s1, event = step(s0, s1)
        if event >> uint64(BITS) < system.arriving:
            # Unsigned: a signed index makes numba check for one counted from the end.
            source = uint32(column_of(system.sources, event & REST))
            low, high = first[source], first[uint32(source + 1)]
            start = candidates.at(system, low, high)
            allowed = system.numbers[start : start + high - low]
            edge = choose(allowed, view, now, streams.policy)
            if edge < low or edge >= high:
                status = NOT_A_CANDIDATE
                break
            backend: Any = uint32(view.backend[uint32(edge)])
            n = view.workload[backend]
            add(jobs, backend, n, system.places[backend], now, edge)
            record_stay(observed, backend, n, now, False)
            view.workload[backend] = n + 1
            row = uint32(view.row[backend])
            rate += system.rate[row, uint32(n + 1)] - system.rate[row, uint32(n)]
            total += 1
            arrivals += 1
            # Room for the next job is made now, so that a full arena stops between two events.
            if n + 1 == limit:
                status = TABLE_FULL
            elif not reserve(jobs, backend, n + 1, system.places[backend]):
                status = ARENA_FULL
            elif is_due(observed, batch):
                status = LEARN
            continue
        backend = uint32(column_of(system.sinks, event & REST))
        row = uint32(view.row[backend])
        n = view.workload[backend]
        served = system.rate[row, uint32(n)]
        s0, s1, thinning = step(s0, s1)
        if unit(thinning) * system.peak[row] < served:
            places = system.places[backend]
            index = below(streams.leaving, min(n, places))
            at = jobs.start[backend] + index
            born = jobs.born[at]
            edge = jobs.edge[at]
            remove(jobs, backend, index, n, places)
            record_stay(observed, backend, n, now, True)
            view.workload[backend] = n - 1
            rate += system.rate[row, uint32(n - 1)] - served
            total -= 1
            completions += 1
            if total == 0 and system.arriving == uint64(0):
                until = now  # nobody comes any more
            if born >= 0.0:
                record(histogram, now - born)
                sojourn += now - born
                timed += 1
                if observing:
                    observe(edge, now - born, now, view)
            if is_due(observed, batch):
                status = LEARN
    streams.events[0], streams.events[1] = s0, s1
    gauge[CLOCK] = now
    gauge[RATE] = rate
    gauge[JOB_SECONDS] += job_seconds
    gauge[RATE_SECONDS] += rate_seconds
    gauge[SOJOURN] += sojourn
    count[JOBS] = total
    count[ARRIVALS] += arrivals
    count[COMPLETIONS] += completions
    count[TIMED] += timed
    count[EVENTS] += events
    return status


@kernel
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
    blocks: Blocks,
    last: int,
    observing: bool,
    observed: Observed | None,
    batch: int,
) -> int:
    """Run until `last` blocks have ended, or `batch` backends are due; returns why it stopped.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        observe: Its function of type `OBSERVE`.
        view: The kernel writes `workload`; the policy, `memory`.
        system: `numbers` is scratch; the rest is read-only.
        streams: Advanced by the draws.
        jobs: The jobs at backends; written, but for `key`, which means nothing here.
        count: (COUNTERS,) int64, written: JOBS, ARRIVALS, COMPLETIONS, TIMED and EVENTS.
        gauge: (GAUGES,) float64, written: CLOCK, RATE, JOB_SECONDS, RATE_SECONDS and SOJOURN.
        histogram: (BUCKETS,) int32, jobs by sojourn; those completed are added, unless they were
            there at the start.
        blocks: The ends of blocks are read; all else is written, unless nothing is to be noted:
            then only `done`.
        last: How many blocks have ended when the kernel is done.
        observing: Whether `observe` is called.
        observed: What a learner of curves observes, written; None without one.
        batch: Backends that are due for a fit when the kernel stops for one.

    Returns:
        DONE, TABLE_FULL, ARENA_FULL, NOT_A_CANDIDATE or LEARN of `counters`.
    """
    while blocks.done[0] < last:
        status = _track_until(
            choose,
            observe,
            view,
            system,
            streams,
            jobs,
            count,
            gauge,
            histogram,
            blocks.end[blocks.done[0]],
            observing,
            observed,
            batch,
        )
        if status != DONE:
            return status
        end_block(blocks, count, gauge, view.workload)
    return DONE
