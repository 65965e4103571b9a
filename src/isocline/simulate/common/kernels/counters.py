"""State shared by the kernels: constants of a system, and counters of a run."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from isocline.simulate.common.kernels.alias_tables import BITS, Alias

FloatArray = npt.NDArray[np.float64]

# An event's draw: the upper 24 bits tell arrivals from departures, the rest says where.
REST = uint64((1 << BITS) - 1)

# Why a kernel returned.
DONE, TABLE_FULL, ARENA_FULL, NOT_A_CANDIDATE = 0, 1, 2, 3
LEARN = 4  # curves are due to be fitted

# Entries of `count`, the counters of a run: (COUNTERS,) int64. The engine makes them, the kernel
# writes them, and `blocks` sets back at the end of a block those that are counted by block: AREA,
# ARRIVALS, COMPLETIONS, TIMED, ABANDONED, LOST, RESENT and SAMPLED.
#
#     JOBS         jobs in the system, those held, travelling or to be sent again included
#     AREA         the sum of JOBS over the block's ticks; kernel `uniformised` only
#     ARRIVALS     jobs that came
#     COMPLETIONS  jobs that were completed
#     EVENTS       events since the start
#     TIMED        jobs whose sojourn was recorded
#     NEXT         the next job of the list of arrivals; in kernel `slotted` the slots played
#     SAMPLED      the sum of JOBS over the same sample
#     FETCHED      means nothing: keeps what was read ahead from being optimised away
#
# Of kernel `abandonment` alone, and of its engine, which at a failure writes LOST, RESENT and
# AGAIN_END, sets AGAIN back to 0 if all have been sent, and takes what is lost out of JOBS:
#
#     ABANDONED    jobs that gave up
#     LOST         jobs that were lost with a backend
#     RESENT       jobs that were to be sent again
#     EXPIRED      the next entry of `Fates.by_expiry`
#     AGAIN        the next entry of `Fates.again`
#     AGAIN_END    the end of those
JOBS, AREA, ARRIVALS, COMPLETIONS, EVENTS = 0, 1, 2, 3, 4
TIMED, NEXT = 5, 6
FETCHED = 7
ABANDONED, LOST, RESENT = 8, 9, 10
EXPIRED, AGAIN, AGAIN_END = 11, 12, 13
SAMPLED = 14
COUNTERS = 15
# Entries of `gauge`, the sums of a run: (GAUGES,) float64. The engine makes them, and sets RATE
# where it changes a curve or a workload itself; the kernel writes them, and `blocks` sets all but
# CLOCK and RATE back.
#
#     CLOCK         the time, s; kernel `uniformised` does not write it
#     RATE          the total service rate of all backends at their workloads, jobs/s
#     JOB_SECONDS   the integral of JOBS over the block, jobs s; not of kernel `uniformised`
#     RATE_SECONDS  the integral of RATE over the block, jobs; in kernel `uniformised` the sum of
#                   RATE over the block's ticks, jobs/s
#     SOJOURN       the sum of the sojourns that were recorded, s
#     UNFINISHED    the sum of the times, s, that jobs which left unfinished were there; kernel
#                   `abandonment` only, and its engine, at a failure
#     JOB_RATE      the sum of JOBS x RATE over the block's ticks, jobs^2/s; kernel `uniformised`
#                   only, of a sample
CLOCK, RATE, JOB_SECONDS, RATE_SECONDS, SOJOURN = 0, 1, 2, 3, 4
UNFINISHED = 5
JOB_RATE = 6
GAUGES = 7


class System(NamedTuple):
    """F frontends, B backends, E edges, R distinct curves, K workloads tabulated.

    Constants but for `numbers` and `upcoming`, which are scratch of the kernel. The engine makes
    another one when a curve changes, or a workload grows beyond K.
    """

    # (F + 1,) int64, the edges of frontend f are first[f] : first[f + 1].
    first: npt.NDArray[np.int64]
    # (E,) int32, 0 .. E - 1, constant; or, where E is large, (largest number of edges of a
    # frontend,) int32, written for each job: see `candidates`.
    numbers: npt.NDArray[np.int32]
    # Over F, in proportion to arrival rates.
    sources: Alias
    # Over B, in proportion to peaks.
    sinks: Alias
    # Share of the events that are arrivals, in units of 2^-24; a uint64.
    arriving: int
    # Events/s of the uniformised chain.
    speed: float
    # (R,) float64, jobs/s, the bound that departures are thinned from.
    peak: FloatArray
    # (R, K) float64, jobs/s, the curves at 0 .. K - 1 jobs.
    rate: FloatArray
    # (B,) int32, how many jobs are served at once; the rest wait in order.
    places: npt.NDArray[np.int32]
    # (AHEAD,) or (0,) int64, scratch of `lookahead`, in which kernel `uniformised` writes.
    upcoming: npt.NDArray[np.int64]


class Streams(NamedTuple):
    """Independent streams by purpose, so that no policy can disturb another's arrivals.

    Each (2,) uint64, the state of a stream (see `isocline.randomness.draws`): made by the engine,
    advanced by the kernel with each draw.
    """

    events: Any  # arrivals and possible departures: the same draws for every policy
    policy: Any  # what the policy draws
    leaving: Any  # which job departs: drawn only when one does
