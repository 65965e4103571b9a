"""Continuous time, any law of service; Poisson arrivals, or jobs from a list.

A tournament over the servers finds the next task to end. Service times are drawn outside, in order
of arrival, so that every policy meets the same. Of a job all tasks come at once, one after the
other, and it ends with its last one.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int64, uint32

from isocline.compilation.compiled import inlined, kernel
from isocline.policies.scheduling.contract import TIMER, ClusterView
from isocline.policies.scheduling.state.columns import IDLE, LEVEL, RUNNING, SERVING
from isocline.policies.scheduling.state.tasks import (
    BORN,
    ENTRIES,
    HIGH,
    JOB,
    LOW,
    NONE,
    WAITS,
    WORK,
    take_number,
)
from isocline.policies.scheduling.state.transitions import (
    WRONG_ROUTE,
    YES,
    SchedulerState,
    hand_out,
)
from isocline.randomness.exponential import exponential
from isocline.simulate.common.kernels.tournament import Tournament, leader, schedule
from isocline.simulate.scheduling.kernels.arrivals import come, draw_task, room_for_another
from isocline.simulate.scheduling.kernels.holder_sampler import Sampler
from isocline.simulate.scheduling.kernels.state import (
    CLOCK,
    DONE,
    EMPTY,
    EVENTS,
    JOB_NEXT,
    NEXT,
    TASK_NEXT,
    TICK,
    Samples,
    in_time,
    leave,
    note_start,
    pass_to,
    times_asked,
)

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


class Jobs(NamedTuple):
    """J jobs in order of submission; none if arrivals are a Poisson process.

    All arrays are made by the engine; the kernel writes `left` and `latency`.
    """

    # (J,) float64, s, when each job comes; increasing or equal. Read-only.
    time: FloatArray
    # (J,) int64, the chunk of its first task; the others' are the next numbers. Read-only.
    first: IndexArray
    # (J,) int64, how many tasks it has, at least 1. Read-only.
    tasks: IndexArray
    # (J,) int64, tasks that have not ended.
    left: IndexArray
    # (J,) float64, s, nan until the job ends.
    latency: FloatArray
    # Servers of each chunk: those of chunk c are the c-th row of so many of `Tasks.holders`.
    replicas: int


@inlined
def _task_of_job(view: ClusterView, jobs: Jobs, count: Any, now: float) -> int:
    """The next task of the next job.

    Writes the task's row of `view.tasks.fact` and `view.tasks.time`, `view.lists.mark`, and
    JOB_NEXT and TASK_NEXT of `count`.
    """
    job = count[JOB_NEXT]
    chunk = jobs.first[job] + count[TASK_NEXT]
    count[TASK_NEXT] += 1
    if count[TASK_NEXT] == jobs.tasks[job]:
        count[JOB_NEXT] += 1
        count[TASK_NEXT] = 0
    task = take_number(view.tasks, view.lists)
    fact = view.tasks.fact
    who = uint32(task)
    fact[who, LOW] = chunk * jobs.replicas
    fact[who, HIGH] = (chunk + 1) * jobs.replicas
    fact[who, JOB] = job
    fact[who, WAITS] = 1
    fact[who, ENTRIES] = 1
    view.tasks.time[who, BORN] = now
    return task


@inlined
def next_arrival(
    jobs: Jobs, count: Any, gauge: Any, s0: Any, s1: Any, gap: float
) -> tuple[Any, Any, float]:
    """The stream's next state, and when the next task comes; inf if none does.

    Args:
        jobs: Read-only.
        count: (COUNTERS,) int64; JOB_NEXT is read.
        gauge: (GAUGES,) float64; CLOCK is read, and TICK is written where it was not known.
        s0: With `s1` the state of the stream of events, uint64 each.
        s1: See `s0`.
        gap: s, the mean time between arrivals.
    """
    now = gauge[CLOCK]
    if jobs.time.size > 0:
        more = count[JOB_NEXT] < jobs.time.size
        return s0, s1, max(jobs.time[count[JOB_NEXT]], now) if more else np.inf
    if gauge[TICK] < 0.0:
        s0, s1, pause = exponential(s0, s1)
        gauge[TICK] = now + pause * gap
    return s0, s1, gauge[TICK]


@inlined
def note_end(view: ClusterView, jobs: Jobs, server: int, now: float) -> None:
    """The job of a server's task has one task less to run.

    Writes `jobs.left` and `jobs.latency` of that job.
    """
    job = view.tasks.fact[uint32(view.columns[uint32(server), RUNNING]), JOB]
    if job != NONE:
        jobs.left[job] -= 1
        if jobs.left[job] == 0:
            jobs.latency[job] = now - jobs.time[job]


@inlined
def run_started(
    view: ClusterView,
    samples: Samples,
    race: Tournament,
    count: Any,
    started: Any,
    freed: int,
    now: float,
) -> None:
    """Set when those that have started will end, and that a server with nothing to do will not.

    Args:
        view: Read-only.
        samples: `busy` is written.
        race: Written: when the servers end their tasks, s.
        count: (COUNTERS,) int64; WAITING and STARTED are written.
        started: (1 + n,) int64, as `hand_out` has written it; read-only.
        freed: The server that has just ended a task, or NONE.
        now: s.
    """
    for i in range(started[0]):
        server = int64(started[i + 1])
        note_start(view, samples, count, server, now)
        work = view.tasks.time[uint32(view.columns[uint32(server), RUNNING]), WORK]
        rate = view.rate[uint32(view.columns[uint32(server), LEVEL])]
        schedule(race, server, now + work / rate)
    if freed >= 0 and view.columns[uint32(freed), SERVING] == IDLE:
        schedule(race, freed, np.inf)


@kernel
def follow(
    book: SchedulerState,
    view: ClusterView,
    sampler: Sampler,
    samples: Samples,
    jobs: Jobs,
    race: Tournament,
    works: Any,
    events: Any,
    policy: Any,
    count: Any,
    gauge: Any,
    histogram: Any,
    started: Any,
    gap: float,
    between: float,
    until: float,
    timed: bool,
) -> int:
    """Run until the clock is at `until`; returns why it stopped.

    At equal times ends come before arrivals.

    Args:
        book: Read-only.
        view: Written, but for `rack`, `rate` and `option`.
        sampler: `next_row` is written; the rest is read-only.
        samples: Written: see there.
        jobs: `left` and `latency` are written; without jobs arrivals are a Poisson process.
        race: When each server ends its task, s; written.
        works: (n,) float64, service times over the mean, one per task, of which those from
            count[NEXT] on are to be used; read-only, filled by the engine.
        events: (2,) uint64, the stream of events: read when the kernel is called, written when it
            returns.
        policy: (2,) uint64, the policy's stream.
        count: (COUNTERS,) int64, written: see `state`.
        gauge: (GAUGES,) float64, written: see `state`; gauge[TICK] is the next arrival, below 0 if
            it is not known.
        histogram: (BUCKETS,) int32, tasks by completion time; those that are timed are added.
        started: (1 + n,) int64, scratch for `hand_out`: how many servers start a task, and which.
        gap: s, the mean time between arrivals.
        between: s between two looks at the queues.
        until: s.
        timed: Whether completion times are noted.

    Returns:
        DONE, FULL, EMPTY, or one of `transitions.REASONS`.
    """
    s0, s1 = events[0], events[1]
    now = gauge[CLOCK]
    asked = started[0] = 0
    while True:
        due = book.rules.due(view, now)
        asked = times_asked(asked, due, now, started)
        status = in_time(asked, room_for_another(book, view, sampler))
        if status == DONE and count[NEXT] == works.size:
            status = EMPTY
        if status != DONE:
            break
        s0, s1, arrival = next_arrival(jobs, count, gauge, s0, s1, gap)
        server = int64(leader(race))
        end = race.due[uint32(server)]
        then = max(min(arrival, end, until, due), now)
        if then == np.inf:  # nothing is left, and nothing will come
            break
        now = pass_to(view, samples, count, gauge, then, between)
        if now >= until:
            break
        freed, queue = NONE, TIMER
        low = high = 0
        if end <= now:
            freed = server
            note_end(view, jobs, server, now)
            leave(book, view, samples, count, gauge, histogram, server, now, timed)
        elif due > now:
            if jobs.time.size > 0:
                task = _task_of_job(view, jobs, count, now)
            else:
                s0, s1, task = draw_task(book, view, sampler, s0, s1, now)
                gauge[TICK] = -1.0
            view.tasks.time[uint32(task), WORK] = works[count[NEXT]]
            count[NEXT] += 1
            low = view.tasks.fact[uint32(task), LOW]
            high = view.tasks.fact[uint32(task), HIGH]
            queue = come(book, view, view.tasks.holders[low:high], task, now, policy, count)
            if queue < 0:
                status = WRONG_ROUTE
                break
        count[EVENTS] += 1
        local = view.tasks.holders[low:high]
        status = hand_out(book, view, freed, local, queue, now, policy, started)
        run_started(view, samples, race, count, started, freed, now)
        if status != YES:
            break
    events[0], events[1] = s0, s1
    return status
