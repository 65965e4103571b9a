"""Events of the core's kernel, and its arrays besides those that a policy sees."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Columns of `Tasks.fact`, int32, not used by the simulator; and of `Tasks.time`, float64, in place
# of WORK. The kernel writes all three when a task is admitted: FUNCTION and SERIAL from
# `KernelState.described`, QUEUE by the policy's route.
FUNCTION = 6  # function that the task runs
QUEUE = 7  # queue in which it waits, if the policy binds tasks; otherwise its first local server
SERIAL = 1  # position in order of submission

# Events, and commands of the core; server and task are further arguments of `step`. Not an IntEnum:
# converting a member to an integer takes 0.6 us per call, the step itself about 2.
(
    SUBMITTED,  # the task in `KernelState.described` is admitted
    REQUEUE,  # the same, at the front
    REQUEUE_PREFETCHED,  # like SUBMITTED, but its data was prefetched and is not fetched again
    REQUEUE_MANY,  # tasks of `KernelState.unqueued` are admitted one by one, each at the front
    FINISHED,  # an attempt at a server has ended, with or without a result
    TICK,  # the time returned by the policy's `due` has come
    SERVER_UP,
    FETCHED,  # a fetch of a task's data to a server has ended, successfully or not
    SERVER_LOST,  # a server is lost with all its attempts
    UNQUEUE,  # a waiting task leaves its queue, and its row
    UNQUEUE_MANY,  # tasks of `KernelState.unqueued` leave their queues, and keep their rows
    PIPELINE,  # a busy server may get the next of its own tasks
    END_PIPELINED,  # the pipelined task of a server has ended
    SET_PIPELINED,  # a server gets this pipelined task or, if NONE, the described one
    START_COPY,  # an idle server also runs this task or, if NONE, the described one
    SET_RATES,  # the policy's rates have changed
    RELIEVE,  # an idle server starts the first task of a queue, which is given in place of the row
    FREE,  # an attempt at a server has ended, or is withdrawn, and the server is to stay idle
) = range(18)

NEEDS_SPACE = 20  # returned instead of YES: the core must make space before the next event
DOWN_LENGTH = 1 << 28
MOST_STARTS = 64  # at one event
START_FACTS = 6

# Values in place of 1 in the column WAITS of a waiting task: its data is being fetched; or must not
# be fetched again, as it has been, or cannot be.
FETCHING, FETCH_DONE = 2, 3
# Holders per task; of more, idle ones come first: 32 find an idle server as well as all would.
MOST_HOLDERS = 32
MOST_FETCHES = 16  # at one event
MOST_OF_A_SERVER, OF_RACK, OF_REMOTE = 0, 1, 2  # entries of `fetch_limits`
FETCH_FACTS = 2


class KernelState(NamedTuple):
    """Arrays of the core besides the view, for M servers and F functions.

    Made by `allocation`. Comments state who writes each array: the kernel, in `step`, or the core
    between two events (`PolicyState`).
    """

    # (M,) int32, pipelined task of each server, or NONE. Written by the kernel.
    pipelined: npt.NDArray[np.int32]
    # (4 + MOST_HOLDERS,) int64, task to admit: job, function, serial number, number of local
    # servers, and these. Written by the core; the kernel replaces the job by the task's row.
    described: npt.NDArray[np.int64]
    # (F or more,) float64, expected service time of each function, s. Written by the core.
    cost: npt.NDArray[np.float64]
    # (1 + MOST_STARTS,) int64, scratch space of the kernel: number of servers that start a task,
    # and their numbers.
    started: npt.NDArray[np.int64]
    # (1 + START_FACTS * MOST_STARTS,) int64, starts by this event: their number, then for each:
    # server, task, level, queue, job, function. Written by the kernel.
    starts: npt.NDArray[np.int64]
    # (M,) int32, fetches under way at each server. Written by the kernel, and by the core if one
    # turns out to be unnecessary, or servers are added.
    fetching: npt.NDArray[np.int32]
    # (3,) float64, most fetches at a server, 0 for none; and the length of a fetch from its rack
    # and from another, in local services. Written by the core.
    fetch_limits: npt.NDArray[np.float64]
    # (1 + FETCH_FACTS * MOST_FETCHES,) int64, fetches begun by this event: their number, then for
    # each: server, task. Written by the kernel.
    fetches: npt.NDArray[np.int64]
    # (G, 2) int32, of each group of servers, as in `ClusterView.idle`: one for which most tasks
    # wait, or NONE, and how many: see `longest_lists`. Written by the kernel.
    longest: npt.NDArray[np.int32]
    # (1 + n,) int64, number of requeued tasks among n, and the rows of all n. Made by the core
    # before UNQUEUE_MANY and REQUEUE_MANY; the kernel counts in the first entry.
    unqueued: npt.NDArray[np.int64]
    # (U,) int64, servers local to those of them that have no data. Made by the core.
    up: npt.NDArray[np.int64]
