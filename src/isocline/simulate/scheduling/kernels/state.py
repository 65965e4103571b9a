"""State shared by the kernels of a cluster: counters, samples, and reasons to return."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int64, uint32

from isocline.compiled import inlined, kernel
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

# Why a kernel returned; or one of `moves.REASONS`.
DONE, FULL, EMPTY = 0, 10, 11

# Counters of a run, in an int64 array: tasks in the system, tasks that wait.
TASKS, WAITING = 0, 1
# Since they were last set back: arrivals, completions, those that were timed, starts per level.
ARRIVALS, COMPLETIONS, TIMED, STARTED = 2, 3, 4, 5
# Events in all. The next job of a list and the next of its tasks; the next of the numbers that are
# drawn outside; tasks that are still to come in this slot, -1 if their number is not known; servers
# that run nothing, on the slotted clock.
EVENTS, JOB_NEXT, TASK_NEXT, NEXT, TO_COME, FREE = 8, 9, 10, 11, 12, 13
FETCHED = 14  # means nothing: keeps what was read ahead from being optimised away
COUNTERS = 15
# And in a float64 array: the clock; integrals over the block of tasks and of waiting tasks; the
# sum of completion times; when the queues are to be looked at next; the next tick or arrival.
CLOCK, TASK_SECONDS, WAITING_SECONDS, SOJOURN, LOOK, TICK = 0, 1, 2, 3, 4, 5
GAUGES = 6


class Samples(NamedTuple):
    """Sums over looks at the queues of M servers, and over time."""

    chosen: npt.NDArray[np.int32]  # servers over which |Q_perp| is also taken
    looks: IndexArray  # (1,)
    perpendicular: FloatArray  # (2, 2) of |Q_perp| and its square: over all, over the chosen
    busy: FloatArray  # (M,) time for which each server has been busy; while it is, less its start
    queue: IndexArray  # (M,) of queue lengths
    now: IndexArray  # (M,) scratch: the lengths of this look


def no_samples(servers: int, chosen: npt.NDArray[np.int32]) -> Samples:
    """Before the first look."""
    queue, now = (np.zeros(servers, np.int64) for _ in range(2))
    sums = np.zeros(1, np.int64), np.zeros((2, 2)), np.zeros(servers)
    return Samples(chosen, *sums, queue, now)


@kernel
def look(view: ClusterView, samples: Samples, times: int) -> None:
    """Look at the queues, which were so at so many of the times to look at them.

    Q_m is the sum over all that are server m's own: Q_m, Q_(M + m), ...
    """
    m = view.rack.size
    for server in range(m):
        samples.now[server] = view.desk[server, LENGTH]
    for more in range(1, view.desk.shape[0] // m):
        for server in range(m):
            samples.now[server] += view.desk[more * m + server, LENGTH]
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
def pass_to(
    view: ClusterView, samples: Samples, count: Any, gauge: Any, then: float, between: float
) -> float:
    """Let the clock go on to `then`, and look at everything once `between`; the time."""
    passed = then - gauge[CLOCK]
    gauge[TASK_SECONDS] += count[TASKS] * passed
    gauge[WAITING_SECONDS] += count[WAITING] * passed
    gauge[CLOCK] = then
    if then >= gauge[LOOK]:
        # Nothing has changed meanwhile: all looks that were due see the same.
        times = 1 + int64((then - gauge[LOOK]) / between)
        look(view, samples, times)
        gauge[LOOK] += times * between
    return then


@kernel
def _add(sums: Any, row: int, total: int, total_square: int, n: int, times: int) -> None:
    """Q_perp is what is left of Q without its mean: its square is sum Q^2 - (sum Q)^2 / n."""
    square = max(total_square - total * (total / n), 0.0)
    sums[row, 0] += times * math.sqrt(square)
    sums[row, 1] += times * square


@inlined
def leave(
    book: SchedulerState,
    view: ClusterView,
    samples: Samples,
    count: Any,
    gauge: Any,
    histogram: Any,
    server: int,
    now: float,
    timed: bool,
) -> None:
    """The task of a server ends."""
    if timed:
        task = uint32(view.desk[uint32(server), RUNNING])
        sojourn = now - view.tasks.time[task, BORN]
        record(histogram, sojourn)
        gauge[SOJOURN] += sojourn
        count[TIMED] += 1
    finish(book, view, server)
    samples.busy[uint32(server)] += now
    count[TASKS] -= 1
    count[COMPLETIONS] += 1


@inlined
def note_start(view: ClusterView, samples: Samples, count: Any, server: int, now: float) -> None:
    """Count a start by its level, and note its time."""
    samples.busy[uint32(server)] -= now
    count[WAITING] -= 1
    count[STARTED + view.desk[uint32(server), LEVEL]] += 1


@inlined
def times_asked(asked: int, due: float, now: float, started: Any) -> int:
    """How often in succession `due` has said now, and no task has started; all at once of nan."""
    if due > now or started[0] > 0:
        return 0
    return asked + 1 if due <= now else MOST_ASKED + 1


@inlined
def in_time(asked: int, status: int) -> int:
    """The status; WRONG_TIME if time stands still."""
    return WRONG_TIME if asked > MOST_ASKED else status
