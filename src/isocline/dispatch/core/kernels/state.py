"""What can happen on the core's arrays, and what they hold beside what a policy sees."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Columns of `Tasks.fact` that the simulator leaves free; and of `Tasks.time`, in place of WORK.
FUNCTION = 6  # which function the task runs
QUEUE = 7  # where it waits, if tasks are bound
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
    """What the core keeps beside the view."""

    ahead: npt.NDArray[np.int32]  # (M,) the task that each server has ahead, or NONE
    # A task that comes: job, function, serial number, how many local servers, and which; its
    # number takes the place of the job.
    given: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]  # (F,) s that a task of each function is expected to take
    started: npt.NDArray[np.int64]  # (1 + MOST_STARTS,) how many servers start a task, and which
    # (1 + 6 MOST_STARTS,) how many; and of each: server, task, level, queue, job, function.
    starts: npt.NDArray[np.int64]
    coming: npt.NDArray[np.int32]  # (M,) fetches that are under way at each server
    # The most of these at one server, 0 for none at all; and how long one takes, local services.
    fetching: npt.NDArray[np.float64]
    # (1 + 2 MOST_WANTED,) fetches that begin: how many; and of each: server, task.
    wanted: npt.NDArray[np.int64]
    moved: npt.NDArray[np.int64]  # (1 + n,) how many of n tasks have come again, and which they are
    up: npt.NDArray[np.int64]  # servers to which those of them are local that have no data
