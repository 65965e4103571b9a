"""Events of the core's kernel, and the arrays that it keeps beside those a policy sees."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Columns of `Tasks.fact`, int32, that the simulator leaves free; and of `Tasks.time`, float64, in
# place of WORK. The kernel writes all three as a task comes: FUNCTION and SERIAL from
# `KernelState.given`, QUEUE as the policy routes it.
FUNCTION = 6  # which function the task runs
QUEUE = 7  # where it waits, if tasks are bound; else its first local server
SERIAL = 1  # tasks in the order of their submission

# What happens; of which server and task is said beside it.
(
    SUBMIT,  # a task, as `KernelState.given` describes it
    SUBMIT_FIRST,  # the same, to stand before those that wait
    SUBMIT_PREFETCHED,  # the same, with data that was fetched for it: that is not done again
    REQUEUE,  # those of `KernelState.moved`, one by one, each to stand before those that wait
    ENDS,  # what a server runs
    DUE,  # a time that the policy waited for
    UP,  # a server is there
    PREFETCH_DONE,  # the data of a task, at a server that has fetched it, or could not
    DOWN,  # a server is gone, and with it what it ran
    TAKEN_BACK,  # a task that waited
    UNQUEUE,  # those of `KernelState.moved` wait no more, and keep their numbers
    AHEAD,  # a server may be given the next of its own tasks ahead
    AHEAD_ENDS,  # a server no longer has the task that was given ahead
    SET_PIPELINED,  # it has this one, or, if NONE, one as described
    START_COPY,  # an idle server runs this task, too, or, if NONE, one as described
    RATES,  # other rates
) = range(16)

ROOM = 20  # beside YES: room is to be made before the next event
DOWN_LENGTH = 1 << 28
MOST_STARTS = 64  # at one event
FACTS_OF_START = 6

# In place of 1 in the column WAITS of a task that waits: its data is being fetched, or is not to
# be fetched any more, as it has been, or cannot be.
COMING, NO_MORE = 2, 3
# Of more holders, those that are idle come first: 32 of them are found as easily as all.
MOST_HOLDERS = 32
MOST_WANTED = 16  # fetches at one event
WANTED_FACTS = 2


class KernelState(NamedTuple):
    """What the core keeps beside the view: M servers, F functions.

    Made by `allocation`. Each array says who writes it: the kernel, in `step`, or the core, between
    two events (`PolicyState`).
    """

    # (M,) int32, the task that each server has ahead, or NONE. Written by the kernel.
    ahead: npt.NDArray[np.int32]
    # (4 + MOST_HOLDERS,) int64, a task that comes: job, function, serial number, how many local
    # servers, and which. Written by the core; the kernel puts its number in the place of the job.
    given: npt.NDArray[np.int64]
    # (F or more,) float64, s that a task of each function is expected to take. Written by the core.
    cost: npt.NDArray[np.float64]
    # (1 + MOST_STARTS,) int64, scratch of the kernel: how many servers start a task, and which.
    started: npt.NDArray[np.int64]
    # (1 + FACTS_OF_START * MOST_STARTS,) int64, starts at this event: how many; and of each:
    # server, task, level, queue, job, function. Written by the kernel.
    starts: npt.NDArray[np.int64]
    # (M,) int32, fetches that are under way at each server. Written by the kernel, and by the core
    # where one turns out to be needless, or servers are added.
    coming: npt.NDArray[np.int32]
    # (2,) float64: the most fetches at one server, 0 for none at all; and how long one takes, in
    # local services. Written by the core.
    fetching: npt.NDArray[np.float64]
    # (1 + WANTED_FACTS * MOST_WANTED,) int64, fetches that begin at this event: how many; and of
    # each: server, task. Written by the kernel.
    wanted: npt.NDArray[np.int64]
    # (1 + n,) int64, how many of n tasks have come again, and which they are. Made by the core
    # before UNQUEUE and REQUEUE; the kernel counts in the first entry.
    moved: npt.NDArray[np.int64]
    # (U,) int64, servers to which those of them are local that have no data. Made by the core.
    up: npt.NDArray[np.int64]
