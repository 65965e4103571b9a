"""Events of the core's kernel, and its arrays beside those that a policy sees."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Columns of `Tasks.fact`, int32, that the simulator leaves free; and of `Tasks.time`, float64, in
# place of WORK. The kernel writes all three as a task is admitted: FUNCTION and SERIAL from
# `KernelState.described`, QUEUE as the policy routes it.
FUNCTION = 6  # function that the task runs
QUEUE = 7  # queue in which it waits, if tasks are bound; else its first local server
SERIAL = 1  # position in order of submission

# Events, and commands of the core; server and task are further arguments of `step`. No IntEnum:
# converting a member to an integer in each call takes 0.6 us, the step itself about 2.
(
    SUBMITTED,  # the task that `KernelState.described` describes is admitted
    REQUEUE,  # the same, before those that wait
    REQUEUE_PREFETCHED,  # the same as SUBMITTED, with prefetched data, which is not fetched again
    REQUEUE_MANY,  # those of `KernelState.unqueued`, one by one, each before those that wait
    FINISHED,  # an attempt at a server has ended, with or without a result
    TICK,  # a time for which the policy waited
    SERVER_UP,
    FETCHED,  # a fetch of a task's data to a server has ended, with or without success
    SERVER_LOST,  # with all that it ran
    UNQUEUE,  # a waiting task leaves its queue, and its row
    UNQUEUE_MANY,  # those of `KernelState.unqueued` leave their queues, and keep their rows
    PIPELINE,  # a server may get the next of its own tasks while it runs one
    END_PIPELINED,  # the pipelined task of a server has ended
    SET_PIPELINED,  # a server gets this pipelined task or, if NONE, the one described
    START_COPY,  # an idle server runs this task, too, or, if NONE, the one described
    SET_RATES,  # the policy's rates have changed
    RELIEVE,  # an idle server starts the first task of a queue; in place of the row is the queue
) = range(17)

NEEDS_SPACE = 20  # beside YES: the core is to make space before the next event
DOWN_LENGTH = 1 << 28
MOST_STARTS = 64  # at one event
START_FACTS = 6

# In place of 1 in the column WAITS of a waiting task: its data is being fetched, or is not to be
# fetched any more, as it has been, or cannot be.
FETCHING, FETCH_DONE = 2, 3
# Of more holders, those that are idle come first: 32 of them are found as easily as all.
MOST_HOLDERS = 32
MOST_FETCHES = 16  # at one event
FETCH_FACTS = 2


class KernelState(NamedTuple):
    """Arrays that the core keeps beside the view, for M servers and F functions.

    Made by `allocation`. Each array says who writes it: the kernel, in `step`, or the core, between
    two events (`PolicyState`).
    """

    # (M,) int32, pipelined task of each server, or NONE. Written by the kernel.
    pipelined: npt.NDArray[np.int32]
    # (4 + MOST_HOLDERS,) int64, task to be admitted: job, function, serial number, number of local
    # servers, and these. Written by the core; the kernel puts its row in the place of the job.
    described: npt.NDArray[np.int64]
    # (F or more,) float64, expected service time of a function, s. Written by the core.
    cost: npt.NDArray[np.float64]
    # (1 + MOST_STARTS,) int64, scratch of the kernel: number of servers that start a task, and
    # which.
    started: npt.NDArray[np.int64]
    # (1 + START_FACTS * MOST_STARTS,) int64, starts at this event: their number; and of each:
    # server, task, level, queue, job, function. Written by the kernel.
    starts: npt.NDArray[np.int64]
    # (M,) int32, fetches under way at each server. Written by the kernel, and by the core where one
    # turns out to be needless, or servers are added.
    fetching: npt.NDArray[np.int32]
    # (2,) float64, the most fetches at one server, 0 for none at all; and the length of one, in
    # local services. Written by the core.
    fetch_limits: npt.NDArray[np.float64]
    # (1 + FETCH_FACTS * MOST_FETCHES,) int64, fetches that begin at this event: their number; and
    # of each: server, task. Written by the kernel.
    fetches: npt.NDArray[np.int64]
    # (1 + n,) int64, number of n tasks that have been requeued, and all their rows. Made by the
    # core before UNQUEUE_MANY and REQUEUE_MANY; the kernel counts in the first entry.
    unqueued: npt.NDArray[np.int64]
    # (U,) int64, servers to which those of them are local that have no data. Made by the core.
    up: npt.NDArray[np.int64]
