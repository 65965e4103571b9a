"""Continuous time, any law of service; Poisson arrivals, or jobs from a list.

A tournament over the servers finds the next task to end. Service times are drawn outside, in order
of arrival, so that they are the same for every policy. All tasks of a job arrive at once, one after
the other, and it ends with its last one.
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
    take_row,
)
from isocline.policies.scheduling.state.transitions import (
    WRONG_ROUTE,
    YES,
    SchedulerState,
    assign_tasks,
)
from isocline.randomness.exponential import exponential
from isocline.simulate.common.kernels.tournament import Tournament, leader, schedule
from isocline.simulate.scheduling.kernels.arrivals import admit, arrival_status, draw_task
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
    advance_clock,
    count_past_dues,
    end_task,
    note_start,
    unless_stuck,
)

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


class Jobs(NamedTuple):
    """J jobs in order of submission; none if arrivals are a Poisson process.

    All arrays are made by the engine; the kernel writes `left` and `latency`.
    """

    # (J,) float64, arrival times, s, increasing or equal. Read-only.
    time: FloatArray
    # (J,) int64, chunk of the first task; those of the others have the next numbers. Read-only.
    first: IndexArray
    # (J,) int64, number of tasks, at least 1. Read-only.
    tasks: IndexArray
    # (J,) int64, tasks that have not ended.
    left: IndexArray
    # (J,) float64, s, nan until the job ends.
    latency: FloatArray
    # Holders of each chunk; those of chunk c are the c-th row of so many of `Tasks.holders`.
    replicas: int


@inlined
def _task_of_job(view: ClusterView, jobs: Jobs, count: Any, now: float) -> int:
    """Take the next task of the next job; returns its row.

    Writes the task's row of `view.tasks.fact` and `view.tasks.time`, `view.lists.mark`, and
    JOB_NEXT and TASK_NEXT of `count`.
    """
    job = count[JOB_NEXT]
    chunk = jobs.first[job] + count[TASK_NEXT]
    count[TASK_NEXT] += 1
    if count[TASK_NEXT] == jobs.tasks[job]:
        count[JOB_NEXT] += 1
        count[TASK_NEXT] = 0
    task = take_row(view.tasks, view.lists)
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
    """Return the stream's next state, and the time of the next arrival, inf for none.

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
    """Count the end of a task of its job.

    Writes `jobs.left` and `jobs.latency` of that job.
    """
    job = view.tasks.fact[uint32(view.columns[uint32(server), RUNNING]), JOB]
    if job != NONE:
        jobs.left[job] -= 1
        if jobs.left[job] == 0:
            jobs.latency[job] = now - jobs.time[job]


@inlined
def schedule_ends(
    view: ClusterView,
    samples: Samples,
    race: Tournament,
    count: Any,
    started: Any,
    freed: int,
    now: float,
) -> None:
    """Schedule the ends of the tasks that have started; a server without a task has none.

    Args:
        view: Read-only.
        samples: `busy` is written.
        race: Written: times at which servers end their tasks, s.
        count: (COUNTERS,) int64; WAITING and STARTED are written.
        started: (1 + n,) int64, as `assign_tasks` has written it; read-only.
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
def run_events(
    state: SchedulerState,
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
    """Run events until the clock is at `until`; returns the reason to stop.

    At equal times ends come before arrivals.

    Args:
        state: Read-only.
        view: Written, but for `rack`, `rate` and `option`.
        sampler: `next_row` is written; the rest is read-only.
        samples: Written: see there.
        jobs: `left` and `latency` are written; without jobs arrivals are a Poisson process.
        race: Time at which each server ends its task, s; written.
        works: (n,) float64, service times over the mean, one per task, of which those from
            count[NEXT] on are to be used; read-only, filled by the engine.
        events: (2,) uint64, the stream of events: read when the kernel is called, written when it
            returns.
        policy: (2,) uint64, the policy's stream.
        count: (COUNTERS,) int64, written: see `state`.
        gauge: (GAUGES,) float64, written: see `state`; gauge[TICK] is the next arrival, below 0 if
            it is not known.
        histogram: (BUCKETS,) int32, tasks by completion time; those that are timed are added.
        started: (1 + n,) int64, scratch for `assign_tasks`.
        gap: s, the mean time between arrivals.
        between: s between two samples of the queues.
        until: s.
        timed: Whether completion times are recorded.

    Returns:
        DONE, FULL, EMPTY, or one of `transitions.REASONS`.
    """
    s0, s1 = events[0], events[1]
    now = gauge[CLOCK]
    asked = started[0] = 0
    while True:
        due = state.rules.due(view, now)
        asked = count_past_dues(asked, due, now, started)
        status = unless_stuck(asked, arrival_status(state, view, sampler))
        if status == DONE and count[NEXT] == works.size:
            status = EMPTY
        if status != DONE:
            break
        s0, s1, arrival = next_arrival(jobs, count, gauge, s0, s1, gap)
        server = int64(leader(race))
        end = race.due[uint32(server)]
        then = max(min(arrival, end, until, due), now)
        if then == np.inf:  # no task is left, and none will arrive
            break
        now = advance_clock(view, samples, count, gauge, then, between)
        if now >= until:
            break
        freed, queue = NONE, TIMER
        low = high = 0
        if end <= now:
            freed = server
            note_end(view, jobs, server, now)
            end_task(state, view, samples, count, gauge, histogram, server, now, timed)
        elif due > now:
            if jobs.time.size > 0:
                task = _task_of_job(view, jobs, count, now)
            else:
                s0, s1, task = draw_task(state, view, sampler, s0, s1, now)
                gauge[TICK] = -1.0
            view.tasks.time[uint32(task), WORK] = works[count[NEXT]]
            count[NEXT] += 1
            low = view.tasks.fact[uint32(task), LOW]
            high = view.tasks.fact[uint32(task), HIGH]
            queue = admit(state, view, view.tasks.holders[low:high], task, now, policy, count)
            if queue < 0:
                status = WRONG_ROUTE
                break
        count[EVENTS] += 1
        local = view.tasks.holders[low:high]
        status = assign_tasks(state, view, freed, local, queue, now, policy, started)
        schedule_ends(view, samples, race, count, started, freed, now)
        if status != YES:
            break
    events[0], events[1] = s0, s1
    return status
