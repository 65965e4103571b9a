"""State shared by the kernels of a cluster: counters, samples, and reasons to return."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int64, uint32

from isocline.compilation.compiled import inlinable, inlined
from isocline.policies.scheduling.contract import ClusterView
from isocline.policies.scheduling.state.columns import LENGTH, LEVEL, RUNNING
from isocline.policies.scheduling.state.tasks import BORN
from isocline.policies.scheduling.state.transitions import (
    MOST_ASKED,
    WRONG_TIME,
    SchedulerState,
    finish,
)
from isocline.simulate.common.kernels.latency_histogram import record

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Reasons for which a kernel returns; or one of `transitions.REASONS`.
DONE, FULL, EMPTY = 0, 10, 11

# Entries of `count`, the counters of a run: (COUNTERS,) int64. The engine makes them and the kernel
# writes them.
#
#     TASKS        tasks in the system
#     WAITING      tasks that wait
#     EVENTS       events since the start
#     JOB_NEXT     the next job of the list; kernel `event_driven`
#     TASK_NEXT    the next task of that job; likewise
#     NEXT         the next entry of `works` (kernel `event_driven`) or `arriving` (`slotted`); the
#                  engine sets it back when it draws more of them
#     TO_ARRIVE    tasks still to arrive in this slot, -1 if no number was taken; `slotted`
#     FREE         servers that run nothing, which are the first of `free`; likewise
#     FETCHED      means nothing: keeps what was read ahead from being optimised away
#
# Counted since the recorder set them back, at the end of each block:
#
#     ARRIVALS     tasks that arrived
#     COMPLETIONS  tasks that were completed
#     TIMED        tasks whose completion time was recorded
#     STARTED      tasks that were started at level LOCAL; the next two entries at RACK and REMOTE
TASKS, WAITING = 0, 1
ARRIVALS, COMPLETIONS, TIMED, STARTED = 2, 3, 4, 5
EVENTS, JOB_NEXT, TASK_NEXT, NEXT, TO_ARRIVE, FREE = 8, 9, 10, 11, 12, 13
FETCHED = 14
COUNTERS = 15
# Entries of `gauge`, the sums of a run: (GAUGES,) float64, with times in s, or in slots on the
# slotted clock. The engine makes them and the kernel writes them; the recorder sets TASK_SECONDS,
# WAITING_SECONDS and SOJOURN back at the end of each block.
#
#     CLOCK            the time
#     TASK_SECONDS     the integral of TASKS
#     WAITING_SECONDS  the integral of WAITING
#     SOJOURN          the sum of the completion times that were recorded
#     LOOK             time of the next sample of the queues
#     TICK             the next tick (kernel `uniformised`), or the next arrival (`event_driven`),
#                      below 0 if it is not known
CLOCK, TASK_SECONDS, WAITING_SECONDS, SOJOURN, LOOK, TICK = 0, 1, 2, 3, 4, 5
GAUGES = 6


class Samples(NamedTuple):
    """Sums over samples of the queues of M servers, and over time.

    Made by `no_samples`; the kernel adds to them, and the recorder sets back `looks`,
    `perpendicular` and `queue` at the end of each block, and `busy` at the end of each batch of
    blocks.
    """

    # (C,) int32, servers over which |Q_perp| is also taken. Read-only.
    chosen: npt.NDArray[np.int32]
    # (1,) int64, number of samples.
    looks: IndexArray
    # (2, 2) float64: of |Q_perp|, tasks, and its square, tasks^2; over all servers, and over the
    # chosen.
    perpendicular: FloatArray
    # (M,) float64, s or slots: time for which each server has been busy; while it is, less its
    # start.
    busy: FloatArray
    # (M,) int64, tasks: of queue lengths.
    queue: IndexArray
    # (M,) int64, scratch: the lengths of this sample.
    now: IndexArray


def no_samples(servers: int, chosen: npt.NDArray[np.int32]) -> Samples:
    """Make sums without a sample; `chosen`, (C,) int32, are numbers of servers."""
    queue, now = (np.zeros(servers, np.int64) for _ in range(2))
    sums = np.zeros(1, np.int64), np.zeros((2, 2)), np.zeros(servers)
    return Samples(chosen, *sums, queue, now)


@inlinable
def sample_queues(view: ClusterView, samples: Samples, times: int) -> None:
    """Sample the queues, which have been the same at so many sampling times.

    Q_m is the sum over all that are server m's own: Q_m, Q_(M + m), ...

    Reads LENGTH of `view.columns`; writes all of `samples` but `chosen` and `busy`.
    """
    m = view.rack.size
    for server in range(m):
        samples.now[server] = view.columns[server, LENGTH]
    for more in range(1, view.columns.shape[0] // m):
        for server in range(m):
            samples.now[server] += view.columns[more * m + server, LENGTH]
    total = total_square = 0
    for server in range(m):
        q = samples.now[server]
        samples.queue[server] += times * q
        total += q
        total_square += q * q
    _add(samples.perpendicular, 0, total, total_square, m, times)
    if samples.chosen.size < m:
        total = total_square = 0
        for i in range(samples.chosen.size):
            q = samples.now[samples.chosen[i]]
            total += q
            total_square += q * q
    _add(samples.perpendicular, 1, total, total_square, samples.chosen.size, times)
    samples.looks[0] += times


@inlined
def advance_clock(
    view: ClusterView, samples: Samples, count: Any, gauge: Any, then: float, between: float
) -> float:
    """Advance the clock to `then`, with a sample each `between`; returns the time.

    Args:
        view: Read-only.
        samples: Written as by `sample_queues`.
        count: (COUNTERS,) int64; TASKS and WAITING are read.
        gauge: (GAUGES,) float64; CLOCK, TASK_SECONDS, WAITING_SECONDS and LOOK are written.
        then: s, not before the clock.
        between: s from one sample to the next.
    """
    passed = then - gauge[CLOCK]
    gauge[TASK_SECONDS] += count[TASKS] * passed
    gauge[WAITING_SECONDS] += count[WAITING] * passed
    gauge[CLOCK] = then
    if then >= gauge[LOOK]:
        # Nothing has changed meanwhile: all samples that were due are the same.
        times = 1 + int64((then - gauge[LOOK]) / between)
        sample_queues(view, samples, times)
        gauge[LOOK] += times * between
    return then


@inlinable
def _add(sums: Any, row: int, total: int, total_square: int, n: int, times: int) -> None:
    """Add |Q_perp| and its square, sum Q^2 - (sum Q)^2 / n: Q_perp is Q without its mean.

    `sums` is `Samples.perpendicular`, of which one row is written.
    """
    square = max(total_square - total * (total / n), 0.0)
    sums[row, 0] += times * math.sqrt(square)
    sums[row, 1] += times * square


@inlined
def end_task(
    state: SchedulerState,
    view: ClusterView,
    samples: Samples,
    count: Any,
    gauge: Any,
    histogram: Any,
    server: int,
    now: float,
    timed: bool,
) -> None:
    """End the task of a server.

    Args:
        state: Read-only.
        view: Written as by `finish`.
        samples: `busy` of the server is written.
        count: (COUNTERS,) int64; TASKS, COMPLETIONS and TIMED are written.
        gauge: (GAUGES,) float64; SOJOURN is written.
        histogram: (BUCKETS,) int32, tasks by completion time, s or slots; one entry grows by 1.
        server: Its number.
        now: s or slots.
        timed: Whether its completion time is recorded; else `histogram` and SOJOURN stay.
    """
    if timed:
        task = uint32(view.columns[uint32(server), RUNNING])
        sojourn = now - view.tasks.time[task, BORN]
        record(histogram, sojourn)
        gauge[SOJOURN] += sojourn
        count[TIMED] += 1
    finish(state, view, server)
    samples.busy[uint32(server)] += now
    count[TASKS] -= 1
    count[COMPLETIONS] += 1


@inlined
def note_start(view: ClusterView, samples: Samples, count: Any, server: int, now: float) -> None:
    """Count a start by its level, and record its time.

    Writes `samples.busy` of the server, and WAITING and an entry of STARTED of `count`, (COUNTERS,)
    int64.
    """
    samples.busy[uint32(server)] -= now
    count[WAITING] -= 1
    count[STARTED + view.columns[uint32(server), LEVEL]] += 1


@inlined
def count_past_dues(asked: int, due: float, now: float, started: Any) -> int:
    """Count how often in succession `due` has not been later than now, and no task has started.

    Above MOST_ASKED at once if `due` is nan. `started`, (1 + n,) int64, is that of `assign_tasks`,
    of which the first entry is read.
    """
    if due > now or started[0] > 0:
        return 0
    return asked + 1 if due <= now else MOST_ASKED + 1


@inlined
def unless_stuck(asked: int, status: int) -> int:
    """Return the status, or WRONG_TIME if time has stopped."""
    return WRONG_TIME if asked > MOST_ASKED else status
