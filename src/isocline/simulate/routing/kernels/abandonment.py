"""The `sharing` kernel for jobs that may leave unfinished, be sent again, or find prompts cached.

Every job has a time at which its patience is over, known when it arrives. So the abandonments to
come are a second list, sorted in advance, and need no heap: an entry whose job has left is passed
over. The job is then looked for among those of its backend, O(N) for N jobs there, which is less
than a heap of expiries per backend would cost for any N that a server holds.

Jobs are numbered in the order of the list of arrivals, those of the start after them. In this
kernel `Jobs.edge` holds a job's number; the edge that it came by is `Fates.edge` of that number.

With `prompts` and `caches` a listed job's work is what the cache of its backend leaves, and its
frontend sees what it knows of that (`prefix_caching`). Both are None in runs without caches, which
are compiled apart.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.policies.routing.contract import View
from isocline.policies.routing.picks import distance
from isocline.simulate.common.kernels.counters import (
    ABANDONED,
    AGAIN,
    AGAIN_END,
    ARENA_FULL,
    ARRIVALS,
    CLOCK,
    COMPLETIONS,
    DONE,
    EVENTS,
    EXPIRED,
    JOB_SECONDS,
    JOBS,
    NEXT,
    NOT_A_CANDIDATE,
    RATE,
    RATE_SECONDS,
    TABLE_FULL,
    UNFINISHED,
    Streams,
    System,
)
from isocline.simulate.common.kernels.tournament import Tournament, leader
from isocline.simulate.routing.kernels import candidates
from isocline.simulate.routing.kernels.job_arena import Jobs, move, place, reserve
from isocline.simulate.routing.kernels.prefix_caching import (
    Caches,
    Prompts,
    admit,
    answered,
    release,
    show,
    show_plain,
)
from isocline.simulate.routing.kernels.processor_sharing import (
    Arriving,
    Clocks,
    bring_up,
    enter,
    leave,
    reschedule,
    sift_down,
    sift_up,
)
from isocline.simulate.routing.kernels.sojourns import record_sojourn

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

TO_COME, LEFT = -1, -2  # in place of a backend


class Fates(NamedTuple):
    """n jobs: those of the list of arrivals, then those of the start.

    Made by the engine, which at a failure writes `backend` of the jobs that it had, and `again`.
    """

    # (n,) float64, s, when it came; negative if it was there at the start. Read-only.
    born: FloatArray
    # (n,) float64, s, when its patience is over; inf: never. Read-only.
    expiry: FloatArray
    # (n,) int64, jobs in order of `expiry`. Read-only.
    by_expiry: IndexArray
    # (n,) int32, where it is, or TO_COME, or LEFT. Written by the kernel, and at a failure.
    backend: npt.NDArray[np.int32]
    # (n,) int32, the edge that it came by last, or -1. Written by the kernel.
    edge: npt.NDArray[np.int32]
    # (n,) int64, jobs to be sent again: again[count[AGAIN] : count[AGAIN_END]]. Written at a
    # failure.
    again: IndexArray


@kernel
def share_with_abandonment(
    choose: Any,
    observe: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    fates: Fates,
    clocks: Clocks,
    race: Tournament,
    arriving: Arriving,
    prompts: Prompts | None,
    caches: Caches | None,
    count: Any,
    gauge: Any,
    histogram: Any,
    until: float,
    observing: bool,
    until_start: bool,
) -> int:
    """Run until the clock is at `until`; returns why it stopped.

    At equal times jobs are sent again, then one that ends leaves, then one arrives, and one whose
    patience is over goes last: a job that ends at its expiry has ended in time.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        observe: Its function of type `OBSERVE`.
        view: The kernel writes `workload`, and with caches `work`, `job` and `tokens`; the policy,
            `memory`.
        system: `numbers` is scratch; the rest is read-only.
        streams: `policy` is advanced by the policy's draws; the others are not used.
        jobs: The jobs at backends; written.
        fates: `backend` and `edge` are written.
        clocks: Virtual times; written.
        race: When each backend finishes its next job, s; written.
        arriving: `time` has the jobs that come; `frontend` and `size` have those of the start, too,
            after them. Read-only.
        prompts: Tokens of the listed jobs, read-only; None without caches.
        caches: Written; None without caches.
        count: (COUNTERS,) int64, written: all but AREA, FETCHED, LOST, RESENT and AGAIN_END.
        gauge: (GAUGES,) float64, written: all.
        histogram: (BUCKETS,) int32, jobs by sojourn; those completed are added, unless they were
            there at the start.
        until: s; inf to run until nothing is left.
        observing: Whether `observe` is called.
        until_start: Jobs in service do not give up.

    Returns:
        DONE, TABLE_FULL, ARENA_FULL or NOT_A_CANDIDATE of `counters`.
    """
    while True:
        job = next_to_expire(fates, count)
        expiry = fates.expiry[job] if job >= 0 else np.inf
        upcoming = count[NEXT]
        arrival = arriving.time[upcoming] if upcoming < arriving.time.size else np.inf
        backend = leader(race)
        departure = race.due[backend]
        resending = count[AGAIN] < count[AGAIN_END]
        then = gauge[CLOCK] if resending else min(arrival, departure, expiry, until)
        if then == np.inf:  # nothing is left, and nothing will come
            return DONE
        gauge[JOB_SECONDS] += count[JOBS] * (then - gauge[CLOCK])
        gauge[RATE_SECONDS] += gauge[RATE] * (then - gauge[CLOCK])
        gauge[CLOCK] = then
        if then == until and not resending:
            return DONE
        count[EVENTS] += 1
        status = DONE
        if not resending and departure <= min(arrival, expiry):
            job = jobs.edge[jobs.start[backend]]
            gauge[RATE] -= system.rate[view.row[backend], view.workload[backend]]
            leave(view, system, jobs, clocks, backend, then)
            gauge[RATE] += system.rate[view.row[backend], view.workload[backend]]
            reschedule(view, system, jobs, clocks, race, backend)
            fates.backend[job] = LEFT
            count[JOBS] -= 1
            count[COMPLETIONS] += 1
            born = fates.born[job]
            if prompts is not None and caches is not None and job < prompts.prompt.size:
                answered(prompts, caches, job, arriving.frontend[job])
                release(view, caches, job)
            way = distance(view, fates.edge[job])
            if record_sojourn(count, gauge, histogram, born, way) and observing:
                observe(fates.edge[job], then - born + way, then, view)
        elif resending or arrival <= expiry:
            job = fates.again[count[AGAIN]] if resending else upcoming
            status = send(
                choose,
                view,
                system,
                streams,
                jobs,
                fates,
                clocks,
                race,
                arriving,
                prompts,
                caches,
                gauge,
                job,
            )
            if status == NOT_A_CANDIDATE:
                return status
            if resending:
                count[AGAIN] += 1
            else:
                count[NEXT] += 1
                count[JOBS] += 1
                count[ARRIVALS] += 1
        else:
            give_up(
                view,
                system,
                jobs,
                fates,
                clocks,
                race,
                prompts,
                caches,
                count,
                gauge,
                job,
                until_start,
            )
        if status != DONE:
            return status


@kernel
def next_to_expire(fates: Fates, count: Any) -> int:
    """The first job, by expiry, that has not left; -1 if there is none.

    Writes EXPIRED of `count`, (COUNTERS,) int64.
    """
    while count[EXPIRED] < fates.by_expiry.size:
        job = fates.by_expiry[count[EXPIRED]]
        if fates.backend[job] != LEFT:
            return job  # type: ignore[no-any-return]
        count[EXPIRED] += 1
    return -1


@kernel
def send(
    choose: Any,
    view: View,
    system: System,
    streams: Streams,
    jobs: Jobs,
    fates: Fates,
    clocks: Clocks,
    race: Tournament,
    arriving: Arriving,
    prompts: Prompts | None,
    caches: Caches | None,
    gauge: Any,
    job: int,
) -> int:
    """The job's frontend sends it to a backend now, where it begins; why the kernel must return.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        view: The kernel writes `workload`, and with caches `work`, `job` and `tokens`; the policy,
            `memory`.
        system: `numbers` is scratch; the rest is read-only.
        streams: `policy` is advanced by the policy's draws; the others are not used.
        jobs: The jobs at backends; written.
        fates: `backend` and `edge` are written.
        clocks: Virtual times; written.
        race: When each backend finishes its next job, s; written.
        arriving: `time` has the jobs that come; `frontend` and `size` have those of the start, too,
            after them. Read-only.
        prompts: Tokens of the listed jobs, read-only; None without caches.
        caches: Written; None without caches.
        gauge: (GAUGES,) float64; CLOCK is read, and RATE written.
        job: Its number.

    Returns:
        DONE, TABLE_FULL, ARENA_FULL or NOT_A_CANDIDATE of `counters`.
    """
    now = gauge[CLOCK]
    source = arriving.frontend[job]
    low, high = system.first[source], system.first[source + 1]
    if prompts is not None and caches is not None:
        if job < prompts.prompt.size:
            show(view, prompts, caches, job, source, low, high)
        else:
            show_plain(view, low, high)
    start = candidates.at(system, low, high)
    edge = choose(system.numbers[start : start + high - low], view, now, streams.policy)
    if edge < low or edge >= high:
        return NOT_A_CANDIDATE
    backend = view.backend[edge]
    row = view.row[backend]
    n = view.workload[backend]
    size = arriving.size[job]
    if prompts is not None and caches is not None and job < prompts.prompt.size:
        size = admit(view, prompts, caches, job, edge)
    enter(view, system, jobs, clocks, backend, size, now, fates.born[job], job)
    fates.backend[job] = backend
    fates.edge[job] = edge
    gauge[RATE] += system.rate[row, n + 1] - system.rate[row, n]
    reschedule(view, system, jobs, clocks, race, backend)
    if n + 1 == system.rate.shape[1] - 1:
        return TABLE_FULL
    if not reserve(jobs, backend, n + 1, system.places[backend]):
        return ARENA_FULL
    return DONE


@kernel
def give_up(
    view: View,
    system: System,
    jobs: Jobs,
    fates: Fates,
    clocks: Clocks,
    race: Tournament,
    prompts: Prompts | None,
    caches: Caches | None,
    count: Any,
    gauge: Any,
    job: int,
    until_start: bool,
) -> None:
    """The patience of a job is over: it leaves, unless it is in service and stays then.

    Args:
        view: `workload` is written.
        system: Read-only.
        jobs: The jobs at backends; written.
        fates: `backend` of the job is written.
        clocks: Virtual times; written.
        race: When each backend finishes its next job, s; written.
        prompts: Tokens of the listed jobs, read-only; None without caches.
        caches: Written; None without caches.
        count: (COUNTERS,) int64, written: EXPIRED, JOBS and ABANDONED.
        gauge: (GAUGES,) float64; CLOCK is read, and RATE and UNFINISHED are written.
        job: Its number.
        until_start: Whether it stays where it is in service.
    """
    backend = fates.backend[job]
    index = position(view, system, jobs, backend, job)
    count[EXPIRED] += 1
    if until_start and index < system.places[backend]:
        return
    gauge[RATE] -= system.rate[view.row[backend], view.workload[backend]]
    withdraw(view, system, jobs, clocks, backend, index, gauge[CLOCK])
    gauge[RATE] += system.rate[view.row[backend], view.workload[backend]]
    reschedule(view, system, jobs, clocks, race, backend)
    fates.backend[job] = LEFT
    if prompts is not None and caches is not None and job < prompts.prompt.size:
        release(view, caches, job)
    count[JOBS] -= 1
    if fates.born[job] >= 0.0:
        count[ABANDONED] += 1
        gauge[UNFINISHED] += gauge[CLOCK] - fates.born[job]


@kernel
def position(view: View, system: System, jobs: Jobs, backend: int, job: int) -> int:
    """The index of a job among those of the backend that has it.

    Reads `view.workload`, `system.places` and `jobs`.
    """
    places = system.places[backend]
    for index in range(view.workload[backend]):
        if jobs.edge[place(jobs, backend, index, places)] == job:
            return index
    return -1  # never: it is there


@kernel
def withdraw(
    view: View, system: System, jobs: Jobs, clocks: Clocks, backend: int, index: int, now: float
) -> None:
    """Take a job that is not done out of its backend; the longest waiting one gets its server.

    Writes `view.workload` and `clocks` of the backend, and its segment of `jobs`; `now` is in s.
    """
    work = bring_up(clocks, backend, now)
    n = view.workload[backend]
    places = system.places[backend]
    start = jobs.start[backend]
    if index >= places:  # it waits: those behind it move up
        for i in range(index, n - 1):
            source = place(jobs, backend, i + 1, places)
            move(jobs, source, place(jobs, backend, i, places))
    elif n > places:
        move(jobs, place(jobs, backend, places, places), start + index)
        jobs.key[start + index] += work
        head = jobs.head[backend] + 1
        jobs.head[backend] = 0 if head == jobs.room[backend] - places else head
        restore_heap(jobs, start, index, places)
    else:
        move(jobs, start + n - 1, start + index)
        if index < n - 1:
            restore_heap(jobs, start, index, n - 1)
    view.workload[backend] = n - 1


@kernel
def restore_heap(jobs: Jobs, start: int, index: int, size: int) -> None:
    """Restore the heap after job `index` was replaced by any other.

    Writes `jobs.key`, `born` and `edge` from `start` on.
    """
    sift_up(jobs, start, index)
    sift_down(jobs, start, size, index)
