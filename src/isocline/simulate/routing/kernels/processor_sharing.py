"""General sizes: processor sharing at l_b(N_b), or in order of arrival with `places` at a time.

Each job in service gets the same rate r = l_b(N) / min(N, places), so a backend keeps one number,
the work that a job in service since the start would have got by now (virtual time): a job that
begins at V with size s ends when it reaches V + s. A heap per backend orders those ends, a
tournament over backends finds the next one. Arrivals are a list: any process, any trace.

With `memory` jobs ask for models, which backends hold or load (`model_memory`); in such runs, which
are compiled apart, `Jobs.edge` holds a job's number.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint32

from isocline.compilation.compiled import inlinable, inlined, kernel
from isocline.policies.routing.contract import View
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
    SOJOURN,
    TABLE_FULL,
    TIMED,
    Streams,
    System,
)
from isocline.simulate.common.kernels.latency_histogram import record
from isocline.simulate.common.kernels.tournament import Tournament, leader, schedule
from isocline.simulate.routing.kernels import candidates
from isocline.simulate.routing.kernels.blocks import Blocks, end_block
from isocline.simulate.routing.kernels.job_arena import Jobs, add, move, place, reserve
from isocline.simulate.routing.kernels.model_memory import Memory, ask, done_with, show_loads

FloatArray = npt.NDArray[np.float64]


class Arriving(NamedTuple):
    """n jobs in order of arrival.

    Made by the engine; kernels only read it. At a failure the engine writes `frontend` of jobs that
    are sent again by another (see `abandonment`).
    """

    time: FloatArray  # (n,) float64, s, increasing or equal
    frontend: npt.NDArray[np.int32]  # (n,) int32, number of the frontend
    size: FloatArray  # (n,) float64, work, in mean jobs


class Clocks(NamedTuple):
    """Virtual time of each of B backends.

    Made by the engine; written by `bring_up`, `stand_still` and `reschedule`, and by the engine
    where a backend fails.
    """

    # (B,) float64, mean jobs: work that a job in service all along would have got; 0 if idle.
    work: FloatArray
    # (B,) float64, s, when it was brought up to date; ahead of the clock where it stands still.
    at: FloatArray
    # (B,) float64, mean jobs/s: `share_of` it as of `reschedule`, which follows every change.
    share: FloatArray


@kernel
def sift_up(jobs: Jobs, start: int, index: int) -> None:
    """Restore the heap after job `index` was added at its end.

    Moves jobs of the backend whose segment begins at `start`: writes `jobs.key`, `born` and `edge`.
    """
    key, born, edge = jobs.key[start + index], jobs.born[start + index], jobs.edge[start + index]
    while index > 0:
        parent = (index - 1) >> 1
        if jobs.key[start + parent] <= key:
            break
        move(jobs, start + parent, start + index)
        index = parent
    put(jobs, start + index, key, born, edge)


@kernel
def sift_down(jobs: Jobs, start: int, size: int, index: int) -> None:
    """Restore the heap after job `index` was replaced by one that ends no earlier.

    Moves jobs of the backend whose segment begins at `start`: writes `jobs.key`, `born` and `edge`.
    """
    key, born, edge = jobs.key[start + index], jobs.born[start + index], jobs.edge[start + index]
    child = 2 * index + 1
    while child < size:
        if child + 1 < size and jobs.key[start + child + 1] < jobs.key[start + child]:
            child += 1
        if key <= jobs.key[start + child]:
            break
        move(jobs, start + child, start + index)
        index = child
        child = 2 * index + 1
    put(jobs, start + index, key, born, edge)


@inlinable
def put(jobs: Jobs, at: int, key: float, born: float, edge: int) -> None:
    """Write a job at a place of the arena."""
    jobs.key[at] = key
    jobs.born[at] = born
    jobs.edge[at] = edge


@kernel
def bring_up(clocks: Clocks, backend: int, now: float) -> float:
    """Advance a backend's virtual time to `now`; its value.

    Writes `clocks.work` and `at` of the backend.
    """
    if now > clocks.at[backend]:
        clocks.work[backend] += clocks.share[backend] * (now - clocks.at[backend])
        clocks.at[backend] = now
    return clocks.work[backend]  # type: ignore[no-any-return]


@kernel
def stand_still(clocks: Clocks, backend: int, seconds: float) -> None:
    """Let a backend that was brought up do nothing for so long, or so much longer.

    Writes `clocks.at` of the backend.
    """
    clocks.at[backend] += seconds


@kernel
def share_of(view: View, system: System, backend: int) -> float:
    """Work/s that each job in service gets; 0 if there is none.

    Reads `view.workload`, `view.row`, `system.rate` and `system.places`.
    """
    n = view.workload[backend]
    if n == 0:
        return 0.0
    return system.rate[view.row[backend], n] / min(n, system.places[backend])  # type: ignore[no-any-return]


@kernel
def reschedule(
    view: View, system: System, jobs: Jobs, clocks: Clocks, race: Tournament, backend: int
) -> None:
    """Set when the backend, whose virtual time is up to date, finishes its next job.

    Writes `race`, `clocks.share` and, of a backend that is idle, `clocks.work`; reads the rest.
    """
    share = share_of(view, system, backend)
    clocks.share[backend] = share
    due = np.inf
    if share > 0.0:
        left = jobs.key[jobs.start[backend]] - clocks.work[backend]
        due = clocks.at[backend] + max(left, 0.0) / share
    else:
        clocks.work[backend] = 0.0  # start afresh, so that precision never wears out
    schedule(race, backend, due)


@kernel
def enter(
    view: View,
    system: System,
    jobs: Jobs,
    clocks: Clocks,
    backend: int,
    size: float,
    now: float,
    born: float,
    edge: int,
) -> None:
    """A job of `size` joins a backend at `now`, s; `born` and `edge` are what `jobs` has of it.

    Writes `view.workload` and `clocks` of the backend, and its segment of `jobs`.
    """
    work = bring_up(clocks, backend, now)
    n = view.workload[backend]
    places = system.places[backend]
    at = add(jobs, backend, n, places, born, edge)
    if n < places:
        jobs.key[at] = work + size
        sift_up(jobs, jobs.start[backend], n)
    else:
        jobs.key[at] = size  # waits: its end is known when it begins
    view.workload[backend] = n + 1


@kernel
def leave(view: View, system: System, jobs: Jobs, clocks: Clocks, backend: int, now: float) -> None:
    """The backend's next job ends; the longest waiting one, if any, begins.

    Writes `view.workload` and `clocks` of the backend, and its segment of `jobs`.
    """
    work = bring_up(clocks, backend, now)
    n = view.workload[backend]
    places = system.places[backend]
    start = jobs.start[backend]
    if n > places:
        move(jobs, place(jobs, backend, places, places), start)
        jobs.key[start] += work
        head = jobs.head[backend] + 1
        jobs.head[backend] = 0 if head == jobs.room[backend] - places else head
        sift_down(jobs, start, places, 0)
    else:
        move(jobs, start + n - 1, start)
        sift_down(jobs, start, n - 1, 0)
    view.workload[backend] = n - 1


@inlined
def _share_until(
    choose: Any,
    observe: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    clocks: Clocks,
    race: Tournament,
    arriving: Arriving,
    memory: Memory | None,
    count: Any,
    gauge: Any,
    histogram: Any,
    until: float,
    observing: bool,
) -> int:
    """Run until the clock is at `until`, s; returns why it stopped.

    Its other arguments are those of `share`. At equal times a job that ends comes before one that
    arrives.
    """
    first = system.first
    limit = system.rate.shape[1] - 1
    now, rate = gauge[CLOCK], gauge[RATE]
    job_seconds, rate_seconds, sojourn = gauge[JOB_SECONDS], gauge[RATE_SECONDS], gauge[SOJOURN]
    upcoming, total = count[NEXT], count[JOBS]
    arrivals = completions = timed = events = 0
    listed = arriving.time.size
    arrival = arriving.time[upcoming] if upcoming < listed else np.inf
    status = DONE
    while status == DONE:
        backend = uint32(leader(race))
        departure = race.due[backend]
        then = min(arrival, departure, until)
        if then == np.inf:  # nothing is left, and nothing will come
            break
        job_seconds += total * (then - now)
        rate_seconds += rate * (then - now)
        now = then
        if now == until:
            break
        events += 1
        if departure <= arrival:
            head = jobs.start[backend]
            born = jobs.born[head]
            edge = done_with(view, memory, jobs.edge[head])
            rate -= system.rate[uint32(view.row[backend]), uint32(view.workload[backend])]
            leave(view, system, jobs, clocks, backend, now)
            total -= 1
            completions += 1
            if born >= 0.0:
                way = distance(view, edge)
                latency = now - born + way
                record(histogram, latency)
                job_seconds += way
                sojourn += latency
                timed += 1
                if observing:
                    observe(edge, latency, now, view)
        else:
            source = uint32(arriving.frontend[upcoming])
            low, high = first[source], first[uint32(source + 1)]
            show_loads(view, system, memory, upcoming, low, high, clocks.at, now)
            start = candidates.at(system, low, high)
            allowed = system.numbers[start : start + high - low]
            edge = choose(allowed, view, now, streams.policy)
            if edge < low or edge >= high:
                status = NOT_A_CANDIDATE
                break
            backend = uint32(view.backend[uint32(edge)])
            rate -= system.rate[uint32(view.row[backend]), uint32(view.workload[backend])]
            edge, still = ask(view, system, memory, upcoming, edge, now)
            enter(view, system, jobs, clocks, backend, arriving.size[upcoming], now, now, edge)
            stand_still(clocks, backend, still)
            upcoming += 1
            arrival = arriving.time[upcoming] if upcoming < listed else np.inf
            total += 1
            arrivals += 1
            if view.workload[backend] == limit:
                status = TABLE_FULL
            elif not reserve(jobs, backend, view.workload[backend], system.places[backend]):
                status = ARENA_FULL
        rate += system.rate[uint32(view.row[backend]), uint32(view.workload[backend])]
        reschedule(view, system, jobs, clocks, race, backend)
    gauge[CLOCK] = now
    gauge[RATE] = rate
    gauge[JOB_SECONDS] = job_seconds
    gauge[RATE_SECONDS] = rate_seconds
    gauge[SOJOURN] = sojourn
    count[NEXT] = upcoming
    count[JOBS] = total
    count[ARRIVALS] += arrivals
    count[COMPLETIONS] += completions
    count[TIMED] += timed
    count[EVENTS] += events
    return status


@kernel
def share(
    choose: Any,
    observe: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    clocks: Clocks,
    race: Tournament,
    arriving: Arriving,
    memory: Memory | None,
    count: Any,
    gauge: Any,
    histogram: Any,
    blocks: Blocks,
    last: int,
    observing: bool,
) -> int:
    """Run until `last` blocks have ended; returns why it stopped.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        observe: Its function of type `OBSERVE`.
        view: The kernel writes `workload`, and with models `work` and `job`; the policy, `memory`.
        system: `numbers` is scratch; the rest is read-only.
        streams: `policy` is advanced by the policy's draws; the others are not used.
        jobs: The jobs at backends; written.
        clocks: Virtual times; written.
        race: When each backend finishes its next job, s; written.
        arriving: The list of arrivals; read-only.
        memory: Models at backends, written; None where jobs ask for none.
        count: (COUNTERS,) int64, written: JOBS, ARRIVALS, COMPLETIONS, EVENTS, TIMED and NEXT.
        gauge: (GAUGES,) float64, written: CLOCK, RATE, JOB_SECONDS, RATE_SECONDS and SOJOURN.
        histogram: (BUCKETS,) int32, jobs by sojourn; those completed are added, unless they were
            there at the start.
        blocks: The ends of blocks are read, inf to run until nothing is left; all else is written,
            unless nothing is to be noted: then only `done`.
        last: How many blocks have ended when the kernel is done.
        observing: Whether `observe` is called.

    Returns:
        DONE, TABLE_FULL, ARENA_FULL or NOT_A_CANDIDATE of `counters`.
    """
    while blocks.done[0] < last:
        status = _share_until(
            choose,
            observe,
            view,
            system,
            streams,
            jobs,
            clocks,
            race,
            arriving,
            memory,
            count,
            gauge,
            histogram,
            blocks.end[blocks.done[0]],
            observing,
        )
        if status != DONE:
            return status
        end_block(blocks, count, gauge, view.workload)
    return DONE
