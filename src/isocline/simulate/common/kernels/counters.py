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

# Counters of a run, in an int64 array.
JOBS, AREA, ARRIVALS, COMPLETIONS, EVENTS = 0, 1, 2, 3, 4
TIMED, NEXT = 5, 6  # jobs whose sojourn was recorded; the next job of a list of arrivals
FETCHED = 7  # means nothing: keeps what was read ahead from being optimised away
# Of kernel `abandonment`: jobs that gave up, were lost with a backend, and were sent again; the
# next job whose patience ends; the next one to be sent again, and the end of those.
ABANDONED, LOST, RESENT = 8, 9, 10
EXPIRED, AGAIN, AGAIN_END = 11, 12, 13
COUNTERS = 14
# And in a float64 array: clock (s), total service rate (jobs/s), integrals over the block of jobs
# and of that rate (of the jump kernel, sums over ticks), sum of sojourn times (s) of the jobs that
# were completed, and of those that left unfinished.
CLOCK, RATE, JOB_SECONDS, RATE_SECONDS, SOJOURN = 0, 1, 2, 3, 4
UNFINISHED = 5
GAUGES = 6


class System(NamedTuple):
    """F frontends, B backends, E edges, R distinct curves, K workloads tabulated."""

    first: npt.NDArray[np.int64]  # (F + 1,) the edges of frontend f are first[f] : first[f + 1]
    numbers: npt.NDArray[np.int32]  # (E,) 0 .. E - 1, or room for one frontend's: see `candidates`
    sources: Alias  # over F, in proportion to arrival rates
    sinks: Alias  # over B, in proportion to peaks
    arriving: int  # share of the events that are arrivals, in units of 2^-24
    speed: float  # events/s of the uniformised chain
    peak: FloatArray  # (R,) jobs/s, the bound that departures are thinned from
    rate: FloatArray  # (R, K) jobs/s, the curves
    places: npt.NDArray[np.int32]  # (B,) how many jobs are served at once; the rest wait in order
    upcoming: npt.NDArray[np.int64]  # scratch of `lookahead`


class Streams(NamedTuple):
    """Independent streams by purpose, so that no policy can disturb another's arrivals."""

    events: Any  # uint64[2], arrivals and possible departures: one tick each for every policy
    policy: Any  # uint64[2]
    leaving: Any  # uint64[2], which job departs: drawn only when one does
