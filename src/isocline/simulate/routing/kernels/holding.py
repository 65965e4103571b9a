"""The `sharing` kernel for policies that may hold jobs at their frontends, in continuous time.

A held job is offered again whenever a workload that its frontend sees has fallen: when a job leaves
one of its backends. Of the frontends that see that backend the one whose first job has waited
longest is asked first, then the others, each until it holds again. An arrival finds its frontend's
queue empty or joins it, so none overtakes. What that costs is asked of departures only: O(d) more
for a backend that d frontends see, where jobs are held at all.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint32

from isocline.compilation.compiled import kernel
from isocline.model.graph import CompatibilityGraph
from isocline.policies.routing.contract import HOLD, View
from isocline.policies.routing.picks import distance
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
from isocline.simulate.common.kernels.tournament import Tournament, leader
from isocline.simulate.routing.kernels.held_jobs import (
    Held,
    choose_or_hold,
    hold,
    longest_held,
    release,
)
from isocline.simulate.routing.kernels.job_arena import Jobs, add, reserve
from isocline.simulate.routing.kernels.processor_sharing import (
    Arriving,
    Clocks,
    bring_up,
    leave,
    reschedule,
    sift_up,
)
from isocline.simulate.routing.kernels.sojourns import record_sojourn


class Onlookers(NamedTuple):
    """Which of F frontends see each of B backends, and what of an offer is left to do.

    Made by `onlookers`; the kernel writes `refused` and `freed`.
    """

    # (B + 1,) int64, read-only: see `frontend`.
    first: npt.NDArray[np.int64]
    # (E,) int32, those that see b are frontend[first[b] : first[b + 1]]. Read-only.
    frontend: npt.NDArray[np.int32]
    # (F,) int64, count[EVENTS] at which each last held again; -1 at the start.
    refused: npt.NDArray[np.int64]
    # (1,) int64, the backend whose jobs are being offered, or -1.
    freed: npt.NDArray[np.int64]


def onlookers(graph: CompatibilityGraph) -> Onlookers:
    """Nothing to offer yet."""
    seen_by = graph.source[graph.edge_into]
    none = np.full(graph.sources, -1, np.int64)
    return Onlookers(graph.sink_first.copy(), seen_by, none, np.array([-1], np.int64))


@kernel
def share_held(
    choose: Any,
    observe: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    held: Held,
    seen: Onlookers,
    clocks: Clocks,
    race: Tournament,
    arriving: Arriving,
    count: Any,
    gauge: Any,
    histogram: Any,
    until: float,
    observing: bool,
) -> int:
    """Run until the clock is at `until`; returns why it stopped.

    At equal times a job that ends comes before one that arrives.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        observe: Its function of type `OBSERVE`.
        view: The kernel writes `workload`; the policy, `memory`.
        system: `numbers` is scratch; the rest is read-only.
        streams: `policy` is advanced by the policy's draws; the others are not used.
        jobs: The jobs at backends; written.
        held: The jobs at frontends; written.
        seen: `refused` and `freed` are written.
        clocks: Virtual times; written.
        race: When each backend finishes its next job, s; written.
        arriving: The list of arrivals; read-only.
        count: (COUNTERS,) int64, written: JOBS (those held included), ARRIVALS, COMPLETIONS,
            EVENTS, TIMED and NEXT.
        gauge: (GAUGES,) float64, written: CLOCK, RATE, JOB_SECONDS, RATE_SECONDS and SOJOURN.
        histogram: (BUCKETS,) int32, jobs by sojourn; those completed are added, unless they were
            there at the start.
        until: s; inf to run until nothing is left.
        observing: Whether `observe` is called.

    Returns:
        DONE, TABLE_FULL, ARENA_FULL or NOT_A_CANDIDATE of `counters`.
    """
    while True:
        now = gauge[CLOCK]
        if seen.freed[0] >= 0:
            status = offer(
                choose, view, system, streams, jobs, held, seen, clocks, race, count, gauge
            )
            if status != DONE:
                return status
        upcoming = count[NEXT]
        arrival = arriving.time[upcoming] if upcoming < arriving.time.size else np.inf
        backend = leader(race)
        departure = race.due[backend]
        then = min(arrival, departure, until)
        advance_clock(count, gauge, then)
        now = then
        if now == until:
            return DONE
        count[EVENTS] += 1
        if departure <= arrival:
            born = jobs.born[jobs.start[backend]]
            edge = jobs.edge[jobs.start[backend]]
            gauge[RATE] -= system.rate[view.row[backend], view.workload[backend]]
            leave(view, system, jobs, clocks, backend, now)
            gauge[RATE] += system.rate[view.row[backend], view.workload[backend]]
            reschedule(view, system, jobs, clocks, race, backend)
            count[JOBS] -= 1
            count[COMPLETIONS] += 1
            way = distance(view, edge)
            if record_sojourn(count, gauge, histogram, born, way) and observing:
                observe(edge, now - born + way, now, view)
            if held.total[0] > 0:
                seen.freed[0] = backend
            continue
        source = uint32(arriving.frontend[upcoming])
        size = arriving.size[upcoming]
        edge = HOLD
        if held.waiting[source] == 0:
            edge = choose_or_hold(choose, view, system, source, now, streams.policy)
        if edge < HOLD:
            return NOT_A_CANDIDATE
        count[NEXT] += 1
        count[JOBS] += 1
        count[ARRIVALS] += 1
        if edge == HOLD:
            status = DONE if hold(held, source, now, size) else ARENA_FULL
        else:
            status = join(view, system, jobs, clocks, race, gauge, edge, size, now)
        if status != DONE:
            return status


@kernel
def advance_clock(count: Any, gauge: Any, then: float) -> None:
    """Advance the clock to `then`, unless that is inf, as nothing will happen any more.

    Writes CLOCK, JOB_SECONDS and RATE_SECONDS of `gauge`, (GAUGES,) float64; of `count`,
    (COUNTERS,) int64, it reads JOBS.
    """
    if then == np.inf:
        return
    gauge[JOB_SECONDS] += count[JOBS] * (then - gauge[CLOCK])
    gauge[RATE_SECONDS] += gauge[RATE] * (then - gauge[CLOCK])
    gauge[CLOCK] = then


@kernel
def offer(
    choose: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    held: Held,
    seen: Onlookers,
    clocks: Clocks,
    race: Tournament,
    count: Any,
    gauge: Any,
) -> int:
    """Offer the jobs held by all who see the backend that a job has just left.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        view: The kernel writes `workload`; the policy, `memory`.
        system: `numbers` is scratch; the rest is read-only.
        streams: `policy` is advanced by the policy's draws; the others are not used.
        jobs: The jobs at backends; written.
        held: The jobs at frontends; written.
        seen: `refused` and `freed` are written.
        clocks: Virtual times; written.
        race: When each backend finishes its next job, s; written.
        count: (COUNTERS,) int64; EVENTS is read.
        gauge: (GAUGES,) float64; CLOCK is read, and RATE written.

    Returns:
        DONE, TABLE_FULL, ARENA_FULL or NOT_A_CANDIDATE of `counters`.
    """
    backend = seen.freed[0]
    while backend >= 0 and held.total[0] > 0:
        source = longest_waiting(held, seen, backend, count[EVENTS])
        if source < 0:
            break
        edge = choose_or_hold(choose, view, system, uint32(source), gauge[CLOCK], streams.policy)
        if edge < HOLD:
            return NOT_A_CANDIDATE
        if edge == HOLD:
            seen.refused[source] = count[EVENTS]
            continue
        size = held.jobs.key[longest_held(held, source)]
        born = release(held, source)
        status = join(view, system, jobs, clocks, race, gauge, edge, size, born)
        if status != DONE:
            return status
    seen.freed[0] = -1
    return DONE


@kernel
def longest_waiting(held: Held, seen: Onlookers, backend: int, event: int) -> int:
    """The frontend with the oldest first job, of those that have not held at this event; or -1.

    Reads `held` and `seen`; `event` is count[EVENTS].
    """
    best = -1
    oldest = np.inf
    for i in range(seen.first[backend], seen.first[backend + 1]):
        source = seen.frontend[i]
        if held.waiting[source] > 0 and seen.refused[source] != event:
            born = held.jobs.born[longest_held(held, source)]
            if born < oldest:
                oldest = born
                best = source
    return best


@kernel
def join(
    view: View,
    system: System,
    jobs: Jobs,
    clocks: Clocks,
    race: Tournament,
    gauge: Any,
    edge: int,
    size: float,
    born: float,
) -> int:
    """A job that arrived at `born` joins the backend at the end of `edge` now.

    Writes `view.workload`, `jobs`, `clocks` and `race`, and RATE of `gauge`, (GAUGES,) float64;
    `size` is in mean jobs, `born` in s.
    """
    backend = view.backend[edge]
    row = view.row[backend]
    n = view.workload[backend]
    places = system.places[backend]
    work = bring_up(clocks, backend, gauge[CLOCK])
    at = add(jobs, backend, n, places, born, edge)
    if n < places:
        jobs.key[at] = work + size
        sift_up(jobs, jobs.start[backend], n)
    else:
        jobs.key[at] = size
    view.workload[backend] = n + 1
    gauge[RATE] += system.rate[row, n + 1] - system.rate[row, n]
    reschedule(view, system, jobs, clocks, race, backend)
    if n + 1 == system.rate.shape[1] - 1:
        return TABLE_FULL
    if not reserve(jobs, backend, n + 1, places):
        return ARENA_FULL
    return DONE
